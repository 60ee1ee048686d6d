"""How each decoder layer runs in training: compiled, recomputed on the way back instead of kept, or plainly.

checkpoint(compile(layer)) is the order that works: inside a compiled layer, recomputation fails on the taps' writes.
Recomputation is not reentrant, which would lose the local loss's gradient without a word.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from nr_core.base.language_model import decoder_stack
from nr_core.errors import ModelError


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """Return the layers of the text decoder, wrapped by PEFT or not: an image tower runs as it is."""
    try:
        return decoder_stack(model).layers
    except ModelError as error:
        raise ModelError(
            f"{error} Its layers cannot be compiled, recomputed or cut: leave compile_layers and recompute_layers "
            "off, and train on one device."
        ) from error


def set_layer_passes(model: nn.Module, compile_layers: bool, recompute_layers: bool) -> None:
    """compile_layers: torch.compile; recompute_layers: activation checkpointing, less memory for a third more time."""
    if not compile_layers and not recompute_layers:
        return
    for layer in decoder_layers(model):
        forward: Any = torch.compile(layer.forward) if compile_layers else layer.forward
        layer.forward = partial(checkpoint, forward, use_reentrant=False) if recompute_layers else forward
