"""Config files: one may extend another, and complete or override it."""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.config.own_files import is_text
from flows.config.yaml_files import read_yaml
from pipelines.sources.credentials import masked
from pipelines.sources.urls import redacted
from storage.errors import InputError
from storage.locations import at_home

PROJECT = Path(__file__).parents[2]  # of a checkout; in an installed wheel, the folder that holds configs/
LONGEST_CHAIN = 20  # files that extend one another
DEEPEST = 40  # as flows.config.yaml_files has it; Prefect's API takes a thousand
USUAL = ("study.yaml", "config.yaml")  # names of the file that a folder is mistaken for
ALL = {"languages"}  # where null means all, and is no word for the default


def resolve_extends(values: Mapping[str, Any], above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Put `values` on top of the file they extend, which may extend another."""
    if not values.get("extends"):
        return _merge({}, values)
    path = _find_config(values["extends"])
    if path in above:
        raise InputError(f"`extends` goes in a circle: {' extends '.join(map(str, [*above, path]))}; break it")
    if len(above) == LONGEST_CHAIN:
        raise InputError(
            f"`extends` goes over more than {LONGEST_CHAIN} files, up to {path}; write some of them together"
        )
    content = read_yaml(path) or {}
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a mapping of settings at its top, like configs/demo.yaml does")
    below = resolve_extends(content, (*above, path))
    kind = _kind_of_base(values.get("base"))
    if kind is not None and kind != _kind_of_base(below.get("base")):
        below.pop("base", None)  # a given model and a pretrained one have no field in common: the upper file's counts
    return _merge(below, {key: value for key, value in values.items() if key != "extends"})


def _find_config(name: Any) -> Path:
    if not isinstance(name, str):
        raise InputError(f"`extends` is {masked(name)!r}: give the path of one YAML file, as text")
    given = at_home(name)
    try:
        found = next((path for path in (given, PROJECT / name) if path.is_file() or path.is_dir()), None)
    except (OSError, ValueError) as error:  # a name that no file system takes, a folder that may not be searched
        raise InputError(
            f"`extends`: {reprlib.repr(name)} cannot be looked up; give the path of a YAML file"
        ) from error
    if found and found.is_dir():
        usual = next((found / name for name in USUAL if (found / name).is_file()), "the path of a YAML file in it")
        raise InputError(f"{found} is a folder where a config file should be; give {usual}")
    if found and is_text(found.name):
        raise InputError(f"{found} is text, and no config; `nr init --data {found}` writes a config that reads it")
    if found:
        return found.resolve()
    shown = redacted(name) if name.isprintable() else repr(name)
    raise InputError(
        f"there is no config file {shown} (looked in {Path.cwd()} and {PROJECT}); give the path of a YAML file"
    )


def _kind_of_base(base: Any) -> str | None:
    """Return the kind of base that is given; None where only further fields of the same base are."""
    given = {key for key, value in base.items() if value is not None} if isinstance(base, Mapping) else set()
    return next((key for key in ("pretrain", "model") if key in given), None)


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge mappings unless their `kind` differs; all else replaces, and null takes a key away, back to its default.

    A null that finds no key stays: whether its name is a right one is seen where names are checked.
    """
    merged = dict(below)
    for key, value in above.items():
        if value is None and key not in ALL and merged.get(key) is not None:
            del merged[key]
            continue
        if isinstance(value, Mapping):
            old = merged.get(key)
            same = isinstance(old, Mapping) and value.get("kind", old.get("kind")) == old.get("kind")
            value = _merge(old if same and isinstance(old, Mapping) else {}, value)
        merged[key] = value
    return merged


def refuse_too_deep(values: Any) -> None:
    """Look no deeper than is allowed: what Prefect's API is given may be nested by the thousand."""
    level = [values]
    for _ in range(DEEPEST):
        level = [part for value in level for part in _parts(value)]
        if not level:
            return
    raise InputError(f"it is nested more than {DEEPEST} deep; the settings are at most 6 deep")


def _parts(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else []


def substitute(value: Any, data_root: str) -> Any:
    """Put the folder of the data in place of `${data_root}`, wherever it stands."""
    if isinstance(value, str):
        return value.replace("${data_root}", data_root)
    if isinstance(value, Mapping):
        return {key: substitute(item, data_root) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, data_root) for item in value]
    return value
