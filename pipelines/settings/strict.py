"""The base class of all settings: an unknown field is refused, none changes after it was checked, and marks say what
bears on identity."""

from enum import Enum, auto
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from pipelines.text.languages import language_code

Language = Annotated[str, AfterValidator(language_code)]


class Bears(Enum):
    """Marks a field that does not simply bear on the result: `block_lists: Annotated[..., Bears.BY_CONTENT]`."""

    NOTHING = auto()  # left out of keys: where something lies, or what is only told
    BY_CONTENT = auto()  # names files: a hash of their content stands in keys, not where they lie
    IF_SET = auto()  # came after the first ids: in keys only where it is not the default, so that those hold
    ON_HELD_OUT = auto()  # of a corpus: with another value it is another corpus, whose held-out split is chosen anew
    ON_NO_DOCUMENT = auto()  # of a corpus: gives another version, but what became of earlier documents holds


class StrictSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def identity(self) -> dict[str, Any]:
        """Return what bears on the result, as JSON-able values, without files: keys hold a hash of their content."""
        values = self.model_dump(mode="json")
        for name in self.marked(Bears.BY_CONTENT) | self.marked(Bears.NOTHING):
            del values[name]
        for name in self.marked(Bears.IF_SET):
            if getattr(self, name) == type(self).model_fields[name].default:
                del values[name]
        nested = {name: getattr(self, name) for name in values}
        return values | {name: one.identity() for name, one in nested.items() if isinstance(one, StrictSettings)}

    @classmethod
    def marked(cls, mark: Bears) -> set[str]:
        """Return the names of the fields that have a mark."""
        return {name for name, field in cls.model_fields.items() if mark in field.metadata}
