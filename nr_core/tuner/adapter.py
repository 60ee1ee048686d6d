"""The gated adapter: FFN'(x) = FFN(x) + g(x) · W_o( SiLU(W_g x) ⊙ (W_i x) ), g(x) = φ(w·x), φ = ReLU.

Source: Talla, Grave, Jégou, "Neutral residues: revisiting adapters for model extension", ICML 2025,
https://arxiv.org/abs/2410.02744 (section 3). No biases. The vanilla adapter is the same without the gate; φ = ELU or
sigmoid, and an adapter beside the attention instead of the FFN, are the paper's ablations.
"""

from __future__ import annotations

from collections.abc import Callable

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
    """x (..., d) -> W_o( SiLU(W_g x) ⊙ (W_i x) ), the residue of an open adapter before its gate weighs it."""
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
        """x (..., d) -> residue (..., d), w·x (..., 1) or None."""
        return gated_residue(
            x,
            self.neutral_residues_in,
            self.neutral_residues_glu,
            self.neutral_residues_out,
            self.neutral_residues_block_gate,
            self.gate,
        )
