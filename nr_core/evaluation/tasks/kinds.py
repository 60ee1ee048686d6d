"""The kinds of task: how rows become items, and what the answers are worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nr_core.evaluation.tasks import acceptability, last_word, minimal_pairs, multiple_choice, word_order
from nr_core.evaluation.tasks.figures import Ratio, Scored, bootstrap_error
from nr_core.evaluation.tasks.items import Item, sample_items
from nr_core.evaluation.tasks.rows import read_rows
from nr_core.evaluation.tasks.settings import Kind, TaskSettings

if TYPE_CHECKING:
    from nr_core.evaluation.tasks.loglikelihood import Scorer

KINDS: dict[Kind, Any] = {
    "multiple_choice": multiple_choice,
    "minimal_pairs": minimal_pairs,
    "word_order": word_order,
    "acceptability": acceptability,
    "last_word": last_word,
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
    figures: dict[str, Ratio] = KINDS[kind].figures(items, [[next(answers) for _ in item.pairs] for item in items])
    return figures


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
