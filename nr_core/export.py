"""The vanilla adapter as a plain Llama: beside a SiLU-gated FFN, an ungated adapter is exactly more of its width.

FFN(x) + A(x) with both of the form W_down(SiLU(W_gate x) ⊙ W_up x) is one FFN whose rows and columns are put side by
side, so the export runs wherever a Llama does (vLLM, llama.cpp) and costs nothing more than its width. A gated adapter
has no such form: its gate depends on the token. Serve it through transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from nr_core.errors import ModelError
from nr_core.files import writing
from nr_core.peft import NeutralResidueLayer


@torch.no_grad()
def export_wider(model: Any, out: Path, tokenizer: Any = None) -> None:
    """Write a model folder whose outputs equal those of `model`, a PEFT model with one active ungated adapter.

    Raises ModelError where a wider FFN cannot say the same: a gate, another FFN, a norm after it, layers without one.
    """
    layers = [module for module in model.modules() if isinstance(module, NeutralResidueLayer)]
    widths = set()
    for layer in layers:
        active = layer.active_adapters
        if len(active) != 1 or active[0] in layer.neutral_residues_block_gate:
            raise ModelError(
                "Only one adapter without a gate can be exported as a wider model; this one keeps its gate."
            )
        name = active[0]
        _widen(layer, name)
        widths.add(layer.neutral_residues_in[name].weight.shape[0])
    depth = model.config.get_text_config().num_hidden_layers
    if len(layers) != depth or len(widths) != 1:
        raise ModelError(
            f"{len(layers)} of {depth} layers have an adapter; a wider model needs one of equal width in each."
        )
    wider = model.unload()
    wider.config.intermediate_size += widths.pop()
    with writing(out) as partial:
        wider.save_pretrained(partial)
        if tokenizer is not None:
            tokenizer.save_pretrained(partial)


def _widen(layer: NeutralResidueLayer, name: str) -> None:
    ffn: Any = layer.base_layer
    parts = ("gate_proj", "up_proj", "down_proj")
    linear = all(isinstance(getattr(ffn, part, None), nn.Linear) for part in parts)
    if not linear or not isinstance(getattr(ffn, "act_fn", None), nn.SiLU) or layer.has_sink:
        raise ModelError(
            f"{type(ffn).__name__} is not Llama's FFN (gate_proj, up_proj, down_proj, SiLU, no norm after it), "
            "so the adapter cannot become a part of it; serve it through transformers."
        )
    if any(getattr(ffn, part).bias is not None for part in parts):
        raise ModelError(f"{type(ffn).__name__} has biases, which the adapter has not; serve it through transformers.")
    w_in, w_glu, w_out = (getattr(layer, f"neutral_residues_{part}")[name].weight for part in ("in", "glu", "out"))
    ffn.gate_proj = _linear(torch.cat([ffn.gate_proj.weight, w_glu.to(ffn.gate_proj.weight.dtype)]))
    ffn.up_proj = _linear(torch.cat([ffn.up_proj.weight, w_in.to(ffn.up_proj.weight.dtype)]))
    ffn.down_proj = _linear(torch.cat([ffn.down_proj.weight, w_out.to(ffn.down_proj.weight.dtype)], dim=1))


def _linear(weight: torch.Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    return linear
