"""Scores a model: bits per byte, nats per token and perplexity on held-out documents, gate activity, and tasks.

What is scored, nr_core.evaluation.bits_per_byte defines. The bytes are those of whole documents, and the standard
error is over documents, of a ratio of sums.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nr_core.base.head import Head
from nr_core.base.load_base import check_vocabulary
from nr_core.base.precision import Choice, choose, to_read_from
from nr_core.evaluation.behaviour import Base, behaviour_cost, behaviour_rows
from nr_core.evaluation.bits_per_byte import (
    bits_per_byte,
    choose_documents,
    fitted,
    lost_share,
    ratio,
    scored_places,
    tokens_read,
    window_batches,
    window_nats,
)
from nr_core.evaluation.pace import Pace, about_tokens
from nr_core.evaluation.tasks.items import read_items
from nr_core.files import write_json
from nr_core.progress import Progress
from nr_core.runs.load_run import load_run
from nr_core.settings import DEFAULT_LENGTH, EvaluationSettings
from nr_core.specs import EvaluateSpec
from nr_core.tokenization.tokenizer import TokenStream, load_tokenizer
from nr_core.tuner.activation_taps import Taps


@dataclass
class SetFigures:
    """Sums per scored document, and per layer over all scored tokens."""

    nats: np.ndarray[Any, Any]
    tokens: np.ndarray[Any, Any]
    bytes: np.ndarray[Any, Any]
    lost: float = 0.0  # share of the bytes that the tokens do not give back
    sizes: dict[int, float] = field(default_factory=dict)
    opened: dict[int, float] = field(default_factory=dict)

    def metrics(self, eval_id: str) -> list[dict[str, Any]]:
        per_byte, byte_error = bits_per_byte(self.nats, self.bytes)
        per_token, token_error = ratio(self.nats, self.tokens)
        common = {"eval_id": eval_id, "n": len(self.nats)}
        perplexity = math.exp(min(per_token, 700.0))  # beyond that it is no float
        spread = None if token_error is None else perplexity * token_error  # to first order
        lost = [{**common, "metric": "lost_text", "value": self.lost, "stderr": None}] if self.lost else []
        return [
            *lost,
            {**common, "metric": "bits_per_byte", "value": per_byte, "stderr": byte_error},
            {**common, "metric": "nats_per_token", "value": per_token, "stderr": token_error},
            {**common, "metric": "perplexity", "value": perplexity, "stderr": spread},
        ]

    def by_item(self, eval_id: str) -> list[dict[str, Any]]:
        """Return what each document adds to a figure: two models on the same documents can be paired."""
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


Rows = list[dict[str, Any]]


def evaluate(spec: EvaluateSpec, progress: Progress) -> None:
    """Score a base or a run on every set; write out/evaluation.json, all at once: a job that is stopped leaves none."""
    streams = {entry.eval_id: TokenStream.open(entry.tokens) for entry in spec.sets}
    model = load_run(spec.base, spec.run)
    precision = choose(spec.settings.precision, model)
    Progress.log(f"{progress.label}: products in {precision.precision}, since {precision.reason}")
    pace = Pace(progress)
    for task in spec.tasks:
        pace.expect(task.eval_id, about_tokens(read_items(task.items)))
    result = score_sets(streams, Head(to_read_from(model, precision), precision), spec, pace)
    metrics, items = evaluate_tasks(model, spec, pace, precision)
    result["metrics"] += metrics
    result["items"] += items
    if spec.harness is not None:
        of_harness = _of_harness(model, spec, precision)
        result |= {name: rows + result.get(name, []) for name, rows in of_harness.items()}
    write_json(spec.out / spec.last_file, result)


def score_sets(streams: Mapping[str, TokenStream], head: Head, spec: EvaluateSpec, pace: Pace) -> dict[str, Rows]:
    """Return rows of the tables evaluations (metrics), evaluation_items and gate_activity, of every held-out text."""
    from nr_core.tuner.layer import find_taps

    result: dict[str, Rows] = {"metrics": [], "items": [], "gate_activity": []}
    if not streams:
        return result
    settings, taps = fitted(spec.settings, head.model), find_taps(head.model)
    chosen = {eval_id: choose_documents(stream, settings.max_tokens) for eval_id, stream in streams.items()}
    for eval_id, stream in streams.items():
        check_vocabulary(head.model, stream.vocabulary_size, stream.folder)
        lost_share(stream, chosen[eval_id])
    base = Base(head, spec.base, spec.run) if spec.run is not None else None
    called = {entry.eval_id: entry.called for entry in spec.sets}
    for eval_id, stream in streams.items():
        texts = [stream.content(document) for document in chosen[eval_id]]
        pace.expect(eval_id, tokens_read(texts, settings))
        if base is not None:
            pace.expect(("beside the base", eval_id), behaviour_cost(head, stream, settings))
    for eval_id, stream in streams.items():
        advance = partial(pace.advance, called[eval_id])
        figures = score(head, taps, stream, chosen[eval_id], settings, advance)
        result["metrics"] += figures.metrics(eval_id)
        result["items"] += figures.by_item(eval_id)
        result["gate_activity"] += figures.gate_activity(eval_id)
        if base is not None:
            advance = partial(pace.advance, f"{called[eval_id]} beside the base".lstrip())
            metrics, items = behaviour_rows(eval_id, head, base, stream, settings, advance)
            result["metrics"] += metrics
            result["items"] += items
    return result


def evaluate_tasks(model: Any, spec: EvaluateSpec, pace: Pace, precision: Choice) -> tuple[list[Any], list[Any]]:
    """Return rows of the tables evaluations and evaluation_items, of every task of the spec."""
    from nr_core.evaluation.tasks.kinds import ask, rows_of
    from nr_core.evaluation.tasks.loglikelihood import Scorer

    metrics: list[Any] = []
    by_item: list[Any] = []
    if spec.tasks:
        length = spec.settings.sequence_length or DEFAULT_LENGTH
        scorer = Scorer(model, load_tokenizer(spec.base), spec.settings.batch_size * length, precision)
    for task in spec.tasks:
        asked = read_items(task.items)
        expect, advance = partial(pace.expect, task.eval_id), partial(pace.advance, task.called)
        task_metrics, task_items = rows_of(task.eval_id, ask(scorer, task.kind, asked, expect, advance), asked)
        metrics += task_metrics
        by_item += task_items
    return metrics, by_item


def _of_harness(model: Any, spec: EvaluateSpec, precision: Choice) -> dict[str, Rows]:
    from nr_core.evaluation.tasks.harness import harness_rows, run_harness

    assert spec.harness is not None
    asked, batch = spec.harness, spec.settings.batch_size
    tokenizer = load_tokenizer(spec.base)
    found = run_harness(model, tokenizer, asked.tasks, batch, asked.limit, asked.include_path, precision)
    return harness_rows(found)


@torch.inference_mode()
def score(
    model: Any,
    taps: Taps | None,
    stream: TokenStream,
    documents: list[int],
    settings: EvaluationSettings,
    advance: Any = lambda tokens: None,
) -> SetFigures:
    """Sum the nats of every token of some documents. advance(tokens read) is called after each batch.

    model: a model, in the precision of its weights, or its Head, which may say another.

    Raises ModelError where the windows are longer than the model's context, where the tokenizer loses too much of the
    text, and where the model's output is not finite.
    """
    head = model if isinstance(model, Head) else Head(model)
    settings = fitted(settings, head.model)
    texts = [stream.content(document) for document in documents]
    figures = SetFigures(
        nats=np.zeros(len(texts)),
        tokens=np.array([len(text) for text in texts]),
        bytes=stream.byte_lengths[documents],
        lost=lost_share(stream, documents),
    )
    for owners, windows, known, lengths in window_batches(texts, settings, stream.context_token):
        scored = scored_places(windows.shape[1] - 1, known, lengths)
        with taps.collect() if taps is not None else nullcontext():
            np.add.at(figures.nats, owners, window_nats(head, windows, scored))
            if taps is not None:
                _add_taps(figures, taps, scored.flatten().to(next(head.model.parameters()).device))
        advance(windows[:, 1:].size)
    return figures


def _add_taps(figures: SetFigures, taps: Taps, scored: Tensor) -> None:
    for (_, layer), tap in taps.slots.items():
        figures.sizes[layer] = figures.sizes.get(layer, 0.0) + float(tap.size[scored].sum())
        if tap.gate is not None:
            figures.opened[layer] = figures.opened.get(layer, 0.0) + float((tap.gate[scored] > 0).sum())
