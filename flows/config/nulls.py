"""Nulls of a config that took no key of another file away: under a right name they mean its default, under another
they are refused, as any value there is.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from flows.config.errors import is_of_kind, members
from flows.config.extends import ALL
from pipelines.text.rules import RULE_OF_NAME

RULES = "rules"  # of a corpus: what a null leaves to the profile need not stand in any file


def without_nulls(values: Mapping[str, Any], annotation: Any, field: str = "") -> dict[str, Any]:
    """Return the values of a field without the nulls of names that its models have; those of others stay, which the
    models refuse.

    Raises ValueError for a null under a name of the user's choice, as of a source, of which there is nothing.
    """
    models, named = _models(annotation, values.get("kind")), _values_by_name(annotation)
    left: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{field}.{key}" if field else key
        if value is None and key not in ALL:
            if named:
                _refuse_unknown(path, key, RULE_OF_NAME if field.endswith(f".{RULES}") else _set(values))
            elif not any(key in model.model_fields for model in models):
                left[key] = value
        elif isinstance(value, Mapping):
            inner = [*named, *(model.model_fields[key].annotation for model in models if key in model.model_fields)]
            left[key] = without_nulls(value, tuple(inner), path)
        else:
            left[key] = value
    return left


def _models(annotation: Any, kind: Any) -> list[type[BaseModel]]:
    found = [part for part in _alternatives(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    return [model for model in found if is_of_kind(model, kind)] or found


def _values_by_name(annotation: Any) -> list[Any]:
    return [get_args(part)[-1] for part in _alternatives(annotation) if get_origin(part) is dict]


def _alternatives(annotation: Any) -> list[Any]:
    several = annotation if isinstance(annotation, tuple) else (annotation,)
    return [part for one in several for part in members(one)]


def _set(values: Mapping[str, Any]) -> list[str]:
    return [key for key, value in values.items() if value is not None]


def _refuse_unknown(path: str, key: str, known: Mapping[str, Any] | list[str]) -> None:
    if key in known:
        return
    near = difflib.get_close_matches(key, known, n=1)
    told = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known) or 'none'}"
    raise ValueError(f"`{path}` is null, which takes a key away, and there is none of that name; {told}")
