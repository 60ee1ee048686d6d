"""Acceptability judgements (HuCOLA): does log-likelihood per token rank acceptable sentences above unacceptable ones?

auc is the area under the ROC curve: the chance that an acceptable sentence gets more than an unacceptable one, ties
counted half. No threshold is fitted. Items carry DeLong's pseudo-values, whose mean is the area and whose variance is
that of its estimate (DeLong, DeLong and Clarke-Pearson 1988): so two models on the same sentences can be paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nr_core.errors import ModelError
from nr_core.evaluation.tasks.figures import Ratio, Scored, mean_of
from nr_core.evaluation.tasks.items import Item, Row, expression
from nr_core.evaluation.tasks.settings import TaskSettings


def items(task: TaskSettings, rows: Sequence[Row], examples: Sequence[Row] = ()) -> list[Item]:
    sentence, acceptable, part = (expression(task, name) for name in ("sentence", "acceptable", "part"))
    made = [Item([("", task.delimiter + sentence(row))], int(bool(acceptable(row))), str(part(row))) for row in rows]
    if len({item.gold for item in made}) < 2:
        raise ModelError(f"Task {task.name}: all of its sentences have one label; its `acceptable` tells none apart.")
    return made


def figures(asked: Sequence[Item], scored: Sequence[Sequence[Scored]]) -> dict[str, Ratio]:
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
