"""Tasks as dumbbells: a line for each run, from the base's figure to the run's, with the interval of the gain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.report.series import Style, Styles
from flows.report.trade_off_plot import Scale, scale_of

Row = dict[str, Any]
WIDTH, LINE, LEFT, RIGHT, TOP = 640, 22, 8, 16, 8
BOTTOM = 26
SHOWN = ("acc_norm", "acc", "auc")  # of several metrics of a task, the first of these


@dataclass(frozen=True)
class Dumbbell:
    style: Style
    seed: int | None
    y: float
    base: float
    run: float
    low: float
    high: float
    title: str


@dataclass(frozen=True)
class TaskPicture:
    """One task. role says whether it shows learning or forgetting."""

    name: str
    language: str
    role: str | None
    metric: str
    n: int
    x: Scale
    base: float
    lines: list[Dumbbell]
    width: int = WIDTH

    @property
    def height(self) -> int:
        return TOP + LINE * len(self.lines) + BOTTOM


def task_pictures(rows: Sequence[Row], styles: Styles) -> list[TaskPicture]:
    """`rows` are rows of queries.TASKS; one picture a task, those that show learning first."""
    tasks: dict[tuple[Any, ...], dict[str, list[Row]]] = {}
    for row in rows:
        key = (row["role"] != "new", row["eval_set"], row["eval_id"], row["settings_hash"])
        tasks.setdefault(key, {}).setdefault(row["metric"], []).append(row)
    chosen = [(key, next(by[metric] for metric in SHOWN if metric in by)) for key, by in tasks.items()]
    return [_picture(members, styles) for _, members in sorted(chosen, key=lambda pair: pair[0])]


def _picture(rows: list[Row], styles: Styles) -> TaskPicture:
    rows = sorted(rows, key=lambda row: (not styles.of(row).is_reference, styles.of(row).label, row["seed"] or 0))
    values = [value for row in rows for value in (row["base_value"], row["value"], *_ends(row))]
    x = scale_of(values, LEFT, WIDTH - RIGHT, about=6, margin=0.06)
    lines = []
    for number, row in enumerate(rows):
        low, high = _ends(row)
        title = (
            f"{styles.of(row).label}, seed {row['seed']}: {row['base_value']:.3f} to {row['value']:.3f}, "
            f"difference {row['difference']:+.3f} (95 % interval {row['low'] or 0:+.3f} to {row['high'] or 0:+.3f})"
        )
        y = TOP + LINE * (number + 0.5)
        places = (x(row["base_value"]), x(row["value"]), x(low), x(high))
        lines.append(Dumbbell(styles.of(row), row["seed"], y, *places, title))
    first = rows[0]
    return TaskPicture(
        first["eval_set"],
        first["language"],
        first["role"],
        first["metric"],
        first["n"],
        x,
        x(first["base_value"]),
        lines,
    )


def _ends(row: Row) -> tuple[float, float]:
    """Return the interval of the difference, laid on the run's figure."""
    if row["low"] is None or row["high"] is None:
        return row["value"], row["value"]
    return row["base_value"] + row["low"], row["base_value"] + row["high"]
