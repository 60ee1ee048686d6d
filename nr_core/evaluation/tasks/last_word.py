"""LAMBADA: is the passage's last word what the model would go on with?

acc: all of its tokens are the likeliest ones; perplexity: exp of the mean nats a word.
"""

from __future__ import annotations

from collections.abc import Sequence

from nr_core.evaluation.tasks.figures import Ratio, Scored, mean_of
from nr_core.evaluation.tasks.items import Item, Row, expression, template
from nr_core.evaluation.tasks.settings import TaskSettings


def items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    prompt, continuation, part = template(task, "prompt"), expression(task, "continuation"), expression(task, "part")
    return [Item([(prompt(row), task.delimiter + continuation(row))], 0, str(part(row))) for row in rows]


def figures(asked: Sequence[Item], scored: Sequence[Sequence[Scored]]) -> dict[str, Ratio]:
    return {
        "acc": mean_of([float(one.greedy) for (one,) in scored]),
        "nats_per_word": mean_of([-one.loglikelihood for (one,) in scored]),
    }
