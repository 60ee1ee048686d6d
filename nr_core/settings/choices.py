"""The base class of all settings, and the names among which a field chooses."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

DEFAULT_LENGTH = 1024  # tokens a sequence or window, where the model's context is not shorter

MethodName = Literal["finetune", "lora", "dora", "adapter", "neutral_residues", "llama_pro"]
Gate = Literal["relu", "elu", "sigmoid", "none"]
LocalLoss = Literal["l1", "relative_l1", "cross_entropy", "none"]
Initialisation = Literal["low_variance", "he"]
Placement = Literal["ffn", "attention"]
KLDirection = Literal["base_to_model", "model_to_base"]
Embeddings = Literal["trained", "frozen", "new_rows", "residue", "gated_rows"]
# A step seeds torch with seed x 1,000,003 + step for each process, which must fit in 64 bits.
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Precision = Literal["auto", "fp32", "bf16"]
BaseDtype = Literal["float32", "bfloat16"]
VocabularyRows = Literal["full", "trimmed"]
Tracker = Literal["none", "trackio", "wandb", "mlflow"]
Quantization = Literal["torchao-int8", "bitsandbytes-int8", "bitsandbytes-nf4"]


class Bears(Enum):
    """Marks a field that does not simply bear on the result: `name: Annotated[str, Bears.NOTHING]`."""

    NOTHING = auto()  # left out of the identity
    NOTHING_ANY_MORE = auto()  # in the identity by its default, whatever it is: ids were made with it at first
    WHERE_SET = auto()  # a field of later: with its default it is written nowhere, so that ids stay as they were


class Settings(BaseModel):
    """Base of all settings: an unknown field is refused, and marks say what bears on identity."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """Return what bears on the result, as JSON-able values: what keys and ids are made of."""
        values: dict[str, Any] = {}
        for name, written in self.model_dump(mode="json", by_alias=False).items():
            field = type(self).model_fields[name]
            if Bears.NOTHING_ANY_MORE in field.metadata:
                values[name] = field.default
            elif Bears.NOTHING not in field.metadata:
                values[name] = _identity(getattr(self, name), written)
        return values

    @model_serializer(mode="wrap")
    def _leave_out_what_was_not_set(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in write(self).items()
            if name not in fields
            or Bears.WHERE_SET not in fields[name].metadata
            or getattr(self, name) != fields[name].default
        }


def _identity(value: Any, written: Any) -> Any:
    """Return the identity of a field's value, given its dump: settings inside lists and mappings have marks too."""
    if isinstance(value, Settings):
        return value.identity()
    if isinstance(value, list | tuple):
        return [_identity(item, one) for item, one in zip(value, written, strict=True)]
    if isinstance(value, Mapping):
        return {key: _identity(item, one) for item, (key, one) in zip(value.values(), written.items(), strict=True)}
    return written
