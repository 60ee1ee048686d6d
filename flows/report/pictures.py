"""The study's plots as the page shows them: for wide and for narrow screens, with what each point tells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from flows.report.inline_svg import inline_svg
from flows.report.plots import PAGE, loss_curves, loss_panel, task_groups, task_lines, task_order, task_tip
from flows.report.scatter_plot import Measures, marked, scatter
from flows.report.series import Style, Styles

Row = dict[str, Any]
WIDE, NARROW = (760, 460), (350, 380)
WIDE_TASK, NARROW_TASK = 760, 350
PANEL = (240, 170)


def scatter_pictures(
    runs: Sequence[Row], front: Sequence[Row], styles: Styles, measures: Measures, right: str, up: str
) -> list[Markup]:
    """Draw one figure against another for both widths; nothing where no run has both."""
    runs = marked(runs, styles, measures)
    tips = [measures.tip(row, styles) for row in runs]
    about = f"{up} against {right}, {len(runs)} runs. The same figures stand in the table below."
    sizes = (("wide", WIDE), ("narrow", NARROW)) if runs else ()
    drawn = [(name, scatter(runs, front, styles, measures, (right, up), size, PAGE)) for name, size in sizes]
    return [inline_svg(figure, name, about, tips, (40, 28)) for name, figure in drawn]


@dataclass(frozen=True)
class TaskPicture:
    """One task. role says whether it shows learning or forgetting."""

    name: str
    language: str
    role: str | None
    metric: str
    n: int
    pictures: list[Markup]


def task_pictures(rows: Sequence[Row], styles: Styles) -> list[TaskPicture]:
    """`rows` are rows of queries.TASKS; one picture a task and width, those that show learning first."""
    return [_task_picture(task_order(members, styles), styles) for members in task_groups(rows)]


def _task_picture(rows: Sequence[Row], styles: Styles) -> TaskPicture:
    tips = [task_tip(row, styles) for row in rows]
    first = rows[0]
    about = f"{first['eval_set']}, {first['metric']}: from the base's figure to each run's. {'. '.join(tips)}."
    drawn = [(n, task_lines(rows, styles, width, PAGE)) for n, width in (("wide", WIDE_TASK), ("narrow", NARROW_TASK))]
    pictures = [inline_svg(figure, size, about, tips, (0, -6)) for size, figure in drawn]
    name, language, role = first["eval_set"], first["language"], first["role"]
    return TaskPicture(name, language, role, first["metric"], first["n"], pictures)


@dataclass(frozen=True)
class LossPanel:
    """The losses of a setting's runs."""

    style: Style
    last: str  # last losses in words, a seed each
    picture: Markup


def loss_panels(
    steps: Sequence[Row], runs: Sequence[Row], styles: Styles, background_id: str
) -> tuple[Markup, list[LossPanel]] | None:
    """Draw all curves once, as an element of the given id that every panel shows behind its own, and the panels."""
    curves = loss_curves(steps, runs, styles)
    if curves is None:
        return None
    every = inline_svg(loss_panel(curves, list(curves.points), None, PANEL, PAGE), "all", "all runs")
    inner = Markup(every.partition(">")[2].removesuffix("</svg>"))
    behind = Markup('<use href="#{}"/>').format(background_id)
    panels = []
    for style, own in curves.panels:
        last = curves.last(own)
        about = f"Training loss of {style.label}, {len(own)} runs, ending at {last} nats per token"
        figure = loss_panel(curves, own, style, PANEL, PAGE)
        panels.append(LossPanel(style, last, inline_svg(figure, "panel-plot", about, below=behind)))
    return Markup('<g id="{}">{}</g>').format(background_id, inner), panels
