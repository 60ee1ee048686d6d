"""Puts a method on a base: what nr_core.settings.method_table says of it, done to a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nr_core.base.precision import refuse_to_train
from nr_core.runs.build_on_earlier import load_earlier
from nr_core.settings import LocalLoss, MethodSettings
from nr_core.settings.method_table import METHODS, Method
from nr_core.tuner.budget import Backbone

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
