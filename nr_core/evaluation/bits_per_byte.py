"""The one definition of bits per byte, for `nr evaluate` and for the forgetting that a training measures.

A text is cut into windows; each is opened by one context token (the model's beginning-of-text token, else the
end-of-text token), which is not scored, as no special token is. Where windows overlap, a window scores what the one
before did not. So every token of the text is scored once, nothing crosses documents, and the bytes are those of the
text: figures of models with different tokenizers compare.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nr_core.base.head import Head
from nr_core.base.load_base import chooses_tokens, named, window_length
from nr_core.errors import ModelError
from nr_core.settings import DEFAULT_LENGTH, EvaluationSettings
from nr_core.tokenization.tokenizer import TokenStream

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
    size = 1 if chooses_tokens(model.config, length) else size
    return settings.model_copy(update={"sequence_length": length, "batch_size": size})


def choose_documents(stream: TokenStream, max_tokens: int | None) -> list[int]:
    """Choose whole documents with text, in a fixed random order, until they have given max_tokens.

    One whose text the tokenizer loses altogether is among them: `lost_share` counts it. Raises ModelError where no
    document has any text.
    """
    chosen: list[int] = []
    tokens = 0
    for document in np.random.default_rng(SAMPLE_SEED).permutation(stream.documents):
        if max_tokens is not None and tokens >= max_tokens:
            break
        length = len(stream.content(document))
        if length or stream.byte_lengths[document]:
            chosen.append(int(document))
            tokens += length
    if not chosen:
        raise ModelError(f"{stream.folder} holds no text, so there is nothing to score; give a set that has some.")
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


def tokens_read(texts: Sequence[Tokens], settings: EvaluationSettings) -> int:
    """Return how many tokens a model reads for the windows of some texts, with their padding: what scoring costs."""
    lengths = sorted(
        (len(window) for _, window, _ in cut(texts, settings.sequence_length or DEFAULT_LENGTH, settings.stride)),
        reverse=True,
    )
    return sum(lengths[i - i % settings.batch_size] for i in range(len(lengths)))


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


MOST_LOST = 0.01  # of a text's bytes: its figure is too low by about as much, which is less than seeds differ by


def window_nats(head: Head, windows: np.ndarray[Any, Any], scored: Tensor) -> np.ndarray[Any, Any]:
    """Return the nats of the tokens that are scored, by window.

    windows (rows, length + 1): token ids, the first of which is context, padded on the right; scored (rows, length):
    which of the others count. Returns (rows,) in double. Raises ModelError where one is not finite.
    """
    inputs = torch.from_numpy(windows).to(next(head.model.parameters()).device)
    # Windows are padded on the right, so a causal model needs no mask; what the padding predicts is dropped.
    nats = head.token_nats(inputs[:, :-1], inputs[:, 1:])
    sums = nats.double().cpu().masked_fill(~scored, 0.0).sum(1).numpy()
    if not np.isfinite(sums).all():
        raise ModelError(
            f"There are no bits per byte: {named(head.model)} puts out numbers that are not finite (NaN or infinite), "
            "since its weights are damaged or its activations overflow; give another model."
        )
    return sums


def scored_places(length: int, known: np.ndarray[Any, Any], lengths: np.ndarray[Any, Any]) -> Tensor:
    """Return (rows, length) bool: the tokens of each window's text but the first `known` ones, which another window
    scores.
    """
    places = torch.arange(length)
    return (places >= torch.from_numpy(known)[:, None]) & (places < torch.from_numpy(lengths)[:, None])


def bits_per_byte(nats: np.ndarray[Any, Any], sizes: np.ndarray[Any, Any]) -> tuple[float, float | None]:
    """Return bits per byte and its standard error, given nats and UTF-8 bytes of documents, or of windows."""
    return ratio(nats / math.log(2), sizes)


def ratio(numerators: np.ndarray[Any, Any], denominators: np.ndarray[Any, Any]) -> tuple[float, float | None]:
    """Return the ratio of sums, and its standard error over documents by linearisation; None for fewer than two
    documents.
    """
    value = float(numerators.sum() / denominators.sum())
    n = len(numerators)
    if n < 2:
        return value, None
    residuals = numerators - value * denominators
    return value, float(math.sqrt(n / (n - 1) * (residuals**2).sum()) / denominators.sum())


def lost_share(stream: TokenStream, documents: list[int] | None = None) -> float:
    """Return the share of some documents' bytes (default: of all) that the tokens do not give back.

    Raises ModelError where it is above MOST_LOST: what is lost costs no bits, and the figure would flatter the model.
    """
    if stream.lost_bytes is None:
        return 0.0
    chosen: Any = slice(None) if documents is None else documents
    lost, whole = int(stream.lost_bytes[chosen].sum()), int(stream.byte_lengths[chosen].sum())
    if lost > MOST_LOST * whole:
        raise ModelError(
            f"The tokenizer loses {lost / whole:.1%} of the bytes of {stream.folder} (unknown or changed characters), "
            "which cost no bits, so bits per byte would come out too low; take a base whose tokenizer knows this text."
        )
    return lost / whole if whole else 0.0
