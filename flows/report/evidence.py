"""How sure a difference between two settings is: its 95 % interval over documents, which both saw, and over seeds."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Any, Literal

from flows.report.numbers import bits
from flows.report.trade_off import has_both
from storage.query import query
from storage.workspace import Workspace

Row = dict[str, Any]
Axis = Literal["learning", "forgetting"]
Errors = dict[Axis, tuple[float, float]]  # of each axis, a figure and its standard error over documents
SETTING = ("language", "name", "method", "learning_rate")

# Run b minus run a on the same documents. Bits less are learning, bits more forgetting.
PAIR = """SELECT CASE e.role WHEN 'new' THEN 'learning' ELSE 'forgetting' END AS axis,
       avg(CASE e.role WHEN 'new' THEN -c.difference ELSE c.difference END) AS difference,
       sqrt(sum(((c.high - c.low) / (2 * 1.96)) ** 2)) / count(*) AS stderr
FROM compare_runs((SELECT model_id FROM runs WHERE run_id = $a), (SELECT model_id FROM runs WHERE run_id = $b)) c
JOIN run_evaluations e ON e.run_id = $a AND e.eval_id = c.eval_id AND e.metric = c.metric
WHERE c.metric = 'bits_per_byte' AND (e.role = 'new' OR e.role = 'original' AND NOT e.in_replay)
GROUP BY ALL HAVING count(c.low) = count(*)"""


@dataclass(frozen=True)
class Estimate:
    """A figure with half the width of its 95 % interval (normal approximation); None where nothing tells it."""

    value: float
    half: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 where the figure is more or less than 0, and its interval does not hold 0."""
        near = bits(self.value) == bits(0.0) if self.half is None else not abs(self.value) > self.half
        return 0 if near else 1 if self.value > 0 else -1


class Evidence:
    """What the runs of a base say of its settings. `pair` gives run b minus run a, by their ids."""

    def __init__(self, runs: Sequence[Row] = (), pair: Callable[[str, str], Errors] = lambda a, b: {}) -> None:
        self._runs, self._pair = [run for run in runs if has_both(run)], pair

    @cached_property
    def _by_setting(self) -> dict[tuple[Any, ...], list[Row]]:
        found: dict[tuple[Any, ...], list[Row]] = {}
        for run in self._runs:
            found.setdefault(_key(run), []).append(run)
        return found

    def figure(self, setting: Row, axis: Axis) -> Estimate:
        """A setting's own figure: against the base."""
        runs = self._by_setting.get(_key(setting), [])
        return _estimate(setting[axis], [run[axis] for run in runs], [run[f"{axis}_stderr"] for run in runs])

    def difference(self, a: Row, b: Row, axis: Axis) -> Estimate:
        """Setting b minus setting a: seed by seed, on the same documents, as far as they have seeds in common."""
        value = b[axis] - a[axis]
        of_a, of_b = ({run["seed"]: run for run in self._by_setting.get(_key(row), [])} for row in (a, b))
        pairs = [self._pair(of_a[seed]["run_id"], of_b[seed]["run_id"]) for seed in of_a.keys() & of_b.keys()]
        found = [pair[axis] for pair in pairs if axis in pair]
        if found:
            return _estimate(value, [difference for difference, _ in found], [error for _, error in found])
        halves = [self.figure(row, axis).half for row in (a, b)]
        known = [half for half in halves if half is not None]
        return Estimate(value, math.hypot(*known) if len(known) == 2 else None)


def evidence_of(workspace: Workspace, runs: Sequence[Row]) -> Evidence:
    """`runs` are rows of queries.RUNS."""

    def pair(a: str, b: str) -> Errors:
        rows = query(workspace, PAIR, {"a": a, "b": b}).as_dicts()
        return {row["axis"]: (row["difference"], row["stderr"]) for row in rows}

    return Evidence(runs, pair)


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in SETTING)


def _estimate(value: float, over_seeds: Sequence[float], errors: Sequence[float | None]) -> Estimate:
    """Documents are the same for every seed, so their error does not shrink with seeds; that of the seeds does."""
    known = [error for error in errors if error is not None and math.isfinite(error)]
    of_seeds = stdev(over_seeds) / math.sqrt(len(over_seeds)) if len(over_seeds) > 1 else 0.0
    if not known and not of_seeds:
        return Estimate(value)
    return Estimate(value, 1.96 * math.hypot(fmean(known) if known else 0.0, of_seeds))
