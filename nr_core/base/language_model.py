"""The language model inside a model: where it lies, as a vision model holds one beside its image tower, and how its
decoder layers run in training: compiled, recomputed on the way back instead of kept, or plainly.

It is found from the token embedding, which a model of transformers tells, and not by name: the tower may be as deep as
the text decoder, and its layers look alike.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from nr_core.errors import ModelError


class LayerStack(NamedTuple):
    """The decoder layers, and their name relative to the model."""

    name: str
    layers: nn.ModuleList


def language_model(model: nn.Module) -> nn.Module:
    """Return the part that reads and writes text, without the output head; the whole model where it does nothing else.

    Raises ModelError where a model of several parts does not tell its text decoder.
    """
    config = model.config
    if text_config(model) is config:
        return model
    return model.get_submodule(_home(model)[0])


def decoder_stack(model: nn.Module) -> LayerStack:
    """Return the layers of the text decoder, wrapped by PEFT or not. Raises ModelError where there is no one such
    stack.
    """
    home, stacks = _home(model)
    nearest = min(name.count(".") for name, _ in stacks)
    found = [LayerStack(f"{home}.{name}".lstrip("."), layers) for name, layers in stacks if name.count(".") == nearest]
    if len(found) != 1:
        raise ModelError(f"{_kind(model)} has several stacks of layers: {', '.join(stack.name for stack in found)}.")
    return found[0]


def chosen_layers(model: nn.Module, layers: list[int]) -> list[nn.Module]:
    """Return some decoder layers, counted from 0. Raises ModelError where the model has no such layer."""
    stack = decoder_stack(model).layers
    if unknown := [layer for layer in layers if layer >= len(stack)]:
        raise ModelError(
            f"The model has no layer {unknown[0]}: its {len(stack)} layers are 0 to {len(stack) - 1}; correct `layers`."
        )
    return [stack[layer] for layer in layers]


def text_config(model: nn.Module) -> Any:
    """Return the part of the config that is the text decoder's. Raises ModelError where it names several."""
    try:
        return model.config.get_text_config()  # type: ignore[union-attr, operator]
    except ValueError as error:
        raise ModelError(f"{_kind(model)} has several text decoders, of which none is known as its own.") from error


def _home(model: nn.Module) -> tuple[str, list[LayerStack]]:
    """Return the innermost module around the token embedding that holds as many layers as the config counts, and
    those.
    """
    depth = getattr(text_config(model), "num_hidden_layers", None)
    path = _embedding_path(model)
    while path:
        path = path.rpartition(".")[0]
        stacks = [
            LayerStack(name, module)
            for name, module in model.get_submodule(path).named_modules()
            if isinstance(module, nn.ModuleList) and len(module) == depth
        ]
        if stacks:
            return path, stacks
    raise ModelError(f"{_kind(model)} has no stack of {depth} layers, as many as its config counts, for its text.")


def _embedding_path(model: nn.Module) -> str:
    try:
        embedding = model.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        embedding = None
    paths = [name for name, module in model.named_modules() if module is embedding]
    if not paths:
        raise ModelError(f"{_kind(model)} does not tell which module embeds its tokens, so its layers are not known.")
    return paths[0]


def _kind(model: nn.Module) -> str:
    return f"The model ({getattr(model.config, 'model_type', type(model).__name__)})"


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
    """Compile the decoder layers (torch.compile), or recompute them on the way back: less memory, a third more time.

    checkpoint(compile(layer)) is the order that works: inside a compiled layer, recomputation fails on the taps'
    writes. Recomputation is not reentrant, which would lose the local loss's gradient without a word.
    """
    if not compile_layers and not recompute_layers:
        return
    for layer in decoder_layers(model):
        forward: Any = torch.compile(layer.forward) if compile_layers else layer.forward
        layer.forward = partial(checkpoint, forward, use_reentrant=False) if recompute_layers else forward
