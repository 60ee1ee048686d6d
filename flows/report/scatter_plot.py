"""One figure against another, a mark a run, the base at the origin: learning over forgetting, and forgetting over KL to
the base on the new language.

A label stands in the first place beside its marks that hides nothing, else in the one that hides least.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from flows.report.inline_svg import shown
from flows.report.plots import (
    CHARACTER_WIDTH,
    LONGEST_NAME,
    Look,
    draw_mark,
    new_figure,
    set_ticks,
    shortened,
    value_range,
)
from flows.report.series import HALF_INTERVAL, Style, Styles, bits

Row = dict[str, Any]
BESIDE = 1.15  # a label at most this far from its mark, in font sizes, needs no line to it
BOLD = 1.16  # as wide as a name that is not
LINE_HEIGHT = 1.23  # of the font size
OFFSETS = (0.85, 1.4, 2.15, 3.3, 4.6)  # of the font size, from a mark
MARK_WEIGHT = 6.0  # of what a label hides: a mark is small, and whoever looks for it finds nothing
LABEL_SHARE = 0.6  # of the width of the plot, at most, for a name
OUTSIDE = 1e5  # cost of leaving the picture: more than of any overlap within it


@dataclass(frozen=True)
class Measures:
    """The columns of a row that go to the right and upwards, and their names in words, in the order they are said."""

    x: str
    y: str
    words: tuple[tuple[str, str], ...]

    def are_known(self, row: Row) -> bool:
        return all(row[axis] is not None and math.isfinite(row[axis]) for axis in (self.x, self.y))

    def tip(self, row: Row, styles: Styles) -> str:
        seed = "" if row["seed"] is None else f", seed {row['seed']}"
        return f"{styles.of(row).label}{seed}: " + ", ".join(f"{word} {bits(row[name])}" for name, word in self.words)


TRADE_OFF = Measures("forgetting", "learning", (("learning", "learning"), ("forgetting", "forgetting")))
KL = Measures("kl_new", "forgetting", (("kl_new", "KL on the new language"), ("forgetting", "forgetting")))


def has_both(row: Row) -> bool:
    return TRADE_OFF.are_known(row)


def marked(rows: Iterable[Row], styles: Styles, measures: Measures) -> list[Row]:
    """Return the runs that have a mark, in the order of their points: the accent is drawn on top."""
    return sorted(filter(measures.are_known, rows), key=lambda row: styles.of(row).is_reference)


def numbers_of(runs: Sequence[Row]) -> list[int]:
    """Return the numbers of the runs by which a page shows some of them: their `number`, else their place."""
    return [row.get("number", place) for place, row in enumerate(runs)]


def scatter(
    runs: Sequence[Row],
    front: Sequence[Row],
    styles: Styles,
    measures: Measures,
    words: tuple[str, str],
    size: tuple[int, int],
    look: Look,
) -> Figure:
    """Plot runs (`marked`) with the 95 % intervals of their figures, and the Pareto front through some of them.

    What is drawn of a run says so by its `number`, see `numbers_of`.
    words: names of the axes, to the right and upwards; size: width and height.
    """
    figure, axes = new_figure(size, look)
    axes.set_xlim(value_range(_ends(runs, measures.x)))
    axes.set_ylim(value_range(_ends(runs, measures.y)))
    set_ticks(axes, max(3, int(size[0] / look.font_size / 9)), 5, look)
    _margins(figure, axes, size, look)
    name: dict[str, Any] = {"color": look.ink, "fontsize": look.font_size, "parse_math": False}
    figure.text(0, 1 - look.font_size / size[1], shown(f"↑ {words[1]}"), va="center", **name)
    end = axes.get_position().x1
    figure.text(end, 4 / size[1], shown(f"{words[0]} →"), ha="right", va="bottom", **name)
    for line in (axes.axhline, axes.axvline):
        line(0, color=look.faint, linewidth=look.line, zorder=1)
    steps = _staircase([(row[measures.x], row[measures.y]) for row in front if measures.are_known(row)])
    if steps:
        dots: dict[str, Any] = {"linestyle": (0, (1, 2.5)), "color": look.faint, "linewidth": 1.5 * look.line}
        across, up = zip(*steps, strict=True)
        axes.add_line(Line2D(across, up, dash_capstyle="round", gid="front", zorder=2, **dots))
    axes.plot([0], [0], "o", color=look.ink, markersize=0.55 * look.font_size, gid="base", zorder=3)
    for place, (row, number) in enumerate(zip(runs, numbers_of(runs), strict=True)):
        _cross(axes, row, measures, look, f"error:{number}")
        draw_mark(axes, row[measures.x], row[measures.y], styles.of(row), look, f"point-{place}")
    _labels(figure, axes, runs, styles, measures, steps, look)
    return figure


def _margins(figure: Figure, axes: Axes, size: tuple[float, float], look: Look) -> None:
    """Leave the room that the longest number on the left needs, and lines above and below."""
    texts = axes.yaxis.get_major_formatter().format_ticks(list(axes.get_yticks()))
    left = (1.2 + 0.62 * max(map(len, texts), default=0)) * look.font_size
    above, below = 2.6 * look.font_size, 3.7 * look.font_size
    width, height = size[0] - left - 1.1 * look.font_size, size[1] - above - below
    axes.set_position((left / size[0], below / size[1], width / size[0], height / size[1]))


def _ends(runs: Sequence[Row], name: str) -> list[float]:
    """Return what an axis has to hold: the base, and the figures with their intervals."""
    return [0.0, *(end for row in runs for end in _interval(row, name) or (row[name],))]


def _interval(row: Row, name: str) -> tuple[float, float] | None:
    """Return the ends of a figure's 95 % interval, where its error is known."""
    error = row.get(f"{name}_stderr")
    if error is None or not math.isfinite(error):
        return None
    return row[name] - HALF_INTERVAL * error, row[name] + HALF_INTERVAL * error


