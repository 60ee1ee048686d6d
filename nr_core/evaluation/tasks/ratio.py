"""A figure as a ratio of sums over items, with its standard error; what every kind of task reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 1000
RESAMPLE_SEED = 0
CHUNK = 1 << 22  # numbers drawn at once: bounds memory


class Scored(NamedTuple):
    """A model's score of one continuation."""

    loglikelihood: float  # natural logarithm of its probability after the context, summed over its tokens
    greedy: bool  # each of its tokens is the likeliest one
    tokens: int


class Ratio(NamedTuple):
    """value = sum of numerators / sum of denominators; one entry an item, so that two models can be paired."""

    numerators: np.ndarray[Any, Any]
    denominators: np.ndarray[Any, Any]

    @property
    def value(self) -> float:
        return float(self.numerators.sum() / self.denominators.sum())


def mean_of(values: Sequence[float] | np.ndarray[Any, Any]) -> Ratio:
    """Return the ratio that is a mean over items."""
    array = np.asarray(values, dtype=float)
    return Ratio(array, np.ones_like(array))


def bootstrap_error(ratio: Ratio, resamples: int = RESAMPLES) -> float | None:
    """Return the standard deviation of the value over resamples of the items, drawn with replacement; None for fewer
    than two.
    """
    n = len(ratio.numerators)
    if n < 2:
        return None
    draw = np.random.default_rng(RESAMPLE_SEED)
    values: list[float] = []
    while len(values) < resamples:
        chosen = draw.integers(0, n, (min(resamples - len(values), max(1, CHUNK // n)), n))
        values.extend(ratio.numerators[chosen].sum(1) / ratio.denominators[chosen].sum(1))
    return float(np.std(values))
