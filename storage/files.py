"""Write a file of ours whole or not at all, read it with a sentence where a power cut left it torn, walk a folder."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storage.errors import InputError


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that readers, and a crash at any moment, see the old content or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            _fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def link(file: Path, target: Path) -> None:
    """Make a hard link to a file that never changes, or a copy of it."""
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links, or with too many of this one
        shutil.copyfile(file, target)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:  # file systems in user space and of networks may know none, for folders above all
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
            raise


def walk(root: str | Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder as os.walk does, through links to folders too, such as lie on another disk; each folder once."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        try:
            status = os.stat(folder)
        except FileNotFoundError:  # a flow has renamed it meanwhile
            continue
        if (place := (status.st_dev, status.st_ino)) in seen:
            folders.clear()
            continue
        seen.add(place)
        yield folder, folders, files


class DamagedFile(InputError):
    """A file of the workspace that cannot be read as what it is. The message names it and says what to do."""


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Return the object that a JSON file of ours holds.

    Raises:
        DamagedFile: it is empty, no JSON or no object; the sentence ends with `remedy`.
        FileNotFoundError: there is none.
    """
    content = path.read_bytes()
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(f"{path} is damaged ({'empty' if not content.strip() else 'no JSON'}): {remedy}") from error
    if not isinstance(found, dict):
        raise DamagedFile(f"{path} is damaged (no JSON object): {remedy}")
    return found
