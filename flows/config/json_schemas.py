"""JSON schemas (draft 2020-12) of the YAML files that a user writes, for editors: every key with its type, reason
and default. `nr config schema` prints them, and the first line of each shipped file names its own.
"""

import json
from typing import TYPE_CHECKING

from flows.config.study import Config
from nr_core.evaluation.tasks.settings import TaskSettings

if TYPE_CHECKING:
    from pydantic import JsonValue

DRAFT = {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def study_schema() -> str:
    """Return the schema of a config. What a file may leave to the one that it extends is not required; `nr` itself says
    what is missing.
    """
    return _text({**DRAFT, **Config.model_json_schema(), "required": []})


def task_schema() -> str:
    """Return the schema of an evaluation task's file, which may leave what is required to its `variants`."""
    whole = TaskSettings.model_json_schema()
    keys = whole["properties"]
    variant: dict[str, JsonValue] = {"type": "object", "properties": keys, "additionalProperties": False}
    variants: dict[str, JsonValue] = {
        "description": "a task each: keys laid over those of the file",
        "type": "array",
        "items": variant,
        "minItems": 1,
    }
    return _text({**DRAFT, **whole, "properties": {**keys, "variants": variants}, "required": []})


def _text(schema: "dict[str, JsonValue]") -> str:
    return json.dumps(schema, indent=1) + "\n"
