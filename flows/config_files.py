"""Config files: one may extend another, and complete or override it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.study_settings import kind_of_base
from storage.errors import InputError

PROJECT = Path(__file__).parent.parent  # of a checkout; in an installed wheel, the folder that holds configs/


def resolve_extends(values: Mapping[str, Any], above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Put `values` on top of the file they extend, which may extend another."""
    if not values.get("extends"):
        return dict(values)
    path = _find_config(str(values["extends"])).resolve()
    if path in above:
        raise InputError(f"`extends` goes in a circle: {' extends '.join(map(str, [*above, path]))}; break it")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a mapping of settings at its top, like configs/demo.yaml does")
    below = resolve_extends(content, (*above, path))
    if kind_of_base(below.get("base")) != kind_of_base(values.get("base")) and values.get("base"):
        below.pop("base", None)  # a given model and a pretrained one have no field in common: the upper file's counts
    return _merge(below, {key: value for key, value in values.items() if key != "extends"})


def _find_config(name: str) -> Path:
    candidates = [Path(name), PROJECT / name]
    for path in candidates:
        if path.is_file():
            return path
    raise InputError(
        f"there is no config file {name} (looked in {Path.cwd()} and {PROJECT}); give the path of a YAML file"
    )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings merge unless their `kind` differs, all else replaces; null takes a key away, back to its default."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if value is None:
            merged.pop(key, None)
            continue
        if (
            isinstance(old, Mapping)
            and isinstance(value, Mapping)
            and value.get("kind", old.get("kind")) == old.get("kind")
        ):
            value = _merge(old, value)
        merged[key] = value
    return merged


def substitute(value: Any, data_root: str) -> Any:
    """Put the folder of the data in place of `${data_root}`, wherever it stands."""
    if isinstance(value, str):
        return value.replace("${data_root}", data_root)
    if isinstance(value, Mapping):
        return {key: substitute(item, data_root) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, data_root) for item in value]
    return value
