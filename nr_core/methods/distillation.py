"""Distillation: gated adapters learn the next-token distributions of a finetuned model, on the new language's tokens.

    loss = (Σ over new-language tokens of KL(teacher ‖ model)) / (B · T) + α · local loss

Original-language tokens have the local loss alone. Source: Hinton, Vinyals and Dean, "Distilling the knowledge in a
neural network", https://arxiv.org/abs/1503.02531, at temperature 1; by pieces of the head (nr_core.base.head).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nr_core.base.head import Criterion, Head
from nr_core.base.precision import to_read_from
from nr_core.errors import ModelError
from nr_core.methods.kl_to_base import KLToBase
from nr_core.runs.build_on_earlier import check_run
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec


@dataclass(frozen=True)
class Teacher:
    """A finetuned run, frozen. tokens, seconds: what its training took, which the pupil's counts include."""

    divergence: KLToBase  # from the teacher, which is the base of this term
    tokens: int
    seconds: float

    def on(self, tokens: Tensor, original: Tensor, global_targets: int, **options: Any) -> Criterion:
        """Return the criterion of a micro-batch, tokens (B, T + 1), of which the rows in original (B,) have no part.

        Runs the teacher on the others. options: of the model's forward, each (B, ...).
        """
        return self.divergence.on(tokens, ~original, global_targets, **options) or _nothing

    def counted(self) -> dict[str, float]:
        """Return what run.json says of the teacher's share of tokens and seconds."""
        return {"teacher_tokens": self.tokens, "teacher_seconds": self.seconds}


def _nothing(logits: Tensor, piece: slice) -> tuple[Tensor, Tensor]:
    gradient = torch.zeros_like(logits, dtype=torch.promote_types(logits.dtype, torch.float32))
    return gradient.new_zeros(()), gradient


def load_teacher(base: BaseSpec, run: Path, head: Head, cut: bool) -> Teacher:
    """Load a finetuned run beside the model of head, on its device and in its precision.

    Raises ModelError where the run is not finished, is no finetuning, has another base or a part of its vocabulary, or
    where the model is cut over several devices.
    """
    if cut:
        raise ModelError(
            "distil_from needs the whole teacher beside the model, and FSDP2 has cut the model over the devices; raise "
            "fsdp_from so that each device holds the whole model."
        )
    check_run(run, base)
    report = json.loads((run / "run.json").read_text())
    if report["method"] != "finetune":
        raise ModelError(f"{run} was trained with {report['method']}; a teacher is a run of finetune.")
    if report["base"].get("vocabulary") == "trimmed":
        raise ModelError(f"{run} was trained on a trimmed vocabulary; a teacher needs all of it.")
    model = load_run(base, run).eval().requires_grad_(False).to(next(head.model.parameters()).device)
    of_teacher = Head(to_read_from(model, head.precision), head.precision)
    return Teacher(KLToBase(1.0, "base_to_model", of_teacher), report["tokens"], report["seconds"])
