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

from nr_core.errors import ModelError


def decoder_layers(model: nn.Module) -> nn.ModuleList:
    """The one stack of decoder layers of a model of transformers, wrapped by PEFT or not."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    stacks = [
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList)
        and len(module)
        and all(isinstance(layer, GradientCheckpointingLayer) for layer in module)
    ]
    if len(stacks) != 1:
        raise ModelError(
            f"The model has {len(stacks)} stacks of layers where one is needed to compile, recompute or cut them; "
            "leave compile_layers and recompute_layers off, and train on one device."
        )
    return stacks[0]


def set_layer_passes(model: nn.Module, compile_layers: bool, recompute_layers: bool) -> None:
    """compile_layers: torch.compile; recompute_layers: activation checkpointing, less memory for a third more time."""
    if not compile_layers and not recompute_layers:
        return
    for layer in decoder_layers(model):
        forward: Any = torch.compile(layer.forward) if compile_layers else layer.forward
        layer.forward = partial(checkpoint, forward, use_reentrant=False) if recompute_layers else forward
