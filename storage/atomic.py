"""One file, whole or not at all."""

import os
import shutil
from pathlib import Path


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that readers, and a crash at any moment, see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def link(file: Path, target: Path) -> None:
    """A hard link to a file that never changes, or a copy of it."""
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links, or with too many of this one
        shutil.copyfile(file, target)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
