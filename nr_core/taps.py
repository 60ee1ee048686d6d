"""Per-token measurements that adapters leave behind in the forward pass: the local loss and the gate's activity read
them.

Layers know nothing of roles: they write one value a token, and whoever reads applies the role mask. Slots are keyed
(adapter, layer) and overwritten, so that recomputation under gradient checkpointing does not count twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor


class Tap(NamedTuple):
    """Of one adapter in one layer, a value per token in the order of the flattened input (batch · sequence)."""

    size: Tensor  # ‖residue‖₁ / d
    gate: Tensor | None  # g(x); None for an adapter without a gate


class Taps:
    """The slots of one model, shared by its adapter layers."""

    def __init__(self) -> None:
        self.collecting = False
        self.slots: dict[tuple[str, int], Tap] = {}

    def write(self, adapter: str, layer: int, residue: Tensor, gate: Tensor | None) -> None:
        """residue (..., d), gate (..., 1) or None."""
        size = torch.linalg.vector_norm(residue, ord=1, dim=-1).flatten() / residue.shape[-1]
        self.slots[adapter, layer] = Tap(size, None if gate is None else gate.flatten())

    @contextmanager
    def collect(self) -> Iterator[Taps]:
        """Collect while open. Keep it open through the backward pass: recomputation must see the same state."""
        self.collecting = True
        try:
            yield self
        finally:
            self.collecting = False
            self.slots.clear()
