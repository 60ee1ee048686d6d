"""Bits per byte and nats per token on held-out documents, and what the gates did there.

Every document's text is cut into windows that do not overlap; each window is opened by one context token (the model's
beginning-of-text token, else the end-of-text token) which is not scored, as no special token is. So every token of
the text is scored once, nothing crosses documents, and the bytes are those of whole documents: figures of models with
different tokenizers compare. The standard error is over documents, of a ratio of sums.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nr_core import stopping
from nr_core.files import write_json
from nr_core.models import check_vocabulary, load_run
from nr_core.progress import Progress
from nr_core.settings import EvaluationSettings
from nr_core.specs import EvaluateSpec
from nr_core.taps import Taps
from nr_core.tokens import TokenStream

EVALUATION_FILE = "evaluation.json"
SAMPLE_SEED = 0  # of the order in which documents are taken until max_tokens: the same for every model


@dataclass
class SetFigures:
    """Sums per scored document, and per layer over all scored tokens."""

    nats: np.ndarray[Any, Any]
    tokens: np.ndarray[Any, Any]
    bytes: np.ndarray[Any, Any]
    sizes: dict[int, float] = field(default_factory=dict)
    opened: dict[int, float] = field(default_factory=dict)

    def metrics(self, eval_id: str) -> list[dict[str, Any]]:
        per_byte, byte_error = ratio(self.nats / math.log(2), self.bytes)
        per_token, token_error = ratio(self.nats, self.tokens)
        common = {"eval_id": eval_id, "n": len(self.nats)}
        return [
            {**common, "metric": "bits_per_byte", "value": per_byte, "stderr": byte_error},
            {**common, "metric": "nats_per_token", "value": per_token, "stderr": token_error},
        ]

    def gate_activity(self, eval_id: str) -> list[dict[str, Any]]:
        total = int(self.tokens.sum())
        return [
            {
                "eval_id": eval_id,
                "layer": layer,
                "open_rate": self.opened[layer] / total if layer in self.opened else None,
                "residue_size": size / total,
            }
            for layer, size in sorted(self.sizes.items())
        ]


def ratio(numerators: np.ndarray[Any, Any], denominators: np.ndarray[Any, Any]) -> tuple[float, float | None]:
    """Ratio of sums, and its standard error over documents by linearisation; None for fewer than two documents."""
    value = float(numerators.sum() / denominators.sum())
    n = len(numerators)
    if n < 2:
        return value, None
    residuals = numerators - value * denominators
    return value, float(math.sqrt(n / (n - 1) * (residuals**2).sum()) / denominators.sum())


def evaluate(spec: EvaluateSpec, progress: Progress) -> None:
    """Score a base or a run on every set; write out/evaluation.json. Raises Stopped where the job was asked to stop."""
    from nr_core.peft import find_taps

    streams = [(entry.eval_id, TokenStream.open(entry.tokens)) for entry in spec.sets]
    model = load_run(spec.base, spec.run)
    model.eval()
    taps = find_taps(model)
    chosen = [choose_documents(stream, spec.settings.max_tokens) for _, stream in streams]
    total = sum(
        len(stream.content(document))
        for (_, stream), documents in zip(streams, chosen, strict=True)
        for document in documents
    )
    metrics: list[dict[str, Any]] = []
    activity: list[dict[str, Any]] = []
    done, begun = 0, time.monotonic()
    for (eval_id, stream), documents in zip(streams, chosen, strict=True):
        check_vocabulary(model, stream.vocabulary_size, stream.folder)

        def advance(tokens: int, name: str = eval_id) -> None:
            nonlocal done
            if stopping.requested.is_set():
                raise stopping.Stopped
            done += tokens
            rate = done / (time.monotonic() - begun)
            progress.report(done, total, rate, (total - done) / rate, name)

        figures = score(model, taps, stream, documents, spec.settings, advance)
        metrics += figures.metrics(eval_id)
        activity += figures.gate_activity(eval_id)
    write_json(spec.out / EVALUATION_FILE, {"metrics": metrics, "gate_activity": activity})


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


@torch.inference_mode()
def score(
    model: Any,
    taps: Taps | None,
    stream: TokenStream,
    documents: list[int],
    settings: EvaluationSettings,
    advance: Any = lambda tokens: None,
) -> SetFigures:
    """Sum the nats of every token of some documents. advance(tokens) is called after each batch."""
    device = next(model.parameters()).device
    texts = [stream.content(document) for document in documents]
    figures = SetFigures(
        nats=np.zeros(len(texts)),
        tokens=np.array([len(text) for text in texts]),
        bytes=stream.byte_lengths[documents],
    )
    for owners, windows, lengths in _batches(texts, settings, stream.context_token):
        inputs = torch.from_numpy(windows).to(device)
        scored = torch.arange(inputs.shape[1] - 1) < torch.from_numpy(lengths)[:, None]
        with taps.collect() if taps is not None else nullcontext():
            # Windows are padded on the right, so a causal model needs no mask; what the padding predicts is dropped.
            logits = model(input_ids=inputs[:, :-1], use_cache=False).logits
            if taps is not None:
                _add_taps(figures, taps, scored.flatten().to(device))
        nats = F.cross_entropy(logits.flatten(0, 1).float(), inputs[:, 1:].flatten(), reduction="none")
        by_window = (nats.view(scored.shape).double().cpu() * scored).sum(1)
        np.add.at(figures.nats, owners, by_window.numpy())
        advance(int(lengths.sum()))
    return figures


def _add_taps(figures: SetFigures, taps: Taps, scored: Tensor) -> None:
    for (_, layer), tap in taps.slots.items():
        figures.sizes[layer] = figures.sizes.get(layer, 0.0) + float(tap.size[scored].sum())
        if tap.gate is not None:
            figures.opened[layer] = figures.opened.get(layer, 0.0) + float((tap.gate[scored] > 0).sum())


def _batches(
    texts: list[np.ndarray[Any, Any]], settings: EvaluationSettings, context_token: int
) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """The document of each window (rows,), the windows padded on the right (rows, length + 1), the tokens each scores.

    Windows of like length go together, so that little is padded.
    """
    size = settings.sequence_length
    windows = [(i, text[start : start + size]) for i, text in enumerate(texts) for start in range(0, len(text), size)]
    windows.sort(key=lambda window: (-len(window[1]), window[0]))
    for first in range(0, len(windows), settings.batch_size):
        group = windows[first : first + settings.batch_size]
        lengths = np.array([len(tokens) for _, tokens in group])
        padded = np.full((len(group), int(lengths.max()) + 1), context_token, dtype=np.int64)
        for row, (_, tokens) in enumerate(group):
            padded[row, 1 : len(tokens) + 1] = tokens
        yield np.array([owner for owner, _ in group]), padded, lengths
