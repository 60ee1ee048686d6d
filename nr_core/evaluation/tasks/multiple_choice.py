"""Multiple choice by log-likelihood: the answer is the choice that the model finds likeliest after the question.

acc takes the sum over the choice's tokens; acc_norm divides it by the length in characters of the choice alone (not of
the delimiter before it), acc_bytes by its length in UTF-8 bytes, as lm-evaluation-harness does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nr_core.errors import ModelError
from nr_core.evaluation.tasks.figures import Ratio, Scored, mean_of
from nr_core.evaluation.tasks.items import Item, Row, expression, template
from nr_core.evaluation.tasks.settings import TaskSettings


def items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    """examples: the rows that few-shot examples are taken from."""
    description, prompt = template(task, "description"), template(task, "prompt")
    choices, answer, part = (expression(task, name) for name in ("choices", "answer", "part"))
    made = []
    for row in rows:
        shown = _few_shot(task, row, examples, prompt, choices, answer)
        context = description(row) + shown + prompt(row)
        made.append(
            Item(
                [(context, task.delimiter + str(choice)) for choice in choices(row)],
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
        prompt(example) + task.delimiter + str(choices(example)[_gold(task, example, choices, answer)]) + "\n\n"
        for example in fitting[: task.few_shot.examples]
    )


def _gold(task: TaskSettings, row: Row, choices: Any, answer: Any) -> int:
    gold, count = int(answer(row)), len(choices(row))
    if not 0 <= gold < count:
        raise ModelError(f"Task {task.name}: answer {gold} of a row with {count} choices; it counts from 0.")
    return gold


def figures(asked: Sequence[Item], scored: Sequence[Sequence[Scored]]) -> dict[str, Ratio]:
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
