"""Held-out documents, cut into the windows in which a model scores them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nr_core.errors import ModelError
from nr_core.models import window_length
from nr_core.settings import DEFAULT_LENGTH, EvaluationSettings
from nr_core.tokens import TokenStream

CPU_TOKENS = 4096  # of a forward pass on a CPU: more are no faster there, and each layer's tensors grow with them
SAMPLE_SEED = 0  # of the order in which documents are taken until max_tokens: the same for every model

Tokens = np.ndarray[Any, Any]


def fitted(settings: EvaluationSettings, model: Any) -> EvaluationSettings:
    """Return the settings with a window that the model's context holds, and on a CPU with as few windows at once as
    keep it busy. Raises ModelError where the window asked for is longer, or where windows would leave a gap."""
    length = window_length(model, settings.sequence_length, "evaluation")
    if settings.stride is not None and settings.stride > length:
        raise ModelError(
            f"evaluation: a stride of {settings.stride} leaves tokens between windows of {length} unscored; lower it."
        )
    on_cpu = next(model.parameters()).device.type == "cpu"
    size = min(settings.batch_size, max(1, CPU_TOKENS // length)) if on_cpu else settings.batch_size
    return settings.model_copy(update={"sequence_length": length, "batch_size": size})


def choose_documents(stream: TokenStream, max_tokens: int | None) -> list[int]:
    """Choose whole documents with text, in a fixed random order, until they have given max_tokens."""
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


def cut(texts: Sequence[Tokens], size: int, stride: int | None = None) -> list[tuple[int, Tokens, int]]:
    """Cut texts into windows of at most `size` tokens: (text, tokens, how many of the first the window before has
    scored).
    """
    step = stride or size
    windows = []
    for i, text in enumerate(texts):
        for start in range(0, len(text), step):
            known = 0 if start == 0 else size - step
            if known < len(text) - start:  # else the window before reached the text's end
                windows.append((i, text[start : start + size], known))
    return windows


def window_batches(
    texts: list[Tokens], settings: EvaluationSettings, context_token: int
) -> Iterator[tuple[Tokens, ...]]:
    """Return the windows of some texts, as `padded` gives them; the owner of a window is its text."""
    size = settings.sequence_length or DEFAULT_LENGTH
    return padded(cut(texts, size, settings.stride), settings.batch_size, context_token)


def padded(
    windows: Sequence[tuple[int, Tokens, int]], batch_size: int, context_token: int
) -> Iterator[tuple[Tokens, ...]]:
    """Yield the owner of each window (rows,), the windows opened by the context token and padded on the right (rows,
    length + 1), how many of its first tokens the window before has scored (rows,), and its tokens (rows,).

    Windows of like length go together, so that little is padded.
    """
    ordered = sorted(windows, key=lambda window: (-len(window[1]), window[0]))
    for first in range(0, len(ordered), batch_size):
        group = ordered[first : first + batch_size]
        lengths = np.array([len(tokens) for _, tokens, _ in group])
        rows = np.full((len(group), int(lengths.max()) + 1), context_token, dtype=np.int64)
        for row, (_, tokens, _) in enumerate(group):
            rows[row, 1 : len(tokens) + 1] = tokens
        yield np.array([owner for owner, _, _ in group]), rows, np.array([known for _, _, known in group]), lengths
