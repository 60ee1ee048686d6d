"""`--set field=value`: a branch of the config tree, written on the command line."""

from typing import Any

import yaml

from storage.errors import InputError


def parse_overrides(overrides: list[str]) -> dict[str, Any]:
    """Turn `training.steps=100` into {"training": {"steps": 100}}; values are YAML."""
    tree: dict[str, Any] = {}
    for override in overrides:
        field, equals, value = override.partition("=")
        if not equals or not field:
            raise InputError(f"--set {override}: write it as field=value, like --set training.steps=100")
        branch = tree
        *parents, leaf = field.split(".")
        for parent in parents:
            branch = branch.setdefault(parent, {})
            if not isinstance(branch, dict):
                raise InputError(f"--set {override}: {parent} was given a value of its own before; give one of the two")
        try:
            branch[leaf] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--set {override}: the value is not YAML: {' '.join(str(error).split())}") from error
    return tree
