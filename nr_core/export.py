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
from transformers.activations import SiLUActivation

from nr_core.adapter import PARAMETER_NAMES
from nr_core.errors import ModelError
from nr_core.files import writing
from nr_core.residue_layer import NeutralResidueLayer

FFN_PARTS = ("gate_proj", "up_proj", "down_proj")


@torch.no_grad()
def export_wider(model: Any, out: Path, tokenizer: Any = None) -> None:
    """Write a model folder whose outputs equal those of `model`, a PEFT model with one active ungated adapter.

    Raises ModelError where a wider FFN cannot say the same: a gate, another FFN, a norm after it, layers without one.
    """
    layers = [module for module in model.modules() if isinstance(module, NeutralResidueLayer)]
    names = [_exportable(layer) for layer in layers]
    widths = {layer.neutral_residues_in[name].out_features for layer, name in zip(layers, names, strict=True)}
    depth = model.config.get_text_config().num_hidden_layers
    if len(layers) != depth or len(widths) != 1:
        raise ModelError(
            f"{len(layers)} of {depth} layers have an adapter; a wider model needs one of equal width in each."
        )
    for layer, name in zip(layers, names, strict=True):
        _widen(layer.base_layer, *(getattr(layer, part)[name].weight for part in PARAMETER_NAMES[:3]))
    wider = model.unload()
    wider.config.intermediate_size += widths.pop()
    with writing(out) as partial:
        wider.save_pretrained(partial)
        if tokenizer is not None:
            tokenizer.save_pretrained(partial)


def _exportable(layer: NeutralResidueLayer) -> str:
    """The name of the layer's adapter; raises ModelError where a wider FFN cannot say the same."""
    active, ffn = layer.active_adapters, layer.base_layer
    if len(active) != 1 or active[0] in layer.neutral_residues_block_gate:
        raise ModelError(
            "Only a single adapter without a gate becomes a part of the FFN; serve this one through transformers."
        )
    parts = [getattr(ffn, part, None) for part in FFN_PARTS]
    linear = all(isinstance(part, nn.Linear) and part.bias is None for part in parts)
    if not linear or not isinstance(getattr(ffn, "act_fn", None), nn.SiLU | SiLUActivation) or layer.has_sink:
        raise ModelError(
            f"{type(ffn).__name__} is not Llama's FFN ({', '.join(FFN_PARTS)} without biases, SiLU, no norm after it), "
            "so the adapter cannot become a part of it; serve it through transformers."
        )
    return active[0]


def _widen(ffn: Any, w_in: torch.Tensor, w_glu: torch.Tensor, w_out: torch.Tensor) -> None:
    ffn.gate_proj = _linear(torch.cat([ffn.gate_proj.weight, w_glu.to(ffn.gate_proj.weight.dtype)]))
    ffn.up_proj = _linear(torch.cat([ffn.up_proj.weight, w_in.to(ffn.up_proj.weight.dtype)]))
    ffn.down_proj = _linear(torch.cat([ffn.down_proj.weight, w_out.to(ffn.down_proj.weight.dtype)], dim=1))


def _linear(weight: torch.Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    return linear
