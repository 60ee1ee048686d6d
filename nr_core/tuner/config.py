"""The config saved beside an adapter's weights, and the name of the method in PEFT's closed list."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import get_args

from peft import PeftConfig
from peft.utils import PeftType

from nr_core.errors import ModelError
from nr_core.settings import Embeddings, Gate, Initialisation, Placement
from nr_core.tuner.budget import BUDGET

# 1 knew the gates relu and none, placement ffn, frozen embeddings and found sites; 2 all but gated rows. An adapter
# says the oldest that can read it.
FORMAT_VERSION = 3


def _extend_peft_type(name: str) -> None:
    """Add the method to PeftType, a closed Enum: peft and transformers read `peft_type.value`, so a string would not
    do.
    """
    if name in PeftType.__members__:
        return
    member = str.__new__(PeftType, name)
    member._name_ = name
    member._value_ = name
    PeftType._member_map_[name] = member
    PeftType._value2member_map_[name] = member
    PeftType._member_names_.append(name)
    type.__setattr__(PeftType, name, member)


_extend_peft_type("NEUTRAL_RESIDUES")


@dataclass
class NeutralResiduesConfig(PeftConfig):
    """PEFT's config of the method, saved beside the weights.

    width: h; left out, it follows from the budget when the adapter is made.
    """

    width: int | None = None
    budget: float = BUDGET
    budget_of: str = "non_embedding"
    gate: Gate = "relu"
    activation: str = "silu"
    initialisation: Initialisation = "low_variance"
    placement: Placement = "ffn"
    embeddings: Embeddings = "frozen"
    new_rows: list[int] | None = field(default=None, metadata={"help": "tokens whose embedding is extended"})
    post_norm: str = "after"
    layers: list[int] | None = field(default=None, metadata={"help": "layers with an adapter; default: all"})
    sites: list[str] | None = field(default=None, metadata={"help": "where adapters go; default: found by structure"})
    format_version: int = 1
    target_modules: list[str] | None = field(default=None, metadata={"help": "filled in: the sites of those layers"})
    exclude_modules: list[str] | None = None
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.NEUTRAL_RESIDUES  # type: ignore[attr-defined]
        if self.format_version > FORMAT_VERSION:
            raise ModelError(
                f"The adapter is of format {self.format_version}, this version reads {FORMAT_VERSION} and older; "
                "install a newer neutral-residues."
            )
        for name, value, known in (
            ("gate", self.gate, get_args(Gate)),
            ("activation", self.activation, ("silu",)),
            ("initialisation", self.initialisation, get_args(Initialisation)),
            ("placement", self.placement, get_args(Placement)),
            ("embeddings", self.embeddings, ("frozen", "new_rows", "residue", "gated_rows")),
            ("post_norm", self.post_norm, ("after",)),
        ):
            if value not in known:
                raise ModelError(f"NeutralResiduesConfig.{name} is {value!r}; choose one of {', '.join(known)}.")
        if self.width is not None and self.width < 1:
            raise ModelError(f"NeutralResiduesConfig.width is {self.width}; give 1 or more, or leave it to the budget.")
        if self.width is None and not (math.isfinite(self.budget) and self.budget > 0):
            raise ModelError(
                f"NeutralResiduesConfig.budget is {self.budget}; give a share of the model's parameters above 0, as .2."
            )
        if self.embeddings in ("new_rows", "gated_rows") and not self.new_rows:
            raise ModelError("NeutralResiduesConfig.new_rows lists no tokens; give them, or embeddings='frozen'.")
        if self.embeddings == "gated_rows" and self.gate == "none":
            raise ModelError("NeutralResiduesConfig.embeddings is gated_rows, and gate is none; choose a gate.")
        if self.exclude_modules is not None:
            raise ModelError(
                "NeutralResiduesConfig.exclude_modules has no sense here: adapters stand in whole layers, one each; "
                "give the layers that are to have one, as layers=[...]."
            )
        if self.sites is not None and self.placement == "attention":
            raise ModelError("NeutralResiduesConfig.sites says where adapters go, and so does placement; give one.")
        of_first_format = self.gate in ("relu", "none") and self.placement == "ffn" and self.embeddings == "frozen"
        if self.embeddings == "gated_rows":
            self.format_version = 3
        elif not of_first_format or self.sites is not None:
            self.format_version = 2
