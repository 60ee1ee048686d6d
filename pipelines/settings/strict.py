"""What all settings have in common: an unknown field is refused, and none changes after it was checked."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from pipelines.text.languages import known_language

Language = Annotated[str, AfterValidator(known_language)]


class StrictSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