def _cross(axes: Axes, row: Row, measures: Measures, look: Look, gid: str) -> None:
    """Draw the 95 % intervals of a run's figures, where there are some."""
    x, y = row[measures.x], row[measures.y]
    line: dict[str, Any] = {"color": look.quiet, "linewidth": look.line, "gid": gid, "clip_on": False, "zorder": 4}
    if across := _interval(row, measures.x):
        axes.plot(across, (y, y), **line)
    if up := _interval(row, measures.y):
        axes.plot((x, x), up, **line)


def _labels(
    figure: Figure,
    axes: Axes,
    runs: Sequence[Row],
    styles: Styles,
    measures: Measures,
    steps: Sequence[tuple[float, float]],
    look: Look,
) -> None:
    """Name the marks where there is room, with a line to a mark that is further away."""
    to_pixels, to_data = axes.transData.transform, axes.transData.inverted().transform
    area = axes.get_window_extent()
    placer = Placer(Box(area.x0, area.y0, area.width, area.height), look.font_size)
    origin = tuple(to_pixels((0.0, 0.0)))
    marks = [(tuple(to_pixels((row[measures.x], row[measures.y]))), styles.of(row)) for row in runs]
    half = 0.62 * look.font_size
    for x, y in [origin, *(place for place, _ in marks)]:
        placer.keep_free(Box(x - half, y - half, 2 * half, 2 * half), MARK_WEIGHT)
    for start, end in pairwise(tuple(to_pixels(step)) for step in steps):
        placer.keep_free(Box.between(start, end, 1), weight=0.4)
    of_styles: dict[Style | None, list[int]] = {}
    for row, number in zip(runs, numbers_of(runs), strict=True):
        of_styles.setdefault(styles.of(row), []).append(number)
    longest = min(LONGEST_NAME, int(LABEL_SHARE * area.width / (CHARACTER_WIDTH * look.font_size)))
    for text, style, places in [*_texts(marks, longest), ("base", None, [origin])]:
        hero = style is not None and style.is_reference
        box, of = placer.place(text, places, BOLD if hero else 1.0), " ".join(map(str, of_styles.get(style, ())))
        given: dict[str, Any] = {"ha": "center", "va": "center", "gid": f"label:{of}", "zorder": 7, "parse_math": False}
        given |= {"color": look.accent if hero else look.ink, "fontweight": "bold" if hero else "normal"}
        ground = {"facecolor": look.paper, "edgecolor": "none", "pad": 0.05 * look.font_size}
        x, y = to_data(box.centre)
        axes.text(x, y, shown(text), fontsize=look.font_size, bbox=ground, **given)
        near, mark = min(((box.nearest_point(place), place) for place in places), key=lambda pair: math.dist(*pair))
        if math.dist(near, mark) > BESIDE * look.font_size:
            ends = to_data([near, mark])
            axes.plot(ends[:, 0], ends[:, 1], color=look.quiet, linewidth=0.8 * look.line, gid=f"leader:{of}", zorder=5)


