"""The base class of all settings: an unknown field is refused, and marks say what bears on identity."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Bears(Enum):
    """Marks a field that does not simply bear on the result: `name: Annotated[str, Bears.NOTHING]`."""

    NOTHING = auto()  # left out of the identity
    NOTHING_ANY_MORE = auto()  # in the identity by its default, whatever it is: ids were made with it at first
    IF_SET = auto()  # a field of later: with its default it is written nowhere, so that ids stay as they were


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
            or Bears.IF_SET not in fields[name].metadata
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
