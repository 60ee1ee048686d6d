"""Writes pictures as files, by the report's own plots: for papers as PNG and SVG, and a plot beside kept results."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from flows.report.inline_svg import drawing
from flows.report.page import bases_of
from flows.report.plots import PAPER, loss_curves, loss_grid, task_groups, task_lines, task_order
from flows.report.queries import COST, FRONT, KL, LOSS, RUNS, TASKS, ask
from flows.report.scatter_plot import KL as KL_MEASURES
from flows.report.scatter_plot import TRADE_OFF, Measures, marked, scatter
from flows.report.series import Styles
from storage.errors import InputError
from storage.kept_results import KeptResults
from storage.query import query
from storage.workspace import Workspace

Row = dict[str, Any]
WIDTH = 346  # points: 4.8 inches, a column and a half of most journals
SIZE = (WIDTH, 245)
PANEL = (WIDTH // 3, 90)
LEARNING, FORGETTING = "learning (bits per byte)", "forgetting (bits per byte)"
KL_WORDS = "KL to the base on the new language (nats per token)", FORGETTING
KEPT_SIZE, CROWDED_SIZE = (400, 300), (560, 420)  # points; on a page 640 pixels wide: of type of 13 and of 9 pixels
MANY_RUNS = 30  # a front of all methods has forty
KEPT_ROWS = "FROM results ORDER BY study, base_model_id, language, forgetting, run_id"
KEPT_FRONT = "SELECT run_id FROM results_front"


def write_figures(workspace: Workspace) -> list[Path]:
    """Write reports/figures/*.png and *.svg: trade-off, KL against forgetting, tasks and losses of each base with runs.

    Raises:
        InputError: there are no runs.
    """
    folder = workspace.reports / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with drawing():
        for base in bases_of(workspace):
            for name, figure in _figures(workspace, base):
                for kind in ("png", "svg"):
                    path = folder / f"{base}-{name}.{kind}"
                    figure.savefig(path, dpi=300, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else {})
                    written.append(path)
    if not written:
        raise InputError(f"workspace {workspace.root} has no measured run yet, so there is nothing to draw")
    return written


def _figures(workspace: Workspace, base: str) -> Iterator[tuple[str, Figure]]:
    rows = {name: ask(workspace, sql, base).rows for name, sql in _QUERIES.items()}
    styles = Styles(rows["cost"])
    if runs := marked(rows["runs"], styles, TRADE_OFF):
        yield "trade-off", scatter(runs, rows["front"], styles, TRADE_OFF, (FORGETTING, LEARNING), SIZE, PAPER)
    if runs := marked(rows["kl"], styles, KL_MEASURES):
        yield "kl-forgetting", scatter(runs, [], styles, KL_MEASURES, KL_WORDS, SIZE, PAPER)
    for members in task_groups(rows["tasks"]):
        name = members[0]["eval_set"].replace("/", "-")
        yield f"task-{name}", task_lines(task_order(members, styles), styles, WIDTH, PAPER)
    curves = loss_curves(rows["loss"], rows["cost"], styles)
    if curves is not None:
        yield "loss", loss_grid(curves, PANEL, 3, PAPER)


_QUERIES = {"cost": COST, "runs": RUNS, "front": FRONT, "kl": KL, "tasks": TASKS, "loss": LOSS}


def draw_results(kept: KeptResults) -> list[Path]:
    """Write an SVG beside each file of results, more where it has several bases or languages.

    Where KL to the base was measured, kl-forgetting.svg shows it against forgetting, over the runs of all files; a name
    that one study alone has is its method's there, or a hundred runs would have fifty labels.

    Raises:
        InputError: there is nothing that has been measured.
    """
    front = {run_id for (run_id,) in query(kept, KEPT_FRONT).rows}
    all_rows = query(kept, KEPT_ROWS).as_dicts()
    written = []
    for study, of_study in groupby(all_rows, key=lambda row: row["study"]):
        groups = groupby(of_study, key=lambda row: (row["base_model_id"], row["language"]))
        for number, rows in enumerate(list(members) for _, members in groups):
            styles = Styles(rows)
            if runs := marked(rows, styles, TRADE_OFF):
                best = [row for row in runs if row["run_id"] in front]
                path = kept.root / f"{study}{f'-{number + 1}' if number else ''}.svg"
                written.append(_drawn(path, runs, best, styles, TRADE_OFF, (FORGETTING, LEARNING)))
    if not written:
        raise InputError(f"{kept.root} holds no measured run, so there is nothing to draw")
    with_kl = _by_common_names([row for row in all_rows if row["kl_new"] is not None])
    styles = Styles(with_kl)
    if runs := marked(with_kl, styles, KL_MEASURES):
        written.append(_drawn(kept.root / "kl-forgetting.svg", runs, [], styles, KL_MEASURES, KL_WORDS))
    return written


def _by_common_names(rows: list[Row]) -> list[Row]:
    """Give runs whose name one study alone has the name of their method."""
    studies: dict[str, set[str]] = {}
    for row in rows:
        studies.setdefault(row["name"], set()).add(row["study"])
    return [row if len(studies[row["name"]]) > 1 else {**row, "name": row["method"].replace("_", " ")} for row in rows]


def _drawn(
    path: Path, runs: list[Row], best: list[Row], styles: Styles, measures: Measures, words: tuple[str, str]
) -> Path:
    size = CROWDED_SIZE if len(runs) > MANY_RUNS else KEPT_SIZE
    with drawing():
        figure = scatter(runs, best, styles, measures, words, size, PAPER)
        figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    return path
