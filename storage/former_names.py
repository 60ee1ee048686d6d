"""Finds modules under the names that they had before the packages were regrouped: gone with version 0.2.

FORMER_NAMES are the names of this package; flows and pipelines have tables of their own in their `former_names`.
"""

import sys
import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import Any

FORMER_NAMES = {
    "storage.atomic": "storage.files",
    "storage.content_hash": "storage.keys",
    "storage.damage": "storage.files",
    "storage.export": "storage.query",
    "storage.home": "storage.locations",
    "storage.os_errors": "storage.errors",
    "storage.protocols": "storage.locations",
    "storage.record_formats": "storage.records",
    "storage.row_formats": "storage.query",
}


class _Moved(MetaPathFinder, Loader):
    """Gives a module under the name that it had."""

    def __init__(self, moved: Mapping[str, str]) -> None:
        self._moved = moved

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self._moved else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        warnings.warn(f"{spec.name} is now {self._moved[spec.name]}", DeprecationWarning, stacklevel=2)
        module = import_module(self._moved[spec.name])
        spec.loader_state = module.__spec__
        return module

    def get_code(self, name: str) -> CodeType | None:
        """Return the module's code, which `python -m` runs."""
        spec = find_spec(self._moved[name])
        return spec.loader.get_code(spec.name) if spec and isinstance(spec.loader, InspectLoader) else None

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back, in whose place the import system has put that of the old name."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def keep_old_names(moved: Mapping[str, str]) -> None:
    """Let `import` find modules under their former names (former: present), before it looks for files."""
    sys.meta_path.insert(0, _Moved(moved))
