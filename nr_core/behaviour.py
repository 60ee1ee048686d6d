"""How far a run behaves like its base on a text, whatever the text's own next tokens are.

kl_to_base: mean over tokens of KL(base ‖ run), in nats. greedy_agreement: of the base's greedy continuations of the
documents' beginnings, the share of tokens that the run, at the same place, would choose too. Both are over a slice of
the text: they are the same for all runs of a base.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from nr_core.errors import ModelError
from nr_core.models import context_length, load_base, named
from nr_core.run_folder import MODEL_FOLDER
from nr_core.settings import BaseSpec, EvaluationSettings
from nr_core.tasks.figures import Ratio, bootstrap_error
from nr_core.tokens import TokenStream
from nr_core.windows import choose_documents, fitted, window_batches

PROMPT, CONTINUATION = 32, 32  # tokens
MOST_PROMPTS = 64


class Base:
    """The base of a run: the run without its adapter, or for a run that is a whole model, the base itself."""

    def __init__(self, model: Any, spec: BaseSpec, run: Path) -> None:
        self._run = model
        self._own = load_base(spec).eval() if (run / MODEL_FOLDER).is_dir() else None

    @contextmanager
    def active(self) -> Iterator[Any]:
        if self._own is not None:
            yield self._own
            return
        with self._run.disable_adapter():
            yield self._run


def behaviour_rows(
    eval_id: str, model: Any, base: Base, stream: TokenStream, settings: EvaluationSettings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the tables evaluations and evaluation_items, on behaviour_tokens of the stream."""
    metrics, items = [], []
    documents = choose_documents(stream, settings.behaviour_tokens)
    for metric, ratio in (
        ("kl_to_base", divergence(model, base, stream, documents, settings)),
        ("greedy_agreement", agreement(model, base, stream, documents, settings)),
    ):
        key = {"eval_id": eval_id, "metric": metric}
        n, error = len(ratio.numerators), bootstrap_error(ratio)
        metrics.append({**key, "value": ratio.value, "n": n, "stderr": error})
        sums = {"numerators": ratio.numerators.tolist(), "denominators": ratio.denominators.tolist()}
        items.append({**key, "parts": None, **sums})
    return metrics, items


@torch.inference_mode()
def divergence(
    model: Any, base: Base, stream: TokenStream, documents: list[int], settings: EvaluationSettings
) -> Ratio:
    device, settings = next(model.parameters()).device, fitted(settings, model)
    texts = [stream.content(document) for document in documents]
    sums = np.zeros(len(texts))
    for owners, windows, known, lengths in window_batches(texts, settings, stream.context_token):
        inputs = torch.from_numpy(windows[:, :-1]).to(device)
        places = np.arange(inputs.shape[1])
        scored = (places >= known[:, None]) & (places < lengths[:, None])
        with base.active() as original:
            expected = original(input_ids=inputs, use_cache=False).logits.float().log_softmax(-1)
        found = model(input_ids=inputs, use_cache=False).logits.float().log_softmax(-1)
        each = F.kl_div(found, expected, reduction="none", log_target=True).sum(-1).double().cpu().numpy()
        np.add.at(sums, owners, (each * scored).sum(1))
    if not np.isfinite(sums).all():
        raise ModelError(
            f"There is no kl_to_base: {named(model)} or its base puts out numbers that are not finite (NaN or "
            "infinite); give another base."
        )
    return Ratio(sums, np.array([float(len(text)) for text in texts]))


@torch.inference_mode()
def agreement(model: Any, base: Base, stream: TokenStream, documents: list[int], settings: EvaluationSettings) -> Ratio:
    device = next(model.parameters()).device
    texts = [stream.content(document) for document in documents]
    longest = context_length(model.config) or PROMPT + CONTINUATION
    length = min(PROMPT, longest // 2)
    # Prompts of one length need no padding; a document that is shorter gives none.
    prompts = [text[:length] for text in texts if len(text) >= length][:MOST_PROMPTS]
    if not prompts:
        length = min(len(text) for text in texts)
        prompts = [text[:length] for text in texts][:MOST_PROMPTS]
    continued = min(CONTINUATION, longest - length)
    begun = torch.from_numpy(np.stack(prompts).astype(np.int64)).to(device)
    opening = torch.full((len(begun), 1), stream.context_token, device=device)
    same = []
    for first in range(0, len(begun), settings.batch_size):
        ids = torch.cat([opening, begun], 1)[first : first + settings.batch_size]
        start = ids.shape[1]
        with base.active() as original:
            for _ in range(continued):
                ids = torch.cat([ids, original(input_ids=ids, use_cache=False).logits[:, -1:].argmax(-1)], 1)
        chosen = model(input_ids=ids[:, :-1], use_cache=False).logits[:, start - 1 :].argmax(-1)
        same.append((chosen == ids[:, start:]).double().sum(1).cpu().numpy())
    agreed = np.concatenate(same)
    return Ratio(agreed, np.full(len(agreed), float(continued)))
