"""The JSON schema of a config as a run's parameter: what Prefect's API checks, and its UI makes a form of.

A parameter completes the config that it extends, so nothing is required, everything may be null (which takes a key
away), and there is no default: the form would post each of them over what is extended. The form also posts, as soon
as it is shown, `false` for a switch and null for a null that is the first alternative; a switch is therefore a choice
of two values here, and null comes last (Prefect 3's SchemaFormPropertyBoolean and SchemaFormPropertyNull).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Schema = dict[str, Any]
Resolve = Callable[[Schema], Schema]

NUMBER = r"^\s*[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
SWITCHES = ["true", "false", "yes", "no", "on", "off", "1", "0"]
NOT_KEPT = ("title", "description", "default", "const")  # in an alternative: they stand at its field


def run_form(schema: Schema, resolve: Resolve) -> Schema:
    """Return the schema without references, required fields and defaults; `resolve` follows a reference."""
    [form] = _alternatives(schema, resolve)
    return form


def _field(schema: Schema, resolve: Resolve) -> Schema:
    """Return a field's alternatives, those that the form shows first, and null."""
    alternatives = list(_alternatives(schema, resolve))
    kept = _kept(schema, "title", "description")
    return {**kept, "anyOf": [*alternatives, {"type": "null"}]}


def _alternatives(schema: Schema, resolve: Resolve) -> Iterator[Schema]:
    schema = resolve(schema)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            for part in schema[several]:
                yield from _alternatives(part, resolve)
            return
    kind = schema.get("type")
    if kind == "object":
        yield _object(schema, resolve)
    elif kind == "array":
        yield _array(schema, resolve)
    elif kind in ("integer", "number"):
        yield {key: value for key, value in schema.items() if key not in NOT_KEPT}
        yield {"type": "string", "pattern": NUMBER}
    elif kind == "boolean" or isinstance(schema.get("const"), bool):
        yield {"enum": [True, False]}
        yield {"type": "string", "enum": SWITCHES}
        yield {"type": "integer", "enum": [0, 1]}
    elif kind == "string":
        plain = {key: value for key, value in schema.items() if key not in NOT_KEPT}
        yield {**plain, **({"enum": [schema["const"]]} if "const" in schema else {})}


def _object(schema: Schema, resolve: Resolve) -> Schema:
    form = _kept(schema, "type", "title", "description", "propertyNames")
    if "properties" in schema:
        form["properties"] = {name: _field(field, resolve) for name, field in schema["properties"].items()}
    if "patternProperties" in schema:
        fields = schema["patternProperties"].items()
        form["patternProperties"] = {pattern: _field(field, resolve) for pattern, field in fields}
    values = schema.get("additionalProperties")
    return {**form, "additionalProperties": _field(values, resolve) if isinstance(values, dict) else False}


def _array(schema: Schema, resolve: Resolve) -> Schema:
    form = _kept(schema, "type", "title", "minItems", "maxItems")
    items = schema.get("items") or schema["prefixItems"][0]  # of a tuple all are alike
    return {**form, "items": {"anyOf": list(_alternatives(items, resolve))}}


def _kept(schema: Schema, *keys: str) -> Schema:
    return {key: schema[key] for key in keys if key in schema}
