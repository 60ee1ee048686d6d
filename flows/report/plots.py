"""The study's plots, drawn by matplotlib: for the page (flows.report.inline_svg) and for papers (paper_plots).

Here are tasks, as a line from the base's figure to the run's, and loss curves, a panel a setting; scatter_plot has
learning over forgetting. Lengths are pixels of the page, 72 an inch. No text is read as mathematics: names of runs
are anybody's.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

from flows.report.inline_svg import VARIABLES, shown
from flows.report.series import Style, Styles, bits, short

Row = dict[str, Any]
ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
LONGEST_NAME = 32  # characters of a name in a picture; the tables have the whole
CHARACTER_WIDTH = 0.56  # of the font size: system fonts, generously
MARK = 11  # size of a mark beside letters of 13
SHOWN_METRICS = ("acc_norm", "acc", "auc")  # of several metrics of a task, the first of these


@dataclass(frozen=True)
class Look:
    """Colours (in the order of VARIABLES), size of letters and width of lines."""

    ink: str
    quiet: str
    faint: str
    rule: str
    paper: str
    accent: str
    font_size: float = 13
    line: float = 1.0

    def of(self, style: Style) -> str:
        return self.accent if style.is_reference else self.ink


INK, QUIET, FAINT, RULE, GROUND, ACCENT = VARIABLES
PAGE = Look(INK, QUIET, FAINT, RULE, GROUND, ACCENT)
PAPER = Look("#1c2024", "#5f6670", "#8a9098", "#e3e6e9", "#ffffff", "#0b7568", font_size=8, line=0.7)


def task_groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Sort rows of queries.TASKS by task, those that show learning first, of each task the first metric shown."""
    tasks: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for row in rows:
        key = (row["role"] != "new", row["eval_set"], row["eval_id"], row["settings_hash"])
        tasks.setdefault(key, {}).setdefault(row["metric"], []).append(row)
    chosen = [(key, next(by[metric] for metric in SHOWN_METRICS if metric in by)) for key, by in tasks.items()]
    return [members for _, members in sorted(chosen, key=lambda pair: pair[0])]


def task_order(rows: Iterable[Row], styles: Styles) -> list[Row]:
    """Return a task's runs in the order of their lines and points."""
    return sorted(rows, key=lambda row: (not styles.of(row).is_reference, styles.of(row).label, row["seed"] or 0))


def task_tip(row: Row, styles: Styles) -> str:
    return (
        f"{styles.of(row).label}, seed {row['seed']}: {row['base_value']:.3f} to {row['value']:.3f}, "
        f"difference {row['difference']:+.3f} (95 % interval {row['low'] or 0:+.3f} to {row['high'] or 0:+.3f})"
    )


def task_lines(rows: Sequence[Row], styles: Styles, width: int, look: Look) -> Figure:
    """Draw a line a run (`task_order`) from the base's figure to its own, with the interval of the difference."""
    line, names = 1.7 * look.font_size, (11.5 if width > 500 else 8.5) * look.font_size
    height = line * len(rows) + 2.2 * look.font_size
    figure, axes = new_figure((width, height), look)
    values = [value for row in rows for value in (row["base_value"], row["value"], *_interval(row))]
    axes.set_xlim(value_range(values))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    set_ticks(axes, max(3, int(width / look.font_size / 9)), None, look)
    bottom = 2.2 * look.font_size / height
    axes.set_position((names / width, bottom, 1 - names / width - 1.2 * look.font_size / width, 1 - bottom))
    axes.axvline(rows[0]["base_value"], color=look.faint, linewidth=look.line, zorder=1)
    longest = int(names / (CHARACTER_WIDTH * look.font_size)) - 1
    for number, row in enumerate(rows):
        style, gid, ends = styles.of(row), f"point-{number}", (row["base_value"], row["value"])
        axes.plot(_interval(row), [number] * 2, color=look.quiet, linewidth=look.line, gid="error", zorder=2)
        axes.plot(ends, [number] * 2, color=look.of(style), linewidth=2 * look.line, gid="bell", zorder=3)
        axes.plot([ends[0]], [number], "o", color=look.ink, markersize=0.45 * look.font_size, zorder=3)
        draw_mark(axes, ends[1], number, style, look, gid)
        name = shortened(f"{style.label}", longest - 2) + ("" if row["seed"] is None else f" {row['seed']}")
        beside = axes.get_yaxis_transform()
        text: dict[str, Any] = {
            "ha": "right",
            "va": "center_baseline",
            "gid": "label",
            "parse_math": False,
        }
        gap = 0.7 * look.font_size / (width - names)
        axes.text(-gap, number, shown(name), fontsize=look.font_size, color=look.of(style), transform=beside, **text)
    return figure


@dataclass(frozen=True)
class LossCurves:
    """Loss by run on one scale: what the panels show."""

    points: dict[str, list[tuple[float, float]]]  # (tokens or steps, nats per token), by run
    panels: list[tuple[Style, list[str]]]  # the runs of a setting
    unit: str

    def last(self, runs: Iterable[str]) -> str:
        return ", ".join(bits(self.points[run][-1][1]) for run in runs)