def _texts(
    marks: Sequence[tuple[tuple[float, float], Style]], longest: int
) -> list[tuple[str, Style, list[tuple[float, float]]]]:
    """Return what stands beside which marks: a name once, further learning rates of it by the number alone.

    Of names of more than `longest` characters that begin alike, the beginning and the end are shown.
    """
    groups: dict[Style, list[tuple[float, float]]] = {}
    for place, style in marks:
        groups.setdefault(style, []).append(place)
    begins = Counter(shortened(name, longest) for name in {style.name for style in groups})
    named: set[str] = set()
    texts = []
    for style, places in sorted(groups.items(), key=lambda one: (not one[0].is_reference, -max(y for _, y in one[1]))):
        name = shortened(style.name, longest)
        if begins[name] > 1:
            name = f"{style.name[: longest // 2]}…{style.name[-(longest - longest // 2 - 1) :]}"
        text = name if style.rate is None else style.rate if style.name in named else f"{name} {style.rate}"
        named.add(style.name)
        texts.append((text, style, places))
    return texts


def _staircase(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return a line right, then up: what some run reaches at that much forgetting or less."""
    steps: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if steps:
            steps.append((point[0], steps[-1][1]))
        steps.append(point)
    return steps


@dataclass(frozen=True)
class Box:
    """A rectangle along the axes."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def between(cls, start: tuple[float, float], end: tuple[float, float], half: float) -> "Box":
        x, y = min(start[0], end[0]) - half, min(start[1], end[1]) - half
        return cls(x, y, abs(start[0] - end[0]) + 2 * half, abs(start[1] - end[1]) + 2 * half)

    @property
    def centre(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def overlap(self, other: "Box") -> float:
        """Return the area that both cover."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0.0) * max(height, 0.0)

    def nearest_point(self, point: tuple[float, float]) -> tuple[float, float]:
        x, y = point
        return min(max(x, self.x), self.x + self.width), min(max(y, self.y), self.y + self.height)

    def share_outside(self, other: "Box") -> float:
        return 1 - self.overlap(other) / (self.width * self.height)

    def inside(self, other: "Box") -> bool:
        return self.overlap(other) >= self.width * self.height - 1e-6


class Placer:
    """Places labels in an area, one after the other, each away from what has been kept free."""

    def __init__(self, area: Box, font_size: float) -> None:
        self._area, self._size = area, font_size
        self._taken: list[tuple[Box, float]] = []

    def keep_free(self, box: Box, weight: float = 1.0) -> None:
        self._taken.append((box, weight))

    def place(self, text: str, marks: Sequence[tuple[float, float]], wider: float = 1.0) -> Box:
        """Return the box of the label of these marks, and keep it free from now on. wider: than in plain type."""
        width = len(text) * CHARACTER_WIDTH * self._size * wider
        best, best_cost = None, float("inf")
        for rank, box in enumerate(self._candidates(width, marks)):
            cost = rank * 0.5 + sum(weight * box.overlap(taken) for taken, weight in self._taken)
            cost += 0.0 if box.inside(self._area) else OUTSIDE * (1 + box.share_outside(self._area))
            if cost < best_cost:
                best, best_cost = box, cost
        assert best is not None, "a label belongs to at least one mark"
        self.keep_free(best, 1.5)
        return best

    def _candidates(self, width: float, marks: Sequence[tuple[float, float]]) -> list[Box]:
        height = LINE_HEIGHT * self._size
        boxes = []
        for offset in (share * self._size for share in OFFSETS):
            for x, y in marks:
                right, left, middle = x + offset, x - offset - width, x - width / 2
                level, under, over = y - height / 2, y - offset - height + 2, y + offset - 2
                for corner in ((right, level), (left, level), (middle, over), (middle, under),
                               (right, over), (right, under), (left, over), (left, under)):  # fmt: skip
                    boxes.append(Box(*corner, width, height))
        return boxes
