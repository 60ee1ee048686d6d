"""Files that are whole or not there: a reader, or the next attempt after a kill, never sees half of one."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside `path`, a file's or a folder's, and renames it to `path` once it is on disk."""
    partial = path.with_name(f".partial-{path.name}")
    _remove(partial)
    try:
        yield partial
    except BaseException:
        _remove(partial)  # on a full disk, half a checkpoint would keep it full
        raise
    for entry in [*partial.rglob("*"), partial]:
        _sync(entry)
    if path.is_dir():  # which os.replace would not replace
        _remove(path)
    os.replace(partial, path)
    _sync(path.parent)


def write_json(path: Path, content: Any) -> None:
    with writing(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
