"""The training loss: next-token cross-entropy + α · local loss, both normalised by counts that no cut changes.

A mean over the rows that one forward pass happens to hold would be wrong as soon as a batch is cut into micro-batches
or over processes, since those hold different numbers of original sequences; so both terms are sums: that of the
next tokens over the global batch's count, that of the residues over p · B · T, the count of original tokens that a
batch is expected to hold. The step's own count would make α weigh less the smaller p · B is: a step without an original
sequence has no local loss, and one with a single sequence would give it the weight of a whole batch.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nr_core.base.head import Criterion, Head
from nr_core.settings import LocalLoss
from nr_core.tuner.activation_taps import Taps

SMALLEST_BLOCK = 1e-6  # of ‖FFN(x)‖₁ / d: a block that puts out zeros would make the relative size infinite


def lm_loss(
    head: Head,
    tokens: Tensor,
    global_targets: int,
    beside: Criterion | None = None,
    taught: Criterion | None = None,
    **options: Any,
) -> Tensor:
    """Return the next-token cross-entropy of tokens (B, T + 1) over the target tokens of the global batch: a scalar, in
    nats.

    beside: what is added to it, of the same pieces of logits. taught: a teacher's criterion, in place of the
    cross-entropy. options: of the model's forward.
    """
    criterion = taught or cross_entropy(tokens[:, 1:], global_targets)
    return head.summed(criterion if beside is None else _sum(criterion, beside), tokens[:, :-1], **options)


def _sum(first: Criterion, second: Criterion) -> Criterion:
    def of_piece(logits: Tensor, piece: slice) -> tuple[Tensor, Tensor]:
        (value, gradient), (more, of_more) = first(logits, piece), second(logits, piece)
        return value + more, gradient.add_(of_more)

    return of_piece


def cross_entropy(targets: Tensor, global_targets: int) -> Criterion:
    """Return -log p of each of targets (B, T), over global_targets.

    The saved log-probabilities become the gradient, which spares two tensors of the logits' size.
    """
    flat = targets.flatten()

    def of_piece(logits: Tensor, piece: slice) -> tuple[Tensor, Tensor]:
        wanted = flat[piece].unsqueeze(-1)
        gradient = F.log_softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
        nats = -gradient.gather(-1, wanted).sum() / global_targets
        gradient.exp_().scatter_add_(-1, wanted, torch.full_like(wanted, -1, dtype=gradient.dtype))
        return nats, gradient.div_(global_targets)

    return of_piece


def local_loss(
    taps: Taps, original: Tensor, expected_original: float, kind: LocalLoss = "l1", global_tokens: int = 0
) -> Tensor:
    """Return what keeps adapters silent on the original language, as a mean over layers (docs/methods.md).

    kind: l1, the sum over original-language tokens of ‖g(x)·A(x)‖₁ / d over expected_original; relative_l1, the same
    against ‖FFN(x)‖₁ / d of the block's own output, which makes α a number without unit; cross_entropy, the mean over
    all tokens, of a sigmoid gate against "the token is of the new language". original (tokens,): True where the token
    is of the original language, in the order of the taps; expected_original, global_tokens: how many such tokens a
    global batch holds in the mean over a run (p · B · T), and how many tokens at all. Raises RuntimeError where the
    taps carry no gradient: reentrant gradient checkpointing loses it without a word.
    """
    if kind == "cross_entropy":
        new = 1 - original.float()
        terms = [
            F.binary_cross_entropy_with_logits(tap.gate, new.to(tap.gate.dtype), reduction="sum")
            for tap in taps.slots.values()
            if tap.gate is not None
        ]
        count: float = global_tokens
    else:
        sizes = {key: tap.size for key, tap in taps.slots.items()}
        if kind == "relative_l1":
            sizes = {key: size / taps.blocks[key].clamp(min=SMALLEST_BLOCK) for key, size in sizes.items()}
        terms = [(size * original).sum() for size in sizes.values()]
        count = expected_original
    total = torch.stack(terms).sum() / (len(terms) * (count or 1))
    if not total.requires_grad:
        raise RuntimeError("the local loss has no gradient: use gradient checkpointing with use_reentrant=False")
    return total


def open_gates(taps: Taps, tokens: Tensor) -> Tensor:
    """Count per layer how many of the marked tokens open their gate (w·x > 0): (layers,), empty where adapters have no
    gate.

    tokens (tokens,): True where a token counts, in the order of the taps.
    """
    gates = [tap.gate for tap in taps.slots.values() if tap.gate is not None]
    return torch.stack([(gate[tokens] > 0).sum() for gate in gates]) if gates else torch.empty(0)


def gated_layers(taps: Taps) -> list[int]:
    """Return the layers of `open_gates`, in its order: of gated rows -1 for the embedding, one after the last for the
    head.
    """
    return [layer for (_, layer), tap in taps.slots.items() if tap.gate is not None]
