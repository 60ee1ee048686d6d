"""What settings have in common: their base class, and the names among which a field chooses."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

DEFAULT_LENGTH = 1024  # tokens a sequence or window, where the model's context is not shorter

MethodName = Literal["finetune", "lora", "dora", "adapter", "neutral_residues", "llama_pro"]
Gate = Literal["relu", "elu", "sigmoid", "none"]
LocalLoss = Literal["l1", "relative_l1", "cross_entropy", "none"]
Initialisation = Literal["low_variance", "he"]
Placement = Literal["ffn", "attention"]
KLDirection = Literal["base_to_model", "model_to_base"]
Embeddings = Literal["trained", "frozen", "new_rows", "residue"]
# A step seeds torch with seed x 1,000,003 + step for each process, which must fit in 64 bits.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Precision = Literal["auto", "fp32", "bf16"]
BaseDtype = Literal["float32", "bfloat16"]
VocabularyRows = Literal["full", "trimmed"]
Quantization = Literal["torchao-int8", "bitsandbytes-int8", "bitsandbytes-nf4"]


class Settings(BaseModel):
    """Settings that are written down only where they were set.

    What a run was asked for is part of its identity. A field that a later version adds is left out of it where it has
    its default, so that runs of before keep theirs: `added` names those fields.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    added: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _leave_out_what_was_not_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in write(self).items()
            if name not in self.added or getattr(self, name) != fields[name].default
        }
