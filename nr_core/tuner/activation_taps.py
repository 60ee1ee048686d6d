"""Per-token measurements that adapters leave behind in the forward pass: the local loss and the gate's activity read
them.

Layers know nothing of roles: they write one value a token, and whoever reads applies the role mask. Slots are keyed
by adapter in each layer and overwritten, so that recomputation under gradient checkpointing does not count twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class Tap(NamedTuple):
    """One adapter's figures in one layer: a value per token, in the order of the flattened input (batch · sequence)."""

    size: Tensor  # ‖residue‖₁ / d
    gate: Tensor | None  # w·x, above 0 where the gate is open; None for an adapter without a gate


@dataclass
class Place:
    """Holds what one layer writes, by adapter.

    A layer has its own so that all look alike to torch.compile: by a dict of all, whose length is another in each, it
    would compile each anew, and give up after eight.
    """

    slots: dict[str, Tap] = field(default_factory=dict)
    blocks: dict[str, Tensor] = field(default_factory=dict)


class Taps:
    """Gives each layer of one model its place, and the reader all of them; shared by its adapter layers.

    adapter: the one that is measured where several are active; None: all. with_blocks: measure too what the block that
    the adapter stands beside puts out (‖FFN(x)‖₁ / d, without gradient).
    """

    def __init__(self) -> None:
        self.collecting = False
        self._recomputes = (
            False  # whether the last pass with gradients was measured, and may be run again on the way back
        )
        self.adapter: str | None = None
        self.with_blocks = False
        self._places: dict[int, Place] = {}

    def place(self, layer: int) -> Place:
        """Return where a layer writes."""
        return self._places.setdefault(layer, Place())

    @property
    def slots(self) -> dict[tuple[str, int], Tap]:
        """Return what was measured, by adapter and layer, in the order of the layers."""
        places = sorted(self._places.items())
        return {(adapter, layer): tap for layer, place in places for adapter, tap in place.slots.items()}

    @property
    def blocks(self) -> dict[tuple[str, int], Tensor]:
        """Return the sizes of what the blocks themselves put out, by adapter and layer."""
        return {
            (adapter, layer): size for layer, place in self._places.items() for adapter, size in place.blocks.items()
        }

    def measures(self) -> bool:
        """Tell whether a pass through a layer is measured: while collecting, and where gradient checkpointing
        recomputes, on the way back, one that was. Recomputation must do what was done, or its tensors do not match."""
        if self.collecting:
            self._recomputes = self._recomputes or torch.is_grad_enabled()
            return True
        if self._recomputes and not _on_the_way_back() and torch.is_grad_enabled():
            self._recomputes = False  # another pass has begun, that nobody measures
        return self._recomputes and _on_the_way_back()

    def write(self, place: Place, adapter: str, residue: Tensor, gate: Tensor | None) -> None:
        """Keep the sizes of a residue. residue (..., d), gate (..., 1) or None."""
        if self.adapter in (None, adapter):
            tap = Tap(_size(residue), None if gate is None else gate.flatten())
            if self.collecting:
                place.slots[adapter] = tap

    def write_block(self, place: Place, adapters: list[str], output: Tensor) -> None:
        """Keep the size of a block's output (..., d): of the block alone, before any residue."""
        size = _size(output.detach())
        for adapter in adapters:
            if adapter in place.slots:
                place.blocks[adapter] = size

    @contextmanager
    def collect(self) -> Iterator[Taps]:
        """Collect while open. The loss may be taken inside, and backward() be called after: see measures()."""
        self.collecting = True
        try:
            yield self
        finally:
            self.collecting = False
            for place in self._places.values():
                place.slots.clear()
                place.blocks.clear()


def _on_the_way_back() -> bool:
    """Tell whether autograd is at work, as torch.utils.checkpoint asks it; a compiled pass is never recomputed
    apart.
    """
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def _size(values: Tensor) -> Tensor:
    """Return ‖·‖₁ / d of each token: (..., d) -> (tokens,)."""
    return torch.linalg.vector_norm(values, ord=1, dim=-1).flatten() / values.shape[-1]
