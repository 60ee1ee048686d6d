"""Gate activity as a heat map a run: layers down, evaluation sets across, the open rate in words and in tone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.report.series import Style, Styles

Row = dict[str, Any]


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


def heat_maps(gates: Sequence[Row], runs: Sequence[Row], styles: Styles) -> list[HeatMap]:
    """`gates` are rows of queries.GATES, `runs` of queries.COST; one map a run that has gates."""
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