def loss_curves(steps: Sequence[Row], runs: Sequence[Row], styles: Styles) -> LossCurves | None:
    """Sort losses by run and setting.

    `steps` are rows of queries.LOSS, `runs` of queries.COST. None where there are no steps.
    """
    steps = [row for row in steps if math.isfinite(row["lm_loss"])]
    unit = "tokens" if all(row["tokens"] is not None for row in steps) else "step"
    points: dict[str, list[tuple[float, float]]] = {}
    for row in steps:
        points.setdefault(row["run_id"], []).append((row[unit], row["lm_loss"]))
    groups: dict[Style, list[str]] = {}
    for run in runs:
        if run["run_id"] in points:
            groups.setdefault(styles.of(run), []).append(run["run_id"])
    panels = sorted(groups.items(), key=lambda item: (not item[0].is_reference, item[0].label))
    return LossCurves(points, panels, "tokens" if unit == "tokens" else "steps") if panels else None


def loss_panel(
    curves: LossCurves, own: Sequence[str], style: Style | None, size: tuple[int, int], look: Look
) -> Figure:
    """Plot the losses of some runs on the scale of all; with no style, those of all as a background."""
    figure, axes = new_figure(size, look)
    axes.set_position(_panel(size, look))
    _draw_losses(axes, curves, own, style, look)
    if style is None:
        axes.set_axis_off()
    return figure


def loss_grid(curves: LossCurves, panel: tuple[int, int], columns: int, look: Look) -> Figure:
    """Plot the panels of all settings side by side, each with its name above and all curves behind."""
    lines, title = math.ceil(len(curves.panels) / columns), 2 * look.font_size
    size = panel[0] * min(columns, len(curves.panels)), (panel[1] + title) * lines
    figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72)
    for number, (style, own) in enumerate(curves.panels):
        line, column = divmod(number, columns)
        x, y, width, height = _panel(panel, look)
        place = column * panel[0] + x * panel[0], (lines - line - 1) * (panel[1] + title) + y * panel[1]
        extent = width * panel[0] / size[0], height * panel[1] / size[1]
        axes = _dressed(figure.add_axes((place[0] / size[0], place[1] / size[1], *extent)), look)
        _draw_losses(axes, curves, list(curves.points), None, look)
        _draw_losses(axes, curves, own, style, look)
        name: dict[str, Any] = {"loc": "left", "fontsize": look.font_size, "color": look.of(style), "parse_math": False}
        axes.set_title(shown(shortened(style.label, LONGEST_NAME)), **name)
    return figure


def _panel(size: tuple[int, int], look: Look) -> tuple[float, float, float, float]:
    left, below, right, above = (share * look.font_size for share in (2.7, 1.9, 2.2, 0.8))
    return left / size[0], below / size[1], 1 - (left + right) / size[0], 1 - (below + above) / size[1]


def _draw_losses(axes: Axes, curves: LossCurves, own: Sequence[str], style: Style | None, look: Look) -> None:
    every = [point for points in curves.points.values() for point in points]
    axes.set_xlim(0, max(x for x, _ in every) or 1)
    axes.set_ylim(value_range([y for _, y in every], 0.04))
    set_ticks(axes, 2, 5, look)
    axes.xaxis.grid(False)
    last = max(tick for tick in axes.get_xticks() if tick <= axes.get_xlim()[1])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x) + (f" {curves.unit}" if x == last else "")))
    for run in own:
        colour = look.rule if style is None else look.of(style)
        xs, ys = zip(*curves.points[run], strict=True)
        width = (1 if style is None else 1.5) * look.line
        axes.plot(xs, ys, color=colour, linewidth=width, gid="curve", zorder=2 if style is None else 3)
        if style is not None:
            axes.plot(*curves.points[run][-1], "o", color=colour, markersize=5 * look.line, clip_on=False, zorder=4)


def new_figure(size: tuple[float, float], look: Look) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72)
    return figure, _dressed(figure.add_axes((0.1, 0.1, 0.8, 0.8)), look)


def _dressed(axes: Axes, look: Look) -> Axes:
    axes.set_frame_on(False)
    axes.set_axisbelow(True)
    axes.grid(True, color=look.rule, linewidth=look.line)
    axes.tick_params(length=0, pad=0.55 * look.font_size, labelsize=look.font_size, labelcolor=look.quiet)
    return axes


def value_range(values: Iterable[float], margin: float = 0.07) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    span = (high - low) or abs(high) or 1.0
    return low - margin * span, high + margin * span


def set_ticks(axes: Axes, across: int, up: int | None, look: Look) -> None:
    for axis, about in ((axes.xaxis, across), (axes.yaxis, up)):
        if about is None:
            axis.set_ticks([])
            continue
        axis.set_major_locator(MaxNLocator(about, steps=ROUND_STEPS))
        axis.set_major_formatter(ScalarFormatter(useOffset=False, useMathText=False))


def draw_mark(axes: Axes, x: float, y: float, style: Style, look: Look, gid: str) -> None:
    fill, edge = (look.accent, look.paper) if style.is_reference else (look.paper, look.ink)
    axes.plot(
        [x],
        [y],
        style.marker,
        color=fill,
        markeredgecolor=edge,
        markeredgewidth=(1.2 if style.is_reference else 1.6) * look.line,
        markersize=MARK * look.font_size / 13,
        gid=gid,
        clip_on=False,
        zorder=6,
    )


def shortened(name: str, longest: int) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def _interval(row: Row) -> tuple[float, float]:
    """Return the interval of the difference, laid on the run's figure."""
    if row["low"] is None or row["high"] is None:
        return row["value"], row["value"]
    return row["base_value"] + row["low"], row["base_value"] + row["high"]
