"""Merges adapters without a gate into a SiLU-gated FFN, beside which such an adapter is exactly more width.

FFN(x) + A(x), both of the form W_down(SiLU(W_gate x) ⊙ W_up x), is one FFN whose rows and columns are put side by
side. So the vanilla adapter can be exported as a plain Llama, which runs wherever a Llama does (vLLM, llama.cpp) and
costs nothing more than its width. A gated adapter has no such form, since its gate depends on the token: serve it
through transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import SiLUActivation

from nr_core.errors import ModelError
from nr_core.files import writing

FFN_PARTS = ("gate_proj", "up_proj", "down_proj")


def require_widenable(ffn: nn.Module, after_norm: bool) -> None:
    """Raise ModelError where more width cannot say what an adapter without a gate says; after_norm: whether the
    adapter adds to the output of a norm behind the FFN."""
    parts = [getattr(ffn, part, None) for part in FFN_PARTS]
    if not all(isinstance(part, nn.Linear) and part.bias is None for part in parts) or after_norm or not _is_silu(ffn):
        raise ModelError(
            f"{type(ffn).__name__} is not Llama's FFN ({', '.join(FFN_PARTS)} without biases, SiLU, no norm after it), "
            "so the adapter cannot become a part of it; serve it through transformers."
        )
    if not all(_is_plain(part) for part in parts):
        raise ModelError(
            f"The weights of {type(ffn).__name__} are quantized or not in memory ({type(parts[0]).__name__}), so the "
            "adapter cannot become a part of them; load the base in full precision (without quantize or offloading) "
            "and put the adapter on it first."
        )


@torch.no_grad()
def widen(ffn: Any, adapters: Sequence[tuple[Tensor, Tensor, Tensor]]) -> dict[str, nn.Module]:
    """Put adapters (W_i, W_g, W_o each) beside the FFN's own width; return what it held before, by name."""
    before = {part: getattr(ffn, part) for part in FFN_PARTS}
    w_in, w_glu, w_out = ([adapter[part] for adapter in adapters] for part in range(3))
    ffn.gate_proj = _linear(before["gate_proj"].weight, w_glu, dim=0)
    ffn.up_proj = _linear(before["up_proj"].weight, w_in, dim=0)
    ffn.down_proj = _linear(before["down_proj"].weight, w_out, dim=1)
    return before


def _is_silu(ffn: nn.Module) -> bool:
    return isinstance(getattr(ffn, "act_fn", None), nn.SiLU | SiLUActivation)


def _is_plain(linear: Any) -> bool:
    """Tell whether a layer is neither packed to fewer bits, nor cut over devices, nor left on the disk."""
    weight = linear.weight
    plain = type(linear) is nn.Linear and type(weight) is nn.Parameter
    return plain and weight.is_floating_point() and weight.device.type != "meta"


def _linear(own: Tensor, added: list[Tensor], dim: int) -> nn.Linear:
    weight = torch.cat([own, *(part.to(own) for part in added)], dim=dim)
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    return linear


def export_wider(model: Any, out: Path, tokenizer: Any = None) -> None:
    """Write a model folder whose outputs equal those of `model`, a PEFT model whose active adapters have no gate.

    The model itself is merged and unloaded. Raises ModelError where a wider FFN cannot say the same: a gate, another
    FFN, a quantized one, a norm after it, layers without an adapter.
    """
    from nr_core.tuner.layer import NeutralResidueLayer  # which imports this module

    if not any(isinstance(module, NeutralResidueLayer) for module in model.modules()):
        raise ModelError(f"{type(model).__name__} has no adapter of this kind; save it as it is.")
    wider = model.merge_and_unload()
    with writing(out) as partial:
        wider.save_pretrained(partial)
        if tokenizer is not None:
            tokenizer.save_pretrained(partial)
