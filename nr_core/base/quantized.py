"""Bases whose linear layers are held in 8 or 4 bits, by torchao or bitsandbytes; adapters stay in fp32 beside them.

The adapter reads the block's input and adds to its output, so it never touches a base weight.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from torch import nn

from nr_core.errors import ModelError
from nr_core.settings import Quantization

PACKAGE: dict[Quantization, str] = {
    "torchao-int8": "torchao",
    "bitsandbytes-int8": "bitsandbytes",
    "bitsandbytes-nf4": "bitsandbytes",
}


def quantization_config(kind: Quantization) -> Any:
    """Return what from_pretrained takes. Raises ModelError where the package is not installed."""
    import torch
    from transformers import BitsAndBytesConfig, TorchAoConfig

    if find_spec(PACKAGE[kind]) is None:
        raise ModelError(
            f"base.quantize: {kind} needs the package {PACKAGE[kind]}: pip install 'neutral-residues[quantized]'."
        )
    if kind == "torchao-int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return TorchAoConfig(Int8WeightOnlyConfig())
    if kind == "bitsandbytes-int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def count(parameter: nn.Parameter) -> int:
    """Count the entries of a weight, of which bitsandbytes packs two of 4 bits into a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(state.shape.numel())


def refuse_to_train(model: Any, method: str) -> None:
    """Raises ModelError for a quantized base under a method that trains or copies its weights."""
    if getattr(model, "is_quantized", False):
        raise ModelError(
            f"{method} trains the base's own weights, and this base is quantized; leave base.quantize out, or choose "
            "lora, adapter or neutral_residues."
        )
