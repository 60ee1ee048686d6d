"""The documents file of a unit: written beside its place, in row groups that bound memory, and put there when whole."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipelines.sources.work_units import documents_file
from storage.files import sync

ROW_GROUP_ROWS, ROW_GROUP_CHARACTERS = 2000, 8_000_000  # whichever is reached first; bounds a worker's memory


@contextmanager
def written_whole(folder: Path, unit_id: str) -> Iterator[Path]:
    """Give a place to write a unit's documents at, and put the file in its own where nothing was raised."""
    file = documents_file(folder, unit_id)
    _remove_leftovers(file)
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        yield partial
        sync(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def _remove_leftovers(file: Path) -> None:
    """Remove what killed processes left of this file; another flow may be writing it at this moment."""
    for partial in file.parent.glob(f".{file.name}.*.partial"):
        if not Path("/proc", partial.name.split(".")[-2]).exists():
            partial.unlink(missing_ok=True)


def row_groups(documents: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Yield documents in lists of at most ROW_GROUP_ROWS, or of about ROW_GROUP_CHARACTERS."""
    rows: list[dict[str, Any]] = []
    characters = 0
    for document in documents:
        rows.append(document)
        characters += document["characters"]
        if len(rows) == ROW_GROUP_ROWS or characters >= ROW_GROUP_CHARACTERS:
            yield rows
            rows, characters = [], 0
    if rows:
        yield rows
