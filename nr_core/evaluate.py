"""Bits per byte, nats per token and perplexity on held-out documents, what the gates did there, and tasks.

Every document's text is cut into windows; each window is opened by one context token (the model's beginning-of-text
token, else the end-of-text token) which is not scored, as no special token is. Where windows overlap (`stride`), a
window scores what the one before did not. So every token of the text is scored once, nothing crosses documents, and
the bytes are those of whole documents: figures of models with different tokenizers compare. The standard error is over
documents, of a ratio of sums.
"""

from __future__ import annotations

import math
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nr_core import stopping
from nr_core.behaviour import Base, behaviour_rows
from nr_core.files import write_json
from nr_core.models import check_vocabulary
from nr_core.progress import Progress
from nr_core.settings import EvaluationSettings
from nr_core.specs import EvaluateSpec
from nr_core.taps import Taps
from nr_core.tokens import TokenStream, load_tokenizer
from nr_core.trained_run import load_run
from nr_core.windows import choose_documents, window_batches

EVALUATION_FILE = "evaluation.json"


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
        perplexity = math.exp(min(per_token, 700.0))  # beyond that it is no float
        spread = None if token_error is None else perplexity * token_error  # to first order
        return [
            {**common, "metric": "bits_per_byte", "value": per_byte, "stderr": byte_error},
            {**common, "metric": "nats_per_token", "value": per_token, "stderr": token_error},
            {**common, "metric": "perplexity", "value": perplexity, "stderr": spread},
        ]

    def by_item(self, eval_id: str) -> list[dict[str, Any]]:
        """What each document adds to a figure: two models on the same documents can be paired."""
        parts = {"bits_per_byte": (self.nats / math.log(2), self.bytes), "nats_per_token": (self.nats, self.tokens)}
        return [
            {
                "eval_id": eval_id,
                "metric": metric,
                "parts": None,
                "numerators": numerators.tolist(),
                "denominators": denominators.astype(float).tolist(),
            }
            for metric, (numerators, denominators) in parts.items()
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
    from nr_core.residue_layer import find_taps

    streams = [(entry.eval_id, TokenStream.open(entry.tokens)) for entry in spec.sets]
    model = load_run(spec.base, spec.run)
    model.eval()
    base = Base(model, spec.base, spec.run) if spec.run is not None and streams else None
    taps = find_taps(model)
    chosen = [choose_documents(stream, spec.settings.max_tokens) for _, stream in streams]
    total = sum(
        len(stream.content(document))
        for (_, stream), documents in zip(streams, chosen, strict=True)
        for document in documents
    )
    metrics: list[dict[str, Any]] = []
    items: list[dict[str, Any]] = []
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
        items += figures.by_item(eval_id)
        activity += figures.gate_activity(eval_id)
        if base is not None:
            more, sums = behaviour_rows(eval_id, model, base, stream, spec.settings)
            metrics += more
            items += sums
    task_metrics, task_items = evaluate_tasks(model, spec, progress)
    result = {"metrics": metrics + task_metrics, "items": items + task_items, "gate_activity": activity}
    if spec.harness is not None:
        from nr_core.tasks.harness import harness_rows, run_harness

        asked = spec.harness
        batch = spec.settings.batch_size
        found = run_harness(model, load_tokenizer(spec.base), asked.tasks, batch, asked.limit, asked.include_path)
        result = {name: rows + result.get(name, []) for name, rows in harness_rows(found).items()} | {
            "gate_activity": activity
        }
    write_json(spec.out / EVALUATION_FILE, result)


def evaluate_tasks(model: Any, spec: EvaluateSpec, progress: Progress) -> tuple[list[Any], list[Any]]:
    """Rows of the tables evaluations and evaluation_items, of every task of the spec."""
    from nr_core.tasks.items import read_items
    from nr_core.tasks.kinds import ask, rows_of
    from nr_core.tasks.loglikelihood import Scorer

    metrics: list[Any] = []
    by_item: list[Any] = []
    if spec.tasks:
        scorer = Scorer(model, load_tokenizer(spec.base), spec.settings.batch_size * spec.settings.sequence_length)
    for task in spec.tasks:
        begun = time.monotonic()

        def advance(done: int, total: int, name: str = task.eval_id, begun: float = begun) -> None:
            if stopping.requested.is_set():
                raise stopping.Stopped
            rate = done / max(time.monotonic() - begun, 1e-9)
            progress.report(done, total, rate, (total - done) / rate, f"{name}, continuations")

        asked = read_items(task.items)
        task_metrics, task_items = rows_of(task.eval_id, ask(scorer, task.kind, asked, advance), asked)
        metrics += task_metrics
        by_item += task_items
    return metrics, by_item


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
    for owners, windows, known, lengths in window_batches(texts, settings, stream.context_token):
        inputs = torch.from_numpy(windows).to(device)
        places = torch.arange(inputs.shape[1] - 1)
        scored = (places >= torch.from_numpy(known)[:, None]) & (places < torch.from_numpy(lengths)[:, None])
        with taps.collect() if taps is not None else nullcontext():
            # Windows are padded on the right, so a causal model needs no mask; what the padding predicts is dropped.
            logits = model(input_ids=inputs[:, :-1], use_cache=False).logits
            if taps is not None:
                _add_taps(figures, taps, scored.flatten().to(device))
        nats = F.cross_entropy(logits.flatten(0, 1).float(), inputs[:, 1:].flatten(), reduction="none")
        by_window = (nats.view(scored.shape).double().cpu() * scored).sum(1)
        np.add.at(figures.nats, owners, by_window.numpy())
        advance(int((lengths - known).sum()))
    return figures


def _add_taps(figures: SetFigures, taps: Taps, scored: Tensor) -> None:
    for (_, layer), tap in taps.slots.items():
        figures.sizes[layer] = figures.sizes.get(layer, 0.0) + float(tap.size[scored].sum())
        if tap.gate is not None:
            figures.opened[layer] = figures.opened.get(layer, 0.0) + float((tap.gate[scored] > 0).sum())
