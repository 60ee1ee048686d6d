"""Minimal pairs (BLiMP, CLAMS): is the grammatical sentence likelier than the ungrammatical one?"""

from __future__ import annotations

from collections.abc import Sequence

from nr_core.evaluation.tasks.figures import Ratio, Scored, mean_of
from nr_core.evaluation.tasks.items import Item, Row, expression
from nr_core.evaluation.tasks.settings import TaskSettings


def items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    good, bad, part = (expression(task, name) for name in ("good", "bad", "part"))
    return [
        Item([("", task.delimiter + good(row)), ("", task.delimiter + bad(row))], 0, str(part(row))) for row in rows
    ]


def figures(asked: Sequence[Item], scored: Sequence[Sequence[Scored]]) -> dict[str, Ratio]:
    """The first of two equal sums counts as chosen, as in lm-evaluation-harness."""
    return {"acc": mean_of([float(good.loglikelihood >= bad.loglikelihood) for good, bad in scored])}
