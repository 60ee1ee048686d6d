"""The kinds of task: how rows become items, and how answers are scored.

Multiple choice by log-likelihood: the answer is the choice that the model finds likeliest after the question. acc takes
the sum over the choice's tokens; acc_norm divides it by the length in characters of the choice alone (not of the
delimiter before it), acc_bytes by its length in UTF-8 bytes, as lm-evaluation-harness does.

Minimal pairs: is the grammatical sentence likelier than the ungrammatical one? BLiMP and CLAMS bring both sentences;
word order makes the ungrammatical one (word_order.py).

Acceptability judgements (HuCOLA): does log-likelihood per token rank acceptable sentences above unacceptable ones? auc
is the area under the ROC curve: the chance that an acceptable sentence gets more than an unacceptable one, ties counted
half. No threshold is fitted. Items carry DeLong's pseudo-values, whose mean is the area and whose variance is that of
its estimate (DeLong, DeLong and Clarke-Pearson 1988): so two models on the same sentences can be paired.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nr_core.errors import ModelError
from nr_core.evaluation.tasks.items import (
    Item,
    Row,
    as_text,
    expression,
    read_rows,
    sample_items,
    template,
    text_expression,
)
from nr_core.evaluation.tasks.ratio import Ratio, Scored, bootstrap_error, mean_of
from nr_core.evaluation.tasks.settings import Kind, TaskSettings
from nr_core.evaluation.tasks.word_order import word_order_items

if TYPE_CHECKING:
    from nr_core.evaluation.tasks.loglikelihood import Scorer


def choice_items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    """Make the items of multiple choice. examples: the rows that few-shot examples are taken from."""
    description, prompt = template(task, "description"), template(task, "prompt")
    choices, answer, part = _choices(task), expression(task, "answer"), expression(task, "part")
    made = []
    for row in rows:
        shown = _few_shot(task, row, examples, prompt, choices, answer)
        context = description(row) + shown + prompt(row)
        made.append(
            Item(
                [(context, task.delimiter + choice) for choice in choices(row)],
                _gold(task, row, choices, answer),
                str(part(row)),
                task.delimiter,
            )
        )
    return made


def _few_shot(task: TaskSettings, row: Row, examples: Sequence[Row], prompt: Any, choices: Any, answer: Any) -> str:
    if task.few_shot is None:
        return ""
    same = task.few_shot.same
    fitting = [other for other in examples if other != row and (same is None or other.get(same) == row.get(same))]
    if len(fitting) < task.few_shot.examples:
        raise ModelError(
            f"Task {task.name}: {len(fitting)} examples for a question that needs {task.few_shot.examples}; lower "
            "few_shot.examples."
        )
    return "".join(
        prompt(example) + task.delimiter + choices(example)[_gold(task, example, choices, answer)] + "\n\n"
        for example in fitting[: task.few_shot.examples]
    )


def _choices(task: TaskSettings) -> Callable[[Row], list[str]]:
    listed = expression(task, "choices")

    def of(row: Row) -> list[str]:
        found = listed(row)
        if not isinstance(found, list | tuple) or not found:  # a text would be a choice a letter
            raise ModelError(
                f"Task {task.name}: choices of a row are {reprlib.repr(found)} and no list of answers; correct the "
                "expression, or the row."
            )
        return [as_text(task, "choices", choice) for choice in found]

    return of


def _gold(task: TaskSettings, row: Row, choices: Any, answer: Any) -> int:
    given, count = answer(row), len(choices(row))
    try:
        gold = int(given)
        is_whole = gold == float(given)
    except (ValueError, TypeError, OverflowError):
        is_whole = False
    if not is_whole:
        raise ModelError(
            f"Task {task.name}: answer {reprlib.repr(given)} of a row is no whole number; it is the place of the right "
            "one among the choices, from 0, as in `'ABCD'.index(label)`."
        )
    if not 0 <= gold < count:
        raise ModelError(f"Task {task.name}: answer {gold} of a row with {count} choices; it counts from 0.")
    return gold


def choice_figures(asked: Sequence[Item], scored: Sequence[Sequence[Scored]]) -> dict[str, Ratio]:
    right: dict[str, list[float]] = {"acc": [], "acc_norm": [], "acc_bytes": []}
    for item, answers in zip(asked, scored, strict=True):
        sums = np.array([answer.loglikelihood for answer in answers])
        texts = [continuation.removeprefix(item.delimiter) for _, continuation in item.pairs]
        lengths = {
            "acc": np.ones(len(texts)),
            "acc_norm": np.array([float(len(text)) for text in texts]),
            "acc_bytes": np.array([float(len(text.encode())) for text in texts]),
        }
        for metric, length in lengths.items():
            right[metric].append(float(np.argmax(sums / np.maximum(length, 1)) == item.gold))
    return {metric: mean_of(values) for metric, values in right.items()}


def pair_items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    """Pair the two sentences that each row brings."""
    good, bad = text_expression(task, "good"), text_expression(task, "bad")
    part = expression(task, "part")
    return [
        Item([("", task.delimiter + good(row)), ("", task.delimiter + bad(row))], 0, str(part(row))) for row in rows
    ]


def pair_figures(asked: Sequence[Item], scored: Sequence[Sequence[Scored]]) -> dict[str, Ratio]:
    """Count the pairs whose first sentence is likelier. Equal sums count as that, as in lm-evaluation-harness."""
    return {"acc": mean_of([float(good.loglikelihood >= bad.loglikelihood) for good, bad in scored])}


def acceptability_items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    sentence = text_expression(task, "sentence")
    acceptable, part = (expression(task, name) for name in ("acceptable", "part"))
    made = [Item([("", task.delimiter + sentence(row))], int(bool(acceptable(row))), str(part(row))) for row in rows]
    if len({item.gold for item in made}) < 2:
        raise ModelError(f"Task {task.name}: all of its sentences have one label; its `acceptable` tells none apart.")
    return made


def acceptability_figures(asked: Sequence[Item], scored: Sequence[Sequence[Scored]]) -> dict[str, Ratio]:
    scores = np.array([one.loglikelihood / max(one.tokens, 1) for (one,) in scored])
    return {"auc": mean_of(pseudo_values(scores, np.array([item.gold == 1 for item in asked])))}


def pseudo_values(scores: np.ndarray[Any, Any], positive: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return DeLong's pseudo-values, one a score; their mean is the area under the ROC curve.

    NaN where one of the classes is empty.
    """
    good, bad = scores[positive], scores[~positive]
    if not len(good) or not len(bad):
        return np.full(len(scores), np.nan)
    above = _share_below(good, bad)  # of the unacceptable ones, by acceptable sentence
    below = 1 - _share_below(bad, good)
    area, n = above.mean(), len(scores)
    values = np.empty(n)
    values[positive] = area + n / len(good) * (above - area)
    values[~positive] = area + n / len(bad) * (below - area)
    return values


