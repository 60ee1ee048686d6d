"""Puts a method on a base: what nr_core.settings.method_table says of it, done to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from nr_core.base.language_model import chosen_layers, decoder_stack
from nr_core.base.precision import refuse_to_train
from nr_core.runs.build_on_earlier import NEWEST, activate, load_earlier
from nr_core.settings import LocalLoss, MethodSettings
from nr_core.settings.method_table import METHODS, Method
from nr_core.tuner.budget import BUDGET, Backbone, embedding_tables

ALPHA = 0.01  # the paper's weight of the local loss, for d = 2048 and 100,000 steps


@dataclass(frozen=True)
class Extension:
    """A base under a method, ready to train."""

    model: Any
    method: Method
    backbone: Backbone
    learning_rate: float
    local_loss: LocalLoss
    alpha: float  # of the first step, where max_forgetting adapts it
    taps: Any  # nr_core.tuner.activation_taps.Taps of gated adapters, else None
    trainable_parameters: int
    extra_parameters: int

    def shares(self) -> dict[str, float]:
        """Return the real budget: new parameters over the backbone's."""
        return {
            "share_non_embedding": self.extra_parameters / self.backbone.non_embedding,
            "share_total": self.extra_parameters / self.backbone.total,
        }


def extend(
    model: Any, settings: MethodSettings, new_rows: list[int] | None = None, earlier: Sequence[Path] = ()
) -> Extension:
    """Put a method on a base. Draws from torch's global generator, which the caller seeds.

    new_rows: for `embeddings: new_rows`, the tokens whose rows are extended. earlier: folders of adapters that
    stay active beside the new one, frozen.

    Raises ModelError where the model has no place for the adapters, no layer that is asked for, or is quantized and
    would have to be trained itself.
    """
    method = METHODS[settings.method]
    if method.trains_base:
        refuse_to_train(model, settings.method)
    backbone = Backbone.of(model)
    if earlier:
        model = load_earlier(model, earlier)
    before = sum(parameter.numel() for parameter in model.parameters())
    extended = method.builder()(model, settings, backbone, new_rows)
    trainable = sum(parameter.numel() for parameter in extended.parameters() if parameter.requires_grad)
    local_loss: LocalLoss = settings.variant("local_loss")
    alpha = 0.0 if local_loss == "none" else ALPHA if settings.alpha is None else settings.alpha
    taps = _taps(extended) if method.is_gated else None
    if taps is not None:
        taps.with_blocks = local_loss == "relative_l1"
    return Extension(
        model=extended,
        method=method,
        backbone=backbone,
        learning_rate=settings.learning_rate or method.learning_rate,
        local_loss=local_loss,
        alpha=alpha,
        taps=taps,
        trainable_parameters=trainable,
        extra_parameters=sum(parameter.numel() for parameter in extended.parameters()) - before,
    )


def _taps(model: Any) -> Any:
    from nr_core.peft import find_taps

    return find_taps(model)


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


def add_adapters(model: Any, settings: MethodSettings, backbone: Backbone, new_rows: list[int] | None) -> Any:
    """Put adapters beside the FFN or the attention of the layers, gated or not as the settings say."""
    from peft import PeftModel, get_peft_model

    from nr_core.peft import NeutralResiduesConfig

    config = NeutralResiduesConfig(
        width=backbone.adapter_width(
            settings.budget or BUDGET,
            settings.budget_of,
            settings.variant("gate") != "none",
            None if settings.layers is None else len(settings.layers),
        ),
        budget=settings.budget or BUDGET,
        budget_of=settings.budget_of,
        gate=settings.variant("gate"),
        initialisation=settings.variant("initialisation"),
        placement=settings.variant("placement"),
        layers=settings.layers,
        embeddings=settings.variant("embeddings"),
        new_rows=new_rows,
        task_type="CAUSAL_LM",
    )
    if isinstance(model, PeftModel):  # with the adapters of earlier runs
        model.add_adapter(NEWEST, config)
        activate(model, trainable=True)
        return model
    return get_peft_model(model, config)
