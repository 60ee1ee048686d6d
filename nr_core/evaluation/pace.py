"""Tells how far an evaluation is, and what is left of it: counted in tokens that are read, over all of its parts.

Documents, batches and continuations cost unlike much, and a time left that counts those of one part alone says seconds
where minutes follow.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence

from nr_core.evaluation.tasks.items import Item
from nr_core.progress import Progress

CHARACTERS_A_TOKEN = 4  # about, of a task that no tokenizer has read yet


class Pace:
    """Reports what is read of the parts of an evaluation. Each is expected before the first begins."""

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self._progress, self._clock = progress, clock
        self._begun: float | None = None
        self._costs: dict[Hashable, int] = {}
        self._done = 0

    def expect(self, part: Hashable, tokens: int) -> None:
        """Say what a part costs, in place of what was expected of it before."""
        self._costs[part] = tokens
        if self._begun is None:
            self._begun = self._clock()

    def advance(self, name: str, tokens: int) -> None:
        """Report further tokens that were read; name: of the text or task."""
        self._done += tokens
        total = max(self._done, sum(self._costs.values()))
        rate = self._done / max(self._clock() - (self._begun or 0.0), 1e-9)
        self._progress.report(self._done, total, rate, (total - self._done) / rate, name)


def about_tokens(items: Sequence[Item]) -> int:
    """Guess what a task costs: what its continuations have in common is read once."""
    texts = sum(len(text) for item in items for _, text in item.pairs)
    contexts = sum(len(context) for item in items for context in {context for context, _ in item.pairs})
    return max(1, (texts + contexts) // CHARACTERS_A_TOKEN)
