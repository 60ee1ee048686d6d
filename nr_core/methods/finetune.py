"""Finetuning: all weights of a base, some layers, or half of each kind of tensor."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from nr_core.base.language_model import chosen_layers, decoder_stack
from nr_core.settings import MethodSettings
from nr_core.tuner.budget import Backbone, embedding_tables


def finetune(model: Any, settings: MethodSettings, backbone: Backbone, new_rows: list[int] | None) -> Any:
    """Train all weights; of some layers alone where `layers` says so; of each kind of a layer's tensors half of the
    layers' where `freeze` does."""
    model.requires_grad_(settings.layers is None)
    if settings.layers is not None:
        for layer in chosen_layers(model, settings.layers):
            layer.requires_grad_(True)
    if settings.freeze == "random_half":
        _freeze_a_random_half(decoder_stack(model).layers)
    if settings.embeddings is not None or settings.layers is None:
        for table in embedding_tables(model):
            table.requires_grad_(settings.variant("embeddings") == "trained")
    return model


def _freeze_a_random_half(layers: nn.ModuleList) -> None:
    """Freeze each kind of tensor (q_proj.weight, ...) in half of the layers, drawn from torch's global generator.

    After half fine-tuning (Hui et al., https://arxiv.org/abs/2404.18466), which draws within each layer.
    """
    kinds: dict[str, list[nn.Parameter]] = {}
    for layer in layers:
        for name, parameter in layer.named_parameters():
            kinds.setdefault(name, []).append(parameter)
    for held in kinds.values():
        for index in torch.randperm(len(held))[: len(held) // 2].tolist():
            held[index].requires_grad_(False)
