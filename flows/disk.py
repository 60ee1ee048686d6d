"""Refuses long work that a disk would not hold, before it begins."""

import shutil
from pathlib import Path

from storage.errors import InputError


def refuse_full_disk(folder: Path, min_free_gb: float, what: str) -> None:
    """Raise InputError where less than `min_free_gb` is free at `folder`, which `what` is about to fill."""
    free = shutil.disk_usage(folder).free / 1e9
    if free < min_free_gb:
        raise InputError(
            f"the disk is full: {folder} has {free:.1f} GB free, and {what} wants {min_free_gb:g} GB "
            "(`resources.min_free_gb`); free some, for instance with `nr gc`, and the same command goes on"
        )
