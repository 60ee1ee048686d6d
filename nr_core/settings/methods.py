"""Settings of a method, by which a base is extended: which of them each method has, and their defaults.

Sources: the paper's ablations (Talla, Grave, Jégou, ICML 2025, https://arxiv.org/abs/2410.02744, sections 4 and 5);
`relative_l1`, `embeddings` and `max_forgetting` are this project's.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from nr_core.settings.method_table import METHODS, Embeddings, MethodName, variant, with_field
from nr_core.settings.strict import Bears, Settings

Gate = Literal["relu", "elu", "sigmoid", "none"]
LocalLoss = Literal["l1", "relative_l1", "cross_entropy", "none"]
Initialisation = Literal["low_variance", "he"]
Placement = Literal["ffn", "attention"]
KLDirection = Literal["base_to_model", "model_to_base"]
Share = Annotated[float, Field(gt=0, lt=1)]

# What a field asks for, as the sentence that refuses it where the method has nothing of the kind.
FIELDS = {
    "budget": "adds no parameters",
    "alpha": "has no local loss",
    "max_forgetting": "has no local loss",
    "local_loss": "has no local loss",
    "gate": "has no gate",
    "initialisation": "has its own initialisation",
    "placement": "has no adapters to place",
    "layers": "has no adapters to place",
    "rank": "has no matrices of a low rank",
    "freeze": "leaves the base frozen",
    "l2_to_base": "leaves the base frozen",
    "ema": "leaves the base frozen",
    "interpolate": "is not finetuning of a model of the base's shape",
    "distil_from": "learns from the text itself",
    "embeddings": "leaves the embeddings frozen",
}


class MethodSettings(Settings):
    """Settings of one method. Fields left out take the values of the method's record in `method_table`."""

    method: MethodName = Field(description="; ".join(f"{name}: {method.about}" for name, method in METHODS.items()))
    name: Annotated[str | None, Bears.NOTHING] = Field(
        default=None, description="what tables and plots call the run; default: the method"
    )
    learning_rate: float | None = Field(default=None, gt=0, description="peak learning rate; default: the paper's")
    budget: float | None = Field(
        default=None,
        gt=0,
        le=4,
        description="new parameters as a share of the backbone's; default 0.2; not for finetune",
    )
    budget_of: Literal["non_embedding", "total"] = Field(
        default="non_embedding", description="which of the backbone's parameters the budget is a share of"
    )
    alpha: float | None = Field(
        default=None, ge=0, description="weight of the local loss; default 0.01, the paper's; small models need about 1"
    )
    gate: Annotated[Gate | None, Bears.IF_SET] = Field(
        default=None, description="what opens an adapter for a token; default relu, the paper's; none: always open"
    )
    local_loss: Annotated[LocalLoss | None, Bears.IF_SET] = Field(
        default=None,
        description="what keeps adapters silent on the original language: l1 (size of the residue), relative_l1 (size "
        "against that of the block's own output), cross_entropy (of a sigmoid gate) or none; default: the gate's",
    )
    initialisation: Annotated[Initialisation | None, Bears.IF_SET] = Field(
        default=None, description="of the inner matrices: low_variance, 1/(d·L), or he, 2/d; default: the method's"
    )
    placement: Annotated[Placement | None, Bears.IF_SET] = Field(
        default=None, description="the block that adapters stand beside: ffn (default) or attention"
    )
    layers: Annotated[list[int] | None, Bears.IF_SET] = Field(
        default=None,
        min_length=1,
        description="layers with an adapter or LoRA, or that finetune trains (then without the embeddings, unless "
        "`embeddings: trained`), counted from 0; default: all",
    )
    rank: Annotated[int | None, Bears.IF_SET] = Field(
        default=None, ge=1, description="of LoRA and DoRA; default: the one that comes nearest to the budget"
    )
    freeze: Annotated[Literal["random_half", "source_shielded"] | None, Bears.IF_SET] = Field(
        default=None,
        description="finetune: random_half leaves each kind of a layer's tensors as it is in half of the layers, drawn "
        "by the seed; source_shielded half of the columns of each, those that matter most on original-language text",
    )
    l2_to_base: Annotated[float | None, Bears.IF_SET] = Field(
        default=None,
        gt=0,
        description="finetune: weight of half the squared distance of the weights from the base's, in place of "
        "weight_decay",
    )
    ema: Annotated[float | None, Bears.IF_SET] = Field(
        default=None,
        gt=0,
        lt=1,
        description="finetune: decay of the weights' moving average, which begins at the base and is what is saved",
    )
    embeddings: Annotated[Embeddings | None, Bears.IF_SET] = Field(
        default=None,
        description="finetune: trained (default) or frozen; adapters: frozen (default), new_rows (rows of tokens that "
        "the original text does not use are trained, on top of the budget), residue (one more gated adapter, on the "
        "embedding) or gated_rows (neutral_residues: rows of embedding and output head behind gates that see the "
        "context, on top of the budget)",
    )
    max_forgetting: Annotated[float | None, Bears.IF_SET] = Field(
        default=None,
        gt=0,
        description="bits per byte that may be lost on the original language: alpha is adapted in training so that "
        "this holds on a slice of its text that is kept out of training",
    )
    kl_to_base: Annotated[float | None, Bears.IF_SET] = Field(
        default=None,
        gt=0,
        description="weight of the KL divergence from the base's next-token distributions, on original-language text",
    )
    kl_direction: Annotated[KLDirection | None, Bears.IF_SET] = Field(
        default=None,
        description="of kl_to_base: base_to_model, KL(base ‖ model), the default, or model_to_base, KL(model ‖ base)",
    )

    interpolate: Annotated[list[Share] | None, Bears.IF_SET] = Field(
        default=None,
        min_length=1,
        description="finetune: one more run for each λ, not trained: the weights base + λ · (finetuned − base)",
    )
    distil_from: Annotated[str | None, Bears.NOTHING, Bears.IF_SET] = Field(  # the id of the teacher's run bears
        default=None,
        min_length=1,
        description="neutral_residues: name of a finetune entry of the same study, whose next-token distributions on "
        "new-language text are learned in place of the text's own next tokens",
    )

    @field_validator("layers")
    @classmethod
    def _layers_in_order(cls, layers: list[int] | None) -> list[int] | None:
        if layers is not None and (min(layers) < 0 or len(set(layers)) < len(layers)):
            raise ValueError("layers: give each layer once, counted from 0")
        return None if layers is None else sorted(layers)

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> MethodSettings:
        for field, reason in FIELDS.items():
            if getattr(self, field) is not None and field not in METHODS[self.method].fields:
                others = " or ".join(with_field(field))
                raise ValueError(f"{field}: {self.method} {reason}; leave {field} out, or choose the method {others}")
        known = METHODS[self.method].embeddings
        if self.embeddings is not None and self.embeddings not in known:
            raise ValueError(f"embeddings: {self.embeddings} is not for {self.method}; choose {' or '.join(known)}")
        if self.embeddings == "gated_rows" and self.variant("gate") == "none":
            raise ValueError("embeddings: gated_rows stand behind gates, and gate is none; choose another gate")
        if self.freeze is not None and self.layers is not None:
            raise ValueError("freeze: layers says already what is trained; give one of the two")
        if self.interpolate is not None and len(set(self.interpolate)) < len(self.interpolate):
            raise ValueError("interpolate: give each share once")
        if self.rank is not None and self.budget is not None:
            raise ValueError("rank: the budget gives the rank; give one of the two")
        if self.kl_direction is not None and self.kl_to_base is None:
            raise ValueError("kl_direction: there is no divergence to take; give kl_to_base, its weight, too")
        self._refuse_contradictory_losses()
        return self

    def _refuse_contradictory_losses(self) -> None:
        gate, local_loss = self.variant("gate"), self.variant("local_loss")
        if local_loss in ("l1", "relative_l1") and gate == "sigmoid":
            raise ValueError(
                f"local_loss: a sigmoid gate is trained to tell the languages apart, and {local_loss} is not; choose "
                "local_loss: cross_entropy or none, or another gate"
            )
        if local_loss == "cross_entropy" and gate != "sigmoid":
            raise ValueError(
                f"local_loss: cross_entropy trains a sigmoid gate, and the gate is {gate}; choose gate: sigmoid, or "
                "local_loss: l1"
            )
        if local_loss == "none" and (self.alpha is not None or self.max_forgetting is not None):
            field = "alpha" if self.alpha is not None else "max_forgetting"
            raise ValueError(f"{field}: there is no local loss to weigh; leave {field} out, or choose a local_loss")
        if self.alpha is not None and self.max_forgetting is not None:
            raise ValueError("alpha: max_forgetting adapts alpha in training; give one of the two")

    def variant(self, field: str) -> Any:
        """Return what holds for gate, local_loss, initialisation, placement or embeddings: as set, else the default."""
        value = getattr(self, field)
        return value if value is not None else variant(self.method, field, self.gate)

    @property
    def label(self) -> str:
        return self.name or self.method

    @property
    def trained(self) -> MethodSettings:
        """Return the settings of what is trained: without the points that are made of it afterwards."""
        return self.model_copy(update={"interpolate": None})

    def points(self) -> list[MethodSettings]:
        """Return one for each λ of interpolate."""
        return [
            self.model_copy(update={"interpolate": [share], "name": f"{self.label} λ {share:g}"})
            for share in self.interpolate or []
        ]
