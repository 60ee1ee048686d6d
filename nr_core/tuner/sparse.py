"""Skips closed gates at inference: a ReLU gate puts out exact zeros, and a zero needs no adapter.

In prefill the open tokens are gathered, go through the adapter together, and are added where they came from; in
decoding, where a forward pass holds a token or a few, the adapter runs if one of them is open. The result equals the
dense one up to what a matrix product of fewer rows rounds differently (a few units in the last place of fp32).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from nr_core.tuner.adapter import GATES, swiglu

# Above this share of open tokens gathering costs more than it saves (Llama d = 1024, one CPU thread).
MOSTLY_OPEN = 0.7

# auto: on the CPU. On a GPU each layer would wait to learn how many gates are open; not measured here.
Skipping = Literal["auto", "always", "never"]


class OpenRows(NamedTuple):
    """The residues that are not zero: of some rows of the flattened input (batch · sequence)."""

    rows: Tensor  # (open,), or of several adapters one after the other
    residue: Tensor  # (open, d)

    def add_to(self, output: Tensor) -> Tensor:
        """output (..., d), which is changed in place where its memory allows: a copy would cost as much as is saved."""
        flat = output.reshape(-1, output.shape[-1])
        return flat.index_add_(0, self.rows, self.residue.to(output.dtype)).view_as(output)


def skips(mode: Skipping, x: Tensor) -> bool:
    """Tell whether to skip: not where gradients are kept, nor under torch.compile, which wants sizes that do not depend
    on x.
    """
    if mode == "never" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return mode == "always" or x.device.type == "cpu"


def open_residue(
    x: Tensor, w_in: nn.Linear, w_glu: nn.Linear, w_out: nn.Linear, block_gate: nn.Linear
) -> OpenRows | None:
    """x (..., d) -> the residues g · W_o(SiLU(W_g x) ⊙ (W_i x)) of the tokens with an open ReLU gate; None of none."""
    flat = x.reshape(-1, x.shape[-1])
    gate = GATES["relu"](block_gate(flat))
    rows = gate.squeeze(-1).nonzero().squeeze(-1)
    if not len(rows):
        return None
    if len(rows) < MOSTLY_OPEN * len(flat):
        flat, gate = flat.index_select(0, rows), gate.index_select(0, rows)
    else:
        rows = torch.arange(len(flat), device=rows.device)
    return OpenRows(rows, swiglu(flat, w_in, w_glu, w_out) * gate)


def joined(parts: list[OpenRows]) -> OpenRows | None:
    """Return the residues of several adapters: a row that two of them reach gets both."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return OpenRows(torch.cat([part.rows for part in parts]), torch.cat([part.residue for part in parts]))
