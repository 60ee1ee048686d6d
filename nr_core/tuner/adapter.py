"""The gated adapter: FFN'(x) = FFN(x) + g(x) · W_o( SiLU(W_g x) ⊙ (W_i x) ), g(x) = φ(w·x), φ = ReLU.

Source: Talla, Grave, Jégou, "Neutral residues: revisiting adapters for model extension", ICML 2025,
https://arxiv.org/abs/2410.02744 (section 3). No biases. The vanilla adapter is the same without the gate; φ = ELU or
sigmoid, and an adapter beside the attention instead of the FFN, are the paper's ablations.

At inference closed gates are skipped: a ReLU gate puts out exact zeros, and a zero needs no adapter. In prefill the
open tokens are gathered, go through the adapter together, and are added where they came from; in decoding, where a
forward pass holds a token or a few, the adapter runs if one of them is open. The result equals the dense one up to what
a matrix product of fewer rows rounds differently (a few units in the last place of fp32).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nr_core.settings import Gate, Initialisation

GATES: dict[Gate, Callable[[Tensor], Tensor]] = {"relu": F.relu, "elu": F.elu, "sigmoid": torch.sigmoid}

# The names under which W_i, W_g, W_o and w are saved. Adapters in the world carry them: they never change.
PARAMETER_NAMES = ("neutral_residues_in", "neutral_residues_glu", "neutral_residues_out", "neutral_residues_block_gate")


def gated_residue(
    x: Tensor,
    w_in: nn.Linear,
    w_glu: nn.Linear,
    w_out: nn.Linear,
    block_gate: nn.Linear | None,
    gate: Gate = "relu",
) -> tuple[Tensor, Tensor | None]:
    """Return what the adapter adds to the block's output.

    x: (..., d), the block's own normalised input. Returns the residue (..., d) and w·x (..., 1), which is above 0 where
    the gate is open, whatever its φ; None where there is no gate.
    """
    residue = swiglu(x, w_in, w_glu, w_out)
    if block_gate is None:
        return residue, None
    logit = block_gate(x)
    return residue * GATES[gate](logit), logit


def swiglu(x: Tensor, w_in: nn.Linear, w_glu: nn.Linear, w_out: nn.Linear) -> Tensor:
    """Map x (..., d) -> W_o( SiLU(W_g x) ⊙ (W_i x) ), the residue of an open adapter before its gate weighs it."""
    return w_out(F.silu(w_glu(x)) * w_in(x))


class GatedAdapter(nn.Module):
    """One adapter of one layer: d = hidden_size, h = width; L = layers is the depth of the backbone.

    W_o starts at zero, so training starts at the backbone exactly. `low_variance` draws W_i and W_g with variance
    1/(d·L) (the paper's, the model stays near the backbone for longer), `he` with 2/d. The gate's w is drawn with
    variance 1/(d·L): at zero a ReLU gate has no gradient and stays shut for ever.
    """

    def __init__(
        self,
        hidden_size: int,
        width: int,
        layers: int,
        gate: Gate = "relu",
        initialisation: Initialisation = "low_variance",
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.neutral_residues_in = nn.Linear(hidden_size, width, bias=False, device=device)
        self.neutral_residues_glu = nn.Linear(hidden_size, width, bias=False, device=device)
        self.neutral_residues_out = nn.Linear(width, hidden_size, bias=False, device=device)
        self.neutral_residues_block_gate = (
            None if gate == "none" else nn.Linear(hidden_size, 1, bias=False, device=device)
        )
        self.gate = gate
        low = (hidden_size * layers) ** -0.5
        inner = low if initialisation == "low_variance" else (2 / hidden_size) ** 0.5
        nn.init.normal_(self.neutral_residues_in.weight, std=inner)
        nn.init.normal_(self.neutral_residues_glu.weight, std=inner)
        nn.init.zeros_(self.neutral_residues_out.weight)
        if self.neutral_residues_block_gate is not None:
            nn.init.normal_(self.neutral_residues_block_gate.weight, std=low)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map x (..., d) -> residue (..., d), w·x (..., 1) or None."""
        return gated_residue(
            x,
            self.neutral_residues_in,
            self.neutral_residues_glu,
            self.neutral_residues_out,
            self.neutral_residues_block_gate,
            self.gate,
        )


# Above this share of open tokens gathering costs more than it saves (Llama d = 1024, one CPU thread).
MOSTLY_OPEN = 0.7

# auto: on the CPU. On a GPU each layer would wait to learn how many gates are open; not measured here.
Skipping = Literal["auto", "always", "never"]


class OpenRows(NamedTuple):
    """The residues that are not zero: of some rows of the flattened input (batch · sequence)."""

    rows: Tensor  # (open,), or of several adapters one after the other
    residue: Tensor  # (open, d)

    def add_to(self, output: Tensor) -> Tensor:
        """Add the residue to output (..., d), which is changed in place where its memory allows: a copy would cost as
        much as is saved."""
        flat = output.reshape(-1, output.shape[-1])
        return flat.index_add_(0, self.rows, self.residue.to(output.dtype)).view_as(output)


def skips(mode: Skipping, x: Tensor) -> bool:
    """Tell whether to skip: not where gradients are kept, nor under torch.compile, which wants sizes that do not depend
    on x.
    """
    if mode == "never" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    return mode == "always" or x.device.type == "cpu"


def any_open(logit: Tensor) -> bool:
    """Tell whether one of some ReLU gates is open: w·x (..., 1). NaN counts as open, so that it is seen."""
    return bool(logit.numel()) and not logit.max().item() <= 0


def open_residue(x: Tensor, logit: Tensor, w_in: nn.Linear, w_glu: nn.Linear, w_out: nn.Linear) -> OpenRows:
    """Return the residues g · W_o(SiLU(W_g x) ⊙ (W_i x)) of the tokens whose ReLU gate is open, of x (..., d) and
    w·x (..., 1).
    """
    flat, gate = x.reshape(-1, x.shape[-1]), GATES["relu"](logit).reshape(-1, 1)
    rows = gate.squeeze(-1).nonzero().squeeze(-1)
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
