"""Refuses what is wrong in any part of a config: odd numbers, languages that are not told, names that are not there."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from flows.config.yaml_files import CORE_SCHEMA
from pipelines.text.languages import known_language
from storage.errors import InputError


def refuse_odd_numbers(given: Any, taken: Any, field: str = "") -> None:
    """Refuse `true` and `1_000` where they were taken for numbers, and what no 64 bits hold: torch, NumPy and DuckDB
    fail on it later.
    """
    if isinstance(given, Mapping):
        for key, item in given.items():
            part = getattr(taken, key, None) if isinstance(taken, BaseModel) else taken.get(key)
            refuse_odd_numbers(item, part, f"{field}.{key}" if field else key)
    elif isinstance(given, list) and isinstance(taken, list | tuple):
        for place, (item, part) in enumerate(zip(given, taken, strict=False)):
            refuse_odd_numbers(item, part, f"{field}.{place}")
    elif isinstance(given, bool) and isinstance(taken, int | float) and not isinstance(taken, bool):
        raise ValueError(f"`{field}` is {str(given).lower()}: give a number")
    elif isinstance(given, str) and isinstance(taken, int | float) and not _is_number(given, taken):
        raise ValueError(f"`{field}` is {given!r}: give a number, with digits alone")
    elif isinstance(taken, int) and abs(taken) >= 2**63:
        raise ValueError(f"`{field}` is {taken}: give a number of at most 63 bits")


def _is_number(text: str, taken: float) -> bool:
    """Tell whether YAML takes a text for a number too; a form gives numbers as text."""
    return isinstance(taken, bool) or any(re.fullmatch(CORE_SCHEMA[kind], text.strip()) for kind in ("int", "float"))


def refuse_untold(field: str, language: str) -> None:
    try:
        known_language(language)
    except InputError as error:
        raise ValueError(f"{field}: {error}; or a model that knows it, as documents.language_model") from None


def refuse_unknown(field: str, names: list[str], kind: str, known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{field}: there is no {kind} {name!r}; known: {', '.join(known) or 'none'}")
