"""Errors of a config in one sentence, the field, what is wrong and the fix: pydantic's, and refusals of our own."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from flows.config.yaml_files import CORE_SCHEMA
from pipelines.settings.sources import KINDS
from pipelines.sources.credentials import has_credential, has_token, masked
from pipelines.sources.urls import redacted, redacted_text
from pipelines.text.languages import known_language
from storage.errors import InputError

SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 120

Models = list[type[BaseModel]]


def first_sentence(error: ValidationError, tree: type[BaseModel]) -> str:
    """Name the first wrong field of `tree`, what is wrong with it, and what to do."""
    # A key that is missing may be an unknown one misspelt, which says more.
    problem, *further = sorted(error.errors(), key=lambda one: one["type"] == "missing")
    more = f" (and {len(further)} more)" if further else ""
    path, models = _follow(tree, list(problem["loc"]))
    field = redacted_text(".".join(path))
    if problem["type"] == "extra_forbidden":
        return f"unknown key `{field}`{_near_match(path[-1], models)}{more}"
    description = next(
        (m.model_fields[path[-1]].description for m in models if path and path[-1] in m.model_fields), None
    )
    if problem["type"] == "missing":
        return f"`{field}` is missing: {description or 'add it'}{more}"
    if problem["type"] == "value_error":
        return f"{f'`{field}`: ' if field else ''}{problem['ctx']['error']}{more}"
    if problem["type"] in ("union_tag_invalid", "union_tag_not_found"):
        tags = problem["ctx"].get("expected_tags", ", ".join(map(repr, KINDS)))
        return f"`{field}` says by its `kind` what it is: give one of {tags}{more}"
    reason = problem["msg"][0].lower() + problem["msg"][1:]
    if problem["type"] == "string_type" and isinstance(problem["input"], bool | int | float):
        reason += "; put it in quotes"
    if problem["type"] in ("model_type", "dict_type"):
        reason = "it takes fields and their values, like {a: 1}"
    if path[:1] == ["secret_blocks"]:  # whatever is there may be the secret itself
        takes = "takes variables and the names of Secret blocks, like {HF_TOKEN: my-hub-token}"
        return f"`{field}` {takes if len(path) == 1 else _NO_BLOCK}{more}"
    given = masked(problem["input"], field)
    told = redacted_text(SHORT.repr(redacted(given) if isinstance(given, str) else given))
    return f"`{field}` is {told}: {reason}{f' ({description})' if description else ''}{more}"


def _near_match(key: str, models: Models) -> str:
    known = sorted({name for model in models for name in model.model_fields})
    near = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean `{near[0]}`?" if near else f"; known keys: {', '.join(known)}"


def _follow(tree: type[BaseModel], steps: list[Any]) -> tuple[list[str], Models]:
    """Follow an error's path through the tree: its steps without union tags, and the models that hold the last one."""
    annotations: list[Any] = [tree]
    path: list[str] = []
    models: Models = []
    tag = None
    for step in steps:
        annotations = [part for annotation in annotations for part in members(annotation)]
        candidates = [part for part in annotations if isinstance(part, type) and issubclass(part, BaseModel)]
        fields = [model.model_fields[str(step)].annotation for model in candidates if str(step) in model.model_fields]
        if step == "[key]":
            continue  # the key before it is what is wrong
        if len(candidates) > 1 and not fields and tag is None:
            tag = step
            continue  # the tag of a discriminated union, which is no key that the user wrote
        if tag is not None:
            candidates = [model for model in candidates if is_of_kind(model, tag)] or candidates
            tag = None
        if annotations and not candidates and not any(get_origin(part) in (list, dict, tuple) for part in annotations):
            continue  # the alternative of a union of plain values
        path.append(str(step))
        models = candidates
        annotations = fields or [get_args(part)[-1] for part in annotations if get_origin(part) in (list, dict, tuple)]
    return path, models


def is_of_kind(model: type[BaseModel], tag: Any) -> bool:
    return "kind" in model.model_fields and model.model_fields["kind"].default == tag


def members(annotation: Any) -> list[Any]:
    """Return the alternatives of a union, with Annotated peeled off."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    if get_origin(annotation) in (list, dict, tuple) or not get_args(annotation):
        return [annotation]
    return [part for argument in get_args(annotation) for part in members(argument)]


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


# As Prefect takes them; not what looks drawn at random.
_BLOCK = re.compile(r"(?![0-9a-f]{32})[a-z0-9-]{1,200}")
_NO_BLOCK = (
    "is no name of a Secret block (small letters, digits and dashes), and would be kept and logged: make the block in "
    "Prefect's UI and give its name, or set the variable in the environment"
)


def refuse_secrets(kept: Any, field: str = "") -> None:
    """Refuse what holds a password or a token: an address, a command, the value of a secret where a block's name
    belongs. kept: values as Prefect keeps and shows them, in which those of sources and `data_root` have none any more.
    """
    if f".{field}".rpartition(".")[0].endswith(".secret_blocks"):
        if kept is not None and not (isinstance(kept, str) and _BLOCK.fullmatch(kept)):
            raise ValueError(f"`{field}` {_NO_BLOCK}")
    elif isinstance(kept, Mapping):
        for key, item in kept.items():
            refuse_secrets(item, f"{field}.{key}" if field else str(key))
    elif isinstance(kept, list):
        for place, item in enumerate(kept):
            refuse_secrets(item, f"{field}.{place}")
    elif not isinstance(kept, str):
        return
    elif ":/" in kept and redacted_text(kept) != kept:
        raise ValueError(
            f"`{field}` is an address with a password or a token in it, which would be kept and logged; give it without"
        )
    elif has_token(kept) or (f".{field}".endswith(".launcher") and has_credential(kept)):
        raise ValueError(
            f"`{field}` has a password or a token in it, which would be kept and logged: give it without, and set it "
            "in the environment, which what is started inherits"
        )


def refuse_untold(field: str, language: str) -> None:
    try:
        known_language(language)
    except InputError as error:
        raise ValueError(f"{field}: {error}; or a model that knows it, as documents.language_model") from None


def refuse_unknown(field: str, names: list[str], kind: str, known: Mapping[str, Any]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{field}: there is no {kind} {name!r}; known: {', '.join(known) or 'none'}")
