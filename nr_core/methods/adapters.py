"""Adapters, the vanilla ones and neutral residues: the tuner of nr_core.peft, put on a base by its settings."""

from __future__ import annotations

from typing import Any

from nr_core.runs.build_on_earlier import NEWEST, activate
from nr_core.settings import MethodSettings
from nr_core.tuner.budget import BUDGET, Backbone


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
