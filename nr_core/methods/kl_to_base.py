"""Staying near the base by what it says: the Kullback-Leibler divergence between the next-token distributions of base
and model, on tokens of the original language.

    loss = LM loss + kl_to_base · (Σ over original-language tokens of KL) / (p · B · T)

KL(base ‖ model) is knowledge distillation from the base itself (Li and Hoiem, "Learning without forgetting",
https://arxiv.org/abs/1606.09282); KL(model ‖ base) is the penalty of RLHF (https://arxiv.org/abs/1909.08593). Both go
through the head by pieces (nr_core.base.head).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from nr_core.base.head import Head, ToLogits
from nr_core.base.precision import to_read_from
from nr_core.errors import ModelError
from nr_core.settings import KLDirection
from nr_core.training.forgetting import without_the_new_adapter


@dataclass(frozen=True)
class KLToBase:
    """The term of the loss. head: of the base; as_base: the context in which that model is the base."""

    weight: float
    direction: KLDirection
    head: Head
    as_base: Callable[[], AbstractContextManager[None]] = nullcontext

    @torch.no_grad()
    def on(self, tokens: Tensor, original: Tensor, expected_original: float, **options: Any) -> Divergence | None:
        """Return the criterion of a micro-batch, tokens (B, T + 1), of which the rows in original (B,) are of the
        original language; None where none is. expected_original: see nr_core.training.loss.local_loss. options: of the
        model's forward, each (B, ...).

        Runs the base on those rows.
        """
        rows = original.nonzero().flatten().to(tokens.device)
        if not len(rows):
            return None
        inputs = tokens[rows, :-1]
        with self._predicting():
            hidden, to_logits = self.head.hidden(inputs, **{name: value[rows] for name, value in options.items()})
        counted = original.to(tokens.device).repeat_interleave(inputs.shape[1])
        return Divergence(self, counted, hidden.flatten(0, 1), to_logits, expected_original)

    @contextmanager
    def _predicting(self) -> Iterator[None]:
        model, training = self.head.model, self.head.model.training
        with self.as_base():
            model.eval()  # the base's own predictions, no dropout in them
            yield
            model.train(training)


@dataclass
class Divergence:
    """weight · KL of the tokens that count, a criterion by pieces (nr_core.base.head.Criterion). value: without the
    weight, summed over the pieces so far.

    counted (n,): which of the flattened tokens count; hidden: the base's last hidden states of these.
    """

    term: KLToBase
    counted: Tensor
    hidden: Tensor
    to_logits: ToLogits
    expected: float
    value: float = 0.0
    _places: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._places = self.counted.cumsum(0) - 1

    @torch.no_grad()
    def __call__(self, logits: Tensor, piece: slice) -> tuple[Tensor, Tensor]:
        chosen = self.counted[piece].nonzero().flatten()
        gradient = torch.zeros_like(logits, dtype=torch.promote_types(logits.dtype, torch.float32))
        if not len(chosen):
            return gradient.new_zeros(()), gradient
        with self.term._predicting():
            base = self.to_logits(self.hidden[self._places[piece][chosen]])
        value, of_chosen = divergence(logits[chosen], base, self.term.direction)
        self.value += value.item() / self.expected
        scale = self.term.weight / self.expected
        return value * scale, gradient.index_copy_(0, chosen, of_chosen.mul_(scale))


def divergence(logits: Tensor, base: Tensor, direction: KLDirection) -> tuple[Tensor, Tensor]:
    """Return the KL divergence between the distributions of logits and base (n, V), summed, and its gradient for
    logits.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    log_q, log_p = (scores.log_softmax(-1, dtype=dtype) for scores in (logits, base))
    if direction == "base_to_model":
        p = log_p.exp()
        value = (log_p.sub_(log_q)).mul_(p).sum()
        return value, log_q.exp_().sub_(p)
    q = log_q.exp()
    log_q.sub_(log_p)
    of_token = (q * log_q).sum(-1, keepdim=True)
    return of_token.sum(), log_q.sub_(of_token).mul_(q)


def copy_of_base(base: Any) -> Any:
    """Return the base as it was, frozen, for a method that trains the base's own weights."""
    return copy.deepcopy(base).eval().requires_grad_(False)


def kl_to_base(weight: float, direction: KLDirection, head: Head, frozen: Any | None, cut: bool) -> KLToBase:
    """Return the term for a model on its device. frozen: the copy of a base that is itself trained; else the new
    adapter is switched off.

    Raises ModelError where the model is cut over several devices: its head is whole only while the model runs.
    """
    if cut:
        raise ModelError(
            "kl_to_base needs the base's head beside the model's, and FSDP2 has cut both over the devices; raise "
            "fsdp_from so that each device holds the whole model, or leave kl_to_base out."
        )
    if frozen is None:
        return KLToBase(weight, direction, head, lambda: without_the_new_adapter(head.model))
    frozen = to_read_from(frozen.to(next(head.model.parameters()).device), head.precision)
    return KLToBase(weight, direction, Head(frozen, head.precision))
