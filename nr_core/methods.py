"""The one table of methods: what each trains, at which rate, and how it is put on a base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from nr_core.adapter import GateName, Initialisation
from nr_core.budget import BUDGET, Backbone
from nr_core.settings import MethodName, MethodSettings

LORA_SCALE = 2  # of the small experiments: lora_alpha / r
ALPHA = 0.01  # the paper's weight of the local loss, for d = 2048 and 100,000 steps


@dataclass(frozen=True)
class Method:
    """build(base, settings, backbone) returns the model to train, whose trainable parameters require gradients."""

    build: Callable[[Any, MethodSettings, Backbone], Any]
    learning_rate: float
    saves_full_model: bool = False
    local_loss: bool = False


@dataclass(frozen=True)
class Extension:
    """A base under a method, ready to train."""

    model: Any
    method: Method
    backbone: Backbone
    learning_rate: float
    alpha: float
    taps: Any  # nr_core.taps.Taps of gated adapters, else None
    trainable_parameters: int
    extra_parameters: int

    def shares(self) -> dict[str, float]:
        """The real budget: new parameters over the backbone's."""
        return {
            "share_non_embedding": self.extra_parameters / self.backbone.non_embedding,
            "share_total": self.extra_parameters / self.backbone.total,
        }


def extend(model: Any, settings: MethodSettings) -> Extension:
    """Put a method on a base. Draws from torch's global generator, which the caller seeds.

    Raises ModelError where the model has no FFN for the adapters.
    """
    method = METHODS[settings.method]
    backbone = Backbone.of(model)
    extended = method.build(model, settings, backbone)
    trainable = sum(parameter.numel() for parameter in extended.parameters() if parameter.requires_grad)
    alpha = (ALPHA if settings.alpha is None else settings.alpha) if method.local_loss else 0.0
    return Extension(
        model=extended,
        method=method,
        backbone=backbone,
        learning_rate=settings.learning_rate or method.learning_rate,
        alpha=alpha,
        taps=_taps(extended) if method.local_loss else None,
        trainable_parameters=trainable,
        extra_parameters=0 if method.saves_full_model else trainable,
    )


def _taps(model: Any) -> Any:
    from nr_core.peft import find_taps

    return find_taps(model)


def _finetune(model: Any, settings: MethodSettings, backbone: Backbone) -> Any:
    return model.requires_grad_(True)


def _lora(model: Any, settings: MethodSettings, backbone: Backbone) -> Any:
    """LoRA on all linear layers but the output head, at the rank whose parameters come nearest to the adapters'."""
    from peft import LoraConfig, get_peft_model
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }
    wanted = backbone.adapter_parameters(_width(settings, backbone))
    rank = max(1, round(wanted / sum(sum(module.weight.shape) for module in linear.values())))
    config = LoraConfig(
        r=rank,
        lora_alpha=LORA_SCALE * rank,
        target_modules=sorted(linear),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in linear.values()),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config)


def _adapters(gate: GateName, initialisation: Initialisation) -> Callable[[Any, MethodSettings, Backbone], Any]:
    def build(model: Any, settings: MethodSettings, backbone: Backbone) -> Any:
        from peft import get_peft_model

        from nr_core.peft import NeutralResiduesConfig

        config = NeutralResiduesConfig(
            width=_width(settings, backbone, gated=gate != "none"),
            budget=settings.budget or BUDGET,
            budget_of=settings.budget_of,
            gate=gate,
            initialisation=initialisation,
            task_type="CAUSAL_LM",
        )
        return get_peft_model(model, config)

    return build


def _width(settings: MethodSettings, backbone: Backbone, gated: bool = True) -> int:
    return backbone.adapter_width(settings.budget or BUDGET, settings.budget_of, gated)


# Learning rates: the paper's, chosen there for the best trade-off (method.md, Training). Small models want more.
METHODS: dict[MethodName, Method] = {
    "finetune": Method(_finetune, 5e-5, saves_full_model=True),
    "lora": Method(_lora, 5e-5),
    "adapter": Method(_adapters("none", "he"), 2e-4),
    "neutral_residues": Method(_adapters("relu", "low_variance"), 2e-4, local_loss=True),
}
