"""Held-out documents, cut into the windows in which a model scores them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nr_core.settings import EvaluationSettings
from nr_core.tokens import TokenStream

SAMPLE_SEED = 0  # of the order in which documents are taken until max_tokens: the same for every model


def choose_documents(stream: TokenStream, max_tokens: int | None) -> list[int]:
    """Whole documents with text, in a fixed random order, until they have given max_tokens."""
    chosen: list[int] = []
    tokens = 0
    for document in np.random.default_rng(SAMPLE_SEED).permutation(stream.documents):
        if max_tokens is not None and tokens >= max_tokens:
            break
        length = len(stream.content(document))
        if length:
            chosen.append(int(document))
            tokens += length
    return sorted(chosen)


def window_batches(
    texts: list[np.ndarray[Any, Any]], settings: EvaluationSettings, context_token: int
) -> Iterator[tuple[np.ndarray[Any, Any], ...]]:
    """The document of each window (rows,), the windows padded on the right (rows, length + 1), how many of its first
    tokens the window before has scored (rows,), and its tokens (rows,).

    Windows of like length go together, so that little is padded.
    """
    size, stride = settings.sequence_length, settings.stride or settings.sequence_length
    windows = []
    for i, text in enumerate(texts):
        for start in range(0, len(text), stride):
            known = 0 if start == 0 else size - stride
            if known < len(text) - start:  # else the window before reached the text's end
                windows.append((i, text[start : start + size], known))
    windows.sort(key=lambda window: (-len(window[1]), window[0]))
    for first in range(0, len(windows), settings.batch_size):
        group = windows[first : first + settings.batch_size]
        lengths = np.array([len(tokens) for _, tokens, _ in group])
        padded = np.full((len(group), int(lengths.max()) + 1), context_token, dtype=np.int64)
        for row, (_, tokens, _) in enumerate(group):
            padded[row, 1 : len(tokens) + 1] = tokens
        yield np.array([owner for owner, _, _ in group]), padded, np.array([known for _, _, known in group]), lengths
