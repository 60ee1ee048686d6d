"""Batches whose rows go through different adapters: PEFT's `adapter_names`, one name a row, `__base__` for none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from nr_core.errors import ModelError

BASE = "__base__"  # PEFT's name of a row that no adapter is to touch


class MixedBatch:
    """The adapter of every row of a batch."""

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def residue(self, x: Tensor, adapters: dict[str, Callable[[Tensor], Tensor]]) -> Tensor:
        """x (rows, ..., d), or flattened to (rows · tokens, d) -> what each row's own adapter adds to it."""
        rows = x.reshape(len(self._names), -1, x.shape[-1])
        total = torch.zeros_like(rows)
        for name, adapter in adapters.items():
            chosen = self.mask(name, x.device)
            if chosen.any():
                total[chosen] = adapter(rows[chosen]).to(total.dtype)
        return total.view_as(x)

    def mask(self, name: str, device: torch.device) -> Tensor:
        """(rows,): True where the adapter is this one."""
        return torch.tensor([own == name for own in self._names], device=device)


@contextmanager
def mixed_batch(layers: Iterable[Any], names: Any, known: set[str], beams: Any) -> Iterator[None]:
    """Every layer takes each row's own adapter while open. beams: rows of beam search that each row becomes.

    Raises ModelError for a name that is no adapter, and in training or while taps are collected, which know one adapter
    a batch.
    """
    held = list(layers)
    names = [str(name) for name in names]
    if unknown := sorted(set(names) - known - {BASE}):
        raise ModelError(
            f"adapter_names: the model has no adapter {unknown[0]!r}; choose among {', '.join(sorted(known))} and "
            f"{BASE}."
        )
    if any(layer.training or layer.taps.collecting or layer.merged for layer in held):
        raise ModelError(
            "adapter_names is for inference: call model.eval(), unmerge what was merged, and collect no taps meanwhile."
        )
    batch = MixedBatch([name for name in names for _ in range(beams if isinstance(beams, int) and beams > 1 else 1)])
    for layer in held:
        layer.mixed = batch
    try:
        yield
    finally:
        for layer in held:
            layer.mixed = None
