"""AdamW, and the learning rate: linear warm-up, then a cosine to a share of the peak."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn

from nr_core.settings import LoopSettings


def adamw(parameters: Iterable[nn.Parameter], settings: LoopSettings) -> torch.optim.AdamW:
    """Make AdamW with weight decay on matrices only: not on norms, biases and the gate's vector w (stored as 1 × d)."""
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for parameter in parameters:
        is_matrix = parameter.ndim >= 2 and min(parameter.shape) > 1
        (matrices if is_matrix else vectors).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=settings.betas, fused=True)


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
        group["lr"] = rate
    return rate
