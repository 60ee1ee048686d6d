"""The kinds of task: how rows become items, and what the answers are worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nr_core.evaluation.tasks import acceptability, minimal_pairs, multiple_choice
from nr_core.evaluation.tasks.figures import Ratio, Scored, bootstrap_error, mean_of
from nr_core.evaluation.tasks.items import Item, Row, expression, sample_items, template
from nr_core.evaluation.tasks.rows import read_rows
from nr_core.evaluation.tasks.settings import Kind, TaskSettings

if TYPE_CHECKING:
    from nr_core.evaluation.tasks.loglikelihood import Scorer


class TaskKind(NamedTuple):
    """A kind of task: makes items of rows (and of rows for few-shot examples), and figures of the answers."""

    items: Callable[[TaskSettings, Sequence[Row], Sequence[Row]], list[Item]]
    figures: Callable[[Sequence[Item], Sequence[Sequence[Scored]]], dict[str, Ratio]]


def last_word_items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    """Ask for the last word of a passage (LAMBADA): is it what the model would go on with?"""
    prompt, continuation, part = template(task, "prompt"), expression(task, "continuation"), expression(task, "part")
    return [Item([(prompt(row), task.delimiter + continuation(row))], 0, str(part(row))) for row in rows]


def last_word_figures(asked: Sequence[Item], scored: Sequence[Sequence[Scored]]) -> dict[str, Ratio]:
    """Return acc, where all of its tokens are the likeliest ones, and nats a word; perplexity (`rows_of`): exp of the
    mean nats a word.
    """
    return {
        "acc": mean_of([float(one.greedy) for (one,) in scored]),
        "nats_per_word": mean_of([-one.loglikelihood for (one,) in scored]),
    }


KINDS: dict[Kind, TaskKind] = {
    "multiple_choice": TaskKind(multiple_choice.items, multiple_choice.figures),
    "minimal_pairs": TaskKind(minimal_pairs.items, minimal_pairs.figures),
    "word_order": TaskKind(minimal_pairs.word_order_items, minimal_pairs.figures),
    "acceptability": TaskKind(acceptability.items, acceptability.figures),
    "last_word": TaskKind(last_word_items, last_word_figures),
}
PERPLEXITY_OF = "nats_per_word"  # perplexity is its exponential


def make_items(task: TaskSettings, folder: Path, most: int | None = None) -> list[Item]:
    """Return what a task asks, from its data in `folder` or on the hub; at most so many items.

    Raises ModelError where the data is not to be had, or does not fit the task's expressions.
    """
    examples = read_rows(task, folder, task.few_shot.split) if task.few_shot else []
    return sample_items(KINDS[task.kind].items(task, read_rows(task, folder), examples), most)


def chance(kind: Kind, items: Sequence[Item]) -> float:
    """Return the accuracy (of acceptability, the area under the curve) that guessing gives.

    It is the mean over items of 1 / choices; a last word cannot be guessed.
    """
    if kind == "last_word":
        return 0.0
    if kind == "acceptability":
        return 0.5
    return sum(1 / len(item.pairs) for item in items) / len(items)


def ask(
    scorer: Scorer, kind: Kind, items: Sequence[Item], advance: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, Ratio]:
    """Return the figures of a model on some items: metric -> ratio over items."""
    answers: Iterator[Scored] = iter(scorer.score([pair for item in items for pair in item.pairs], advance))
    return KINDS[kind].figures(items, [[next(answers) for _ in item.pairs] for item in items])


def rows_of(eval_id: str, figures: dict[str, Ratio], items: Sequence[Item]) -> tuple[list[Any], list[Any]]:
    """Return rows of the tables evaluations and evaluation_items."""
    metrics, by_item = [], []
    parts = [item.part for item in items] if any(item.part for item in items) else None
    for metric, ratio in figures.items():
        key = {"eval_id": eval_id, "metric": metric}
        error = bootstrap_error(ratio)
        metrics.append({**key, "value": ratio.value, "n": len(items), "stderr": error})
        by_item.append(
            {
                **key,
                "parts": parts,
                "numerators": ratio.numerators.tolist(),
                "denominators": ratio.denominators.tolist(),
            }
        )
        if metric == PERPLEXITY_OF:
            value = math.exp(min(ratio.value, 700.0))  # beyond that it is no float
            spread = None if error is None else value * error  # to first order
            metrics.append({**key, "metric": "perplexity", "value": value, "n": len(items), "stderr": spread})
    return metrics, by_item
