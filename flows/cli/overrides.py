"""`--set field=value`: a branch of the config tree, written on the command line."""

from typing import Any

from flows.yaml_files import parse_yaml
from storage.errors import InputError


def parse_overrides(overrides: list[str]) -> dict[str, Any]:
    """Turn `training.steps=100` into {"training": {"steps": 100}}; values are YAML."""
    tree: dict[str, Any] = {}
    for override in overrides:
        field, equals, text = override.partition("=")
        *parents, leaf = field.split(".")
        if not equals or not all([*parents, leaf]):
            raise InputError(f"--set {override}: write it as field=value, like --set training.steps=100")
        if not text.strip():
            raise InputError(f"--set {override}: give a value, or null to take {field} away, back to its default")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise InputError(f"--set {override}: {parent} was given a value of its own before; give one of the two")
        if isinstance(branch.get(leaf), dict):
            raise InputError(f"--set {override}: fields of {leaf} were given before; give one of the two")
        branch[leaf] = parse_yaml(text, f"--set {override}: the value")
    return tree
