"""Paths as people write them: ~ is the home, in configs and behind an option's = where no shell puts it in."""

import os
from pathlib import Path

from storage.errors import InputError


def at_home(path: str | Path) -> Path:
    """Put the home of the user, or of the one named, in the place of ~ at the beginning.

    Raises:
        InputError: there is no such user.
    """
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise InputError(f"{path} begins with ~, and there is no such user: write the whole path, or ./{path}")
    return Path(expanded)