def _share_below(values: np.ndarray[Any, Any], others: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return for each value the share of the others that are smaller, ties counted half."""
    order = np.sort(others)
    smaller, not_larger = (np.searchsorted(order, values, side) for side in ("left", "right"))
    return (smaller + not_larger) / 2 / len(order)


class TaskKind(NamedTuple):
    """A kind of task: makes items of rows (and of rows for few-shot examples), and figures of the answers."""

    items: Callable[[TaskSettings, Sequence[Row], Sequence[Row]], list[Item]]
    figures: Callable[[Sequence[Item], Sequence[Sequence[Scored]]], dict[str, Ratio]]


def last_word_items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    """Ask for the last word of a passage (LAMBADA): is it what the model would go on with?"""
    prompt, continuation = template(task, "prompt"), text_expression(task, "continuation")
    part = expression(task, "part")
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
    "multiple_choice": TaskKind(choice_items, choice_figures),
    "minimal_pairs": TaskKind(pair_items, pair_figures),
    "word_order": TaskKind(word_order_items, pair_figures),
    "acceptability": TaskKind(acceptability_items, acceptability_figures),
    "last_word": TaskKind(last_word_items, last_word_figures),
}
PERPLEXITY_OF = "nats_per_word"  # perplexity is its exponential


def make_items(task: TaskSettings, folder: Path, most: int | None = None) -> list[Item]:
    """Return what a task asks, from its data in `folder` or on the hub; at most so many items.

    Raises ModelError where the data is not to be had, or does not fit the task's expressions.
    """
    examples = read_rows(task, folder, task.few_shot.split) if task.few_shot else []
    items = KINDS[task.kind].items(task, read_rows(task, folder), examples)
    if not items:
        raise ModelError(f"Task {task.name}: none of its rows makes a question; give other data.")
    return sample_items(items, most)


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
    scorer: Scorer,
    kind: Kind,
    items: Sequence[Item],
    expect: Callable[[int], None] = lambda tokens: None,
    advance: Callable[[int], None] = lambda tokens: None,
) -> dict[str, Ratio]:
    """Return the figures of a model on some items: metric -> ratio over items. expect, advance: as of Scorer.score."""
    pairs = [pair for item in items for pair in item.pairs]
    answers: Iterator[Scored] = iter(scorer.score(pairs, expect, advance))
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
