"""Pictures for papers (extra `report`): the report's own, as PNG and SVG by matplotlib."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.report.dumbbells import SHOWN
from flows.report.page import bases_of
from flows.report.queries import KL, LOSS, RUNS, TASKS, ask
from flows.report.series import REFERENCE_METHOD
from flows.report.trade_off_plot import KL as KL_AXES
from flows.report.trade_off_plot import TRADE_OFF, Axes, has_both
from storage.errors import InputError
from storage.workspace import Workspace

Row = dict[str, Any]
MARKERS = {REFERENCE_METHOD: "o", "finetune": "s", "lora": "^", "adapter": "D", "dora": "v", "llama_pro": "P"}
SIZE = (4.8, 3.4)  # inches: a column and a half of most journals
STYLE: Any = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"}


def write_figures(workspace: Workspace) -> list[Path]:
    """Write reports/figures/*.png and *.svg: trade-off, KL against forgetting, tasks and loss of each base with runs.

    Raises:
        InputError: matplotlib is not installed, or there are no runs.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise InputError("pictures need the extra `report`: pip install 'neutral-residues[report]'") from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder = workspace.reports / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(STYLE):
        for base in bases_of(workspace):
            for name, figure in _figures(workspace, base):
                for kind in ("png", "svg"):
                    path = folder / f"{base}-{name}.{kind}"
                    figure.savefig(path, dpi=300, bbox_inches="tight", metadata={"Date": None} if kind == "svg" else {})
                    written.append(path)
                pyplot.close(figure)
    if not written:
        raise InputError(f"workspace {workspace.root} has no measured run yet, so there is nothing to draw")
    return written


def _figures(workspace: Workspace, base: str) -> Iterator[tuple[str, Any]]:
    runs = [row for row in ask(workspace, RUNS, base).rows if has_both(row)]
    if runs:
        yield "trade-off", _scatter(runs, TRADE_OFF, "forgetting (bits per byte)", "learning (bits per byte)")
    beside = [row for row in ask(workspace, KL, base).rows if KL_AXES.are_known(row)]
    if beside:
        words = "KL to the base on the new language (nats per token)", "forgetting (bits per byte)"
        yield "kl-forgetting", _scatter(beside, KL_AXES, *words)
    tasks: dict[tuple[str, str], list[Row]] = {}
    for row in ask(workspace, TASKS, base).rows:
        tasks.setdefault((row["eval_set"], row["metric"]), []).append(row)
    for task in sorted({name for name, _ in tasks}):
        yield f"task-{task.replace('/', '-')}", _task(next(tasks[task, m] for m in SHOWN if (task, m) in tasks))
    steps = ask(workspace, LOSS, base).rows
    if steps:
        yield "loss", _loss(steps, {row["run_id"]: row for row in runs})


def _scatter(runs: list[Row], columns: Axes, right: str, up: str) -> Any:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE)
    axes.axhline(0, color="0.8", linewidth=0.8)
    axes.axvline(0, color="0.8", linewidth=0.8)
    for name in dict.fromkeys(row["name"] for row in runs):
        own = [row for row in runs if row["name"] == name]
        axes.errorbar(
            [row[columns.x] for row in own],
            [row[columns.y] for row in own],
            xerr=[1.96 * (row[f"{columns.x}_stderr"] or 0) for row in own],
            yerr=[1.96 * (row[f"{columns.y}_stderr"] or 0) for row in own],
            fmt=MARKERS.get(own[0]["method"], "X"),
            label=name,
            color="#0b7568" if own[0]["method"] == REFERENCE_METHOD else None,
            markerfacecolor=None if own[0]["method"] == REFERENCE_METHOD else "white",
            elinewidth=0.8,
        )
    axes.set_xlabel(right)
    axes.set_ylabel(up)
    axes.legend(frameon=False)
    return figure


def _task(rows: list[Row]) -> Any:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(SIZE[0], 0.6 + 0.24 * len(rows)))
    for place, row in enumerate(reversed(rows)):
        color = "#0b7568" if row["method"] == REFERENCE_METHOD else "black"
        axes.plot([row["base_value"], row["value"]], [place, place], color=color)
        if row["low"] is not None:
            ends = [row["base_value"] + row["low"], row["base_value"] + row["high"]]
            axes.plot(ends, [place, place], color="0.6", linewidth=0.8, zorder=0)
        axes.plot([row["value"]], [place], MARKERS.get(row["method"], "X"), color=color, markerfacecolor="white")
    axes.axvline(rows[0]["base_value"], color="0.8", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(rows)), [f"{row['name']} {row['seed']}" for row in reversed(rows)])
    axes.set_xlabel(f"{rows[0]['eval_set']}, {rows[0]['metric']} (grey line: the base)")
    return figure


def _loss(steps: list[Row], runs: dict[str, Row]) -> Any:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE)
    for run_id in dict.fromkeys(row["run_id"] for row in steps):
        own = [row for row in steps if row["run_id"] == run_id]
        run = runs.get(run_id)
        hero = run is not None and run["method"] == REFERENCE_METHOD
        label = f"{run['name']} {run['seed']}" if run else run_id
        axes.plot(
            [row["step"] for row in own], [row["lm_loss"] for row in own], linewidth=1.6 if hero else 0.9, label=label
        )
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per token)")
    axes.legend(frameon=False, fontsize=7)
    return figure
