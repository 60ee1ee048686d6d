"""Measures how far a run behaves like its base on a text, whatever the text's own next tokens are.

kl_to_base: mean over tokens of KL(base ‖ run), in nats. greedy_agreement: of the base's greedy continuations of the
documents' beginnings, the share of tokens that the run, at the same place, would choose too. Both are over a slice of
the text: they are the same for all runs of a base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nr_core.base.head import Head
from nr_core.base.load_base import context_length, load_base, named
from nr_core.base.precision import to_read_from
from nr_core.errors import ModelError
from nr_core.evaluation.bits_per_byte import Tokens, choose_documents, fitted, tokens_read, window_batches
from nr_core.evaluation.tasks.ratio import Ratio, bootstrap_error
from nr_core.runs.build_on_earlier import MODEL_FOLDER
from nr_core.settings import BaseSpec, EvaluationSettings
from nr_core.tokenization.tokenizer import TokenStream

PROMPT, CONTINUATION = 32, 32  # tokens
MOST_PROMPTS = 64


class Base:
    """The base of a run: the run without its adapter, or for a run that is a whole model, the base itself."""

    def __init__(self, run: Head, spec: BaseSpec, folder: Path) -> None:
        self._run = run
        self._own = None
        if (folder / MODEL_FOLDER).is_dir():
            self._own = Head(to_read_from(load_base(spec), run.precision), run.precision)

    @contextmanager
    def active(self) -> Iterator[Head]:
        if self._own is not None:
            yield self._own
            return
        with self._run.model.disable_adapter():
            yield self._run


def behaviour_rows(
    eval_id: str,
    head: Head,
    base: Base,
    stream: TokenStream,
    settings: EvaluationSettings,
    advance: Callable[[int], None] = lambda tokens: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows of the tables evaluations and evaluation_items, on behaviour_tokens of the stream. advance(tokens
    read) is called after each batch.
    """
    metrics, items = [], []
    documents = _documents(stream, settings)
    for metric, ratio in (
        ("kl_to_base", divergence(head, base, stream, documents, settings, advance)),
        ("greedy_agreement", agreement(head, base, stream, documents, settings, advance)),
    ):
        key = {"eval_id": eval_id, "metric": metric}
        n, error = len(ratio.numerators), bootstrap_error(ratio)
        metrics.append({**key, "value": ratio.value, "n": n, "stderr": error})
        sums = {"numerators": ratio.numerators.tolist(), "denominators": ratio.denominators.tolist()}
        items.append({**key, "parts": None, **sums})
    return metrics, items


@torch.inference_mode()
def divergence(
    head: Head,
    base: Base,
    stream: TokenStream,
    documents: list[int],
    settings: EvaluationSettings,
    advance: Callable[[int], None] = lambda tokens: None,
) -> Ratio:
    device, settings = next(head.model.parameters()).device, fitted(settings, head.model)
    texts = [stream.content(document) for document in documents]
    sums = np.zeros(len(texts))
    for owners, windows, known, lengths in window_batches(texts, settings, stream.context_token):
        inputs = torch.from_numpy(windows[:, :-1]).to(device)
        places = np.arange(inputs.shape[1])
        scored = (places >= known[:, None]) & (places < lengths[:, None])
        each = _divergences(head, base, inputs).double().cpu().numpy()
        np.add.at(sums, owners, (each * scored).sum(1))
        advance(2 * inputs.numel())
    if not np.isfinite(sums).all():
        raise ModelError(
            f"There is no kl_to_base: {named(head.model)} or its base puts out numbers that are not finite (NaN or "
            "infinite); give another base."
        )
    return Ratio(sums, np.array([float(len(text)) for text in texts]))


def _divergences(head: Head, base: Base, inputs: Tensor) -> Tensor:
    """Return KL(base ‖ run) at each of the tokens (B, T), in nats."""
    with base.active() as original:
        expected, to_expected = original.hidden(inputs)
    found, to_found = head.hidden(inputs)
    expected, parts = expected.flatten(0, 1), []
    for states, piece in head.pieces(found.flatten(0, 1)):
        with base.active():
            before = to_expected(expected[piece]).float().log_softmax(-1)
        after = to_found(states).float().log_softmax(-1)
        # In place: each is as wide as the vocabulary.
        parts.append(after.neg_().add_(before).mul_(before.exp_()).sum(-1))
    return torch.cat(parts).view_as(inputs)


@torch.inference_mode()
def agreement(
    head: Head,
    base: Base,
    stream: TokenStream,
    documents: list[int],
    settings: EvaluationSettings,
    advance: Callable[[int], None] = lambda tokens: None,
) -> Ratio:
    device = next(head.model.parameters()).device
    prompts, continued = _prompts(head, [stream.content(document) for document in documents])
    begun = torch.from_numpy(np.stack(prompts).astype(np.int64)).to(device)
    opening = torch.full((len(begun), 1), stream.context_token, device=device)
    same = []
    for first in range(0, len(begun), settings.batch_size):
        ids = torch.cat([opening, begun], 1)[first : first + settings.batch_size]
        start = ids.shape[1]
        with base.active() as original:
            for _ in range(continued):
                advance(ids.numel())
                ids = torch.cat([ids, _greedy(original, ids, ids.shape[1] - 1)], 1)
        chosen = _greedy(head, ids[:, :-1], start - 1)
        advance(ids[:, :-1].numel())
        same.append((chosen == ids[:, start:]).double().sum(1).cpu().numpy())
    agreed = np.concatenate(same)
    return Ratio(agreed, np.full(len(agreed), float(continued)))


def behaviour_cost(head: Head, stream: TokenStream, settings: EvaluationSettings) -> int:
    """Return how many tokens run and base read for behaviour_rows."""
    texts = [stream.content(document) for document in _documents(stream, settings)]
    prompts, continued = _prompts(head, texts)
    begun = 1 + len(prompts[0])
    greedy = sum(range(begun, begun + continued)) + begun + continued - 1  # the base token by token, the run at once
    return 2 * tokens_read(texts, fitted(settings, head.model)) + len(prompts) * greedy


def _documents(stream: TokenStream, settings: EvaluationSettings) -> list[int]:
    """Return documents that have tokens, of behaviour_tokens together."""
    chosen = choose_documents(stream, settings.behaviour_tokens)
    return [document for document in chosen if len(stream.content(document))]


def _prompts(head: Head, texts: list[Tokens]) -> tuple[list[Tokens], int]:
    """Return the beginnings of documents that are continued, of one length, and by how many tokens."""
    longest = context_length(head.model.config) or PROMPT + CONTINUATION
    length = min(PROMPT, longest // 2)
    # Prompts of one length need no padding; a document that is shorter gives none.
    prompts = [text[:length] for text in texts if len(text) >= length][:MOST_PROMPTS]
    if not prompts:
        length = min(len(text) for text in texts)
        prompts = [text[:length] for text in texts][:MOST_PROMPTS]
    return prompts, min(CONTINUATION, longest - length)


def _greedy(head: Head, ids: Tensor, start: int) -> Tensor:
    """Choose the likeliest token behind each place of ids (B, T) from `start` on: (B, T - start)."""
    states, to_logits = head.hidden(ids)
    asked = states[:, start:]
    return torch.cat([to_logits(part).argmax(-1) for part, _ in head.pieces(asked.flatten(0, 1))]).view(len(ids), -1)
