"""The optimiser and its rates: AdamW, warm-up and cosine, and the lower rate of the head's gated rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nr_core.base.head import Head
from nr_core.settings import LoopSettings
from nr_core.training.batches import Batches
from nr_core.training.distributed import Ranks
from nr_core.tuner.embedding import EmbeddingResidueLayer
from nr_core.tuner.gated_rows import HEAD_GATE, HEAD_ROWS


def adamw(
    parameters: Iterable[nn.Parameter], settings: LoopSettings, shares: Mapping[nn.Parameter, float] | None = None
) -> torch.optim.AdamW:
    """Make AdamW with weight decay on matrices only: not on norms, biases and the gate's vector w (stored as 1 × d).

    shares: of the learning rate, for parameters that do not get all of it.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in parameters:
        is_vector = parameter.ndim < 2 or min(parameter.shape) == 1
        groups.setdefault((is_vector, (shares or {}).get(parameter, 1.0)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": held, "weight_decay": 0.0 if is_vector else settings.weight_decay, "rate_share": share}
            for (is_vector, share), held in sorted(groups.items(), key=lambda item: item[0])
        ],
        betas=settings.betas,
        fused=True,
    )


def warmup_steps(settings: LoopSettings) -> int:
    return math.ceil(settings.warmup_share * settings.steps)


def learning_rate(step: int, peak: float, settings: LoopSettings) -> float:
    """Return the rate of step 0, 1, ..., steps − 1: reaches the peak in the warm-up's last step, ends at its final
    share.
    """
    warmup = warmup_steps(settings)
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step + 1 - warmup) / max(1, settings.steps - warmup)
    final = settings.final_learning_rate_share
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> float:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["rate_share"]
    return rate


def rate_shares(head: Head, batches: Batches, ranks: Ranks) -> dict[str, float]:
    """Return the share of the learning rate at which the head's gated rows and their gate are trained, by parameter.

    A step of AdamW moves each weight by about the rate, and so what a linear layer puts out by the rate times ‖x‖₁ of
    its input. The head's inputs are larger than an FFN's, 1.5 times for base S and 16 times for SmolLM2, where at one
    rate for both the logits leap, and the gate shuts for good. The share makes up for that: ‖x‖₁ of the first FFN's
    inputs over that of the last hidden states, at most 1. Asked of the first sequence.
    """
    layers = [module for module in head.model.modules() if isinstance(module, EmbeddingResidueLayer)]
    names = [
        name
        for name, parameter in head.model.named_parameters()
        if parameter.requires_grad and (HEAD_ROWS in name or HEAD_GATE in name)
    ]
    if not names:
        return {}
    sizes: dict[str, float] = {}
    places = layers[0].places()
    handles = [
        places.source.register_forward_pre_hook(partial(_note_input, sizes), with_kwargs=True),
        places.decoder.register_forward_hook(lambda module, args, output: sizes.update(last=_size(output[0]))),
    ]
    try:
        with torch.no_grad():
            rows = batches.batch(0)[0][:1, :-1]
            head.run(lambda hidden, to_logits: None, rows.to(next(head.model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    share = ranks.agree(min(1.0, sizes["first"] / sizes["last"]) if ranks.is_main else None)
    return dict.fromkeys(names, share)


def _note_input(sizes: dict[str, float], module: Any, args: Any, kwargs: Any) -> None:
    sizes["first"] = _size(args[0] if args else kwargs["hidden_states"])


def _size(states: Tensor) -> float:
    """Return the mean of ‖x‖₁ over the tokens of states (..., d)."""
    return float(states.float().abs().sum(-1).mean())
