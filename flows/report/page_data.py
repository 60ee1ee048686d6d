"""Everything that the page shows of one base and its runs: answers to the SQL, and the pictures made of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from flows.report import queries
from flows.report.headline import evidence_of
from flows.report.inline_svg import inline_svg
from flows.report.learned import Learned, learned_of, or_in_replay
from flows.report.plots import PAGE, loss_curves, loss_panel, task_groups, task_lines, task_order, task_tip
from flows.report.queries import Answer, ask
from flows.report.scatter_plot import has_both
from flows.report.series import REFERENCE_METHOD, Style, Styles
from storage.files import read_json
from storage.workspace import Workspace

SNIPPET = """# {name}, seed {seed}
import json
from pathlib import Path

from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenizer import load_tokenizer

run = Path({folder!r})
base = BaseSpec(**json.loads((run / "run.json").read_text())["base"])
model, tokenizer = load_run(base, run), load_tokenizer(base)
"""
Row = dict[str, Any]
WIDE_TASK, NARROW_TASK = 760, 350
PANEL = (240, 170)


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
    """Plot tasks; `rows` are rows of queries.TASKS; one picture a task and width, those that show learning first."""
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


@dataclass(frozen=True)
class Funnel:
    name: str
    total: int
    rows: list[Row]


@dataclass(frozen=True)
class Column:
    role: str
    eval_set: str


@dataclass(frozen=True)
class HeatMap:
    style: Style
    seed: int | None
    columns: list[Column]
    layers: list[int]
    open_rates: dict[tuple[int, Column], float]
    sizes: dict[tuple[int, Column], float]


@dataclass(frozen=True)
class Study:
    base_model_id: str | None
    base: Row
    ran_its_own_code: bool  # Python that came with the base: trust_remote_code was on
    styles: Styles
    learned: list[Learned]
    answers: dict[str, Answer]
    tasks: list[TaskPicture]
    loss: tuple[Markup, list[LossPanel]] | None  # all curves as a background, and a panel a setting
    heat_maps: list[HeatMap]
    reading: list[Funnel]
    corpora: list[Funnel]
    snippet: str | None  # Python that loads the run that learned most for what it forgot


def study_of(workspace: Workspace, base: str | None, number: int = 1) -> Study:
    """Ask everything about a base; with None, of a workspace without runs, what there is to say about its corpora."""
    names = (
        "MODEL",
        "SETTINGS",
        "RUNS",
        "FRONT",
        "SETS",
        "TASKS",
        "BEHAVIOUR",
        "KL",
        "LOSS",
        "GATES",
        "COST",
        "LINEAGE",
        "READING",
        "FUNNEL",
        "YIELD",
    )
    answers = {name: ask(workspace, getattr(queries, name), base) for name in names}
    rows = {name: answer.rows for name, answer in answers.items()}
    styles = Styles(rows["COST"])
    return Study(
        base_model_id=base,
        base=rows["MODEL"][0] if rows["MODEL"] else {"source": None, "parameters": None},
        ran_its_own_code=any(_ran_code_of_its_base(workspace.run(row["run_id"])) for row in rows["COST"]),
        styles=styles,
        learned=learned_of(rows, styles, partial(evidence_of, workspace)),
        answers=answers,
        tasks=task_pictures(rows["TASKS"], styles),
        loss=loss_panels(rows["LOSS"], rows["COST"], styles, f"loss-{number}"),
        heat_maps=heat_maps(rows["GATES"], rows["COST"], styles),
        reading=_funnels(rows["READING"], "settings"),
        corpora=_funnels(rows["FUNNEL"], "corpus", "version"),
        snippet=snippet(rows["RUNS"], workspace),
    )


def snippet(runs: Sequence[Row], workspace: Workspace) -> str | None:
    measured = [row for row in or_in_replay(runs)[0] if has_both(row)]
    if not measured:
        return None
    own = [row for row in measured if row["method"] == REFERENCE_METHOD] or measured
    best = max(own, key=lambda row: row["learning"] - row["forgetting"])
    return SNIPPET.format(
        folder=str(workspace.run(best["run_id"]).relative_to(workspace.root)), name=best["name"], seed=best["seed"]
    )


def _ran_code_of_its_base(run: Path) -> bool:
    try:
        report = read_json(run / "run.json", "`nr verify` says what else is, and what to do")
    except FileNotFoundError:  # it failed, or its folder was cleared away
        return False
    return bool(report.get("base", {}).get("trust_remote_code"))


def _funnels(rows: Sequence[Row], *key: str) -> list[Funnel]:
    """Group rows into funnels; they come sorted by key."""
    funnels = []
    for names, group in groupby(rows, key=lambda row: [row[name] for name in key]):
        members = list(group)
        funnels.append(Funnel(", version ".join(map(str, names)), sum(row["documents"] for row in members), members))
    return funnels


def heat_maps(gates: Sequence[Row], runs: Sequence[Row], styles: Styles) -> list[HeatMap]:
    """Return one map a run that has gates. `gates` are rows of queries.GATES, `runs` of queries.COST."""
    by_run: dict[str, list[Row]] = {}
    for row in gates:
        by_run.setdefault(row["run_id"], []).append(row)
    return [_heat_map(run, by_run[run["run_id"]], styles) for run in runs if run["run_id"] in by_run]


def _heat_map(run: Row, rows: Sequence[Row], styles: Styles) -> HeatMap:
    # The new language first: that is where gates should be open.
    columns = sorted(
        {Column(row["role"], row["eval_set"]) for row in rows}, key=lambda c: (c.role != "new", c.eval_set)
    )
    return HeatMap(
        style=styles.of(run),
        seed=run["seed"],
        columns=columns,
        layers=sorted({row["layer"] for row in rows}),
        open_rates={(row["layer"], Column(row["role"], row["eval_set"])): row["open_rate"] for row in rows},
        sizes={(row["layer"], Column(row["role"], row["eval_set"])): row["residue_size"] for row in rows},
    )
