"""Folders that are made once, whole or not at all: write under a temporary name, the manifest last, rename."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.files import DamagedFile, read_json, sync, write_atomically
from storage.keys import file_sha256

MANIFEST = "manifest.json"
REMEDY = "delete the folder that it lies in; the command that made it (refresh, run, train) makes it anew"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Name what a folder holds beside its files: the step that made it, what of, and what came out."""

    step: str
    key: str
    inputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    counts: Mapping[str, Any] = field(default_factory=dict)
    linked_from: Sequence[Path] = ()


def make_once(
    folder: Path,
    make: Callable[[Path], Manifest],
    lock: AbstractContextManager[object],
    *,
    resumable: bool = False,
) -> bool:
    """Make `folder` unless it stands whole; return whether it was made now.

    `lock` is held meanwhile (`Workspace.lock`; nullcontext() where the caller holds it). `make` fills the folder that
    it is given and returns what the manifest is to say; only then does the folder take its place. `resumable`: `make`
    finds again what it had left when it was cut off; else it begins in an empty folder.
    """
    with lock:
        if is_whole(folder):
            return False
        with publishing(folder, resumable=resumable) as partial:
            manifest = make(partial)
            write_manifest(partial, **{name: getattr(manifest, name) for name in Manifest.__slots__})
    return True


@contextmanager
def publishing(folder: Path, *, resumable: bool = False) -> Iterator[Path]:
    """Yield a sibling of `folder` to fill; on a clean exit it takes the place of `folder` by rename.

    The caller holds the lock of what stands in `folder`. Unless it is `resumable`, what a killed process left of the
    sibling goes first, and what an error leaves goes too.
    """
    partial = resumable_partial(folder)
    if not resumable:
        shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        _put_in_place(partial, folder)
    finally:
        if not resumable:
            shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, folder: Path) -> None:
    """Rename a filled folder into place. What stood there without a manifest was never whole, and goes."""
    readers = partial.stat().st_mode & 0o044  # safetensors writes for its owner alone, whatever the umask says
    for file in partial.rglob("*"):
        if file.is_file():
            status = file.stat()
            if readers & ~status.st_mode and status.st_uid == os.geteuid():
                file.chmod(status.st_mode | readers)
            sync(file)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    sync(folder.parent)


def write_manifest(
    folder: Path,
    *,
    step: str,
    key: str,
    inputs: Mapping[str, Any],
    settings: Mapping[str, Any],
    counts: Mapping[str, Any],
    linked_from: Sequence[Path] = (),
) -> None:
    """Write `manifest.json`, last: what was made from what, and size and checksum of every file beside it.

    A hard link to a file of the same name in a folder of `linked_from` keeps the checksum that is recorded there: it
    need not be read, and damage since is not taken for what was written.
    """
    recorded = {name: entry for other in linked_from for name, entry in _links(folder, other)}
    files = {
        name: recorded.get(name) or {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and (name := str(file.relative_to(folder))) and file.name != MANIFEST
    }
    manifest = {
        "step": step,
        "key": key,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),  # tells versions of one second apart
        "inputs": inputs,
        "settings": settings,
        "counts": counts,
        "files": files,
    }
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1))


def _links(folder: Path, other: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in ((read_manifest(other) or {}).get("files", {})).items():
        if (folder / name).exists() and (other / name).exists() and (folder / name).samefile(other / name):
            yield name, entry


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of a published folder; None where nothing was published.

    Raises:
        DamagedFile: a power cut or a full disk has left no manifest of ours.
    """
    try:
        manifest = read_json(folder / MANIFEST, REMEDY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not _is_one(manifest):
        raise DamagedFile(f"{folder / MANIFEST} is damaged (it lacks what a manifest has): {REMEDY}")
    return manifest


TEXTS, MAPPINGS = ("step", "key", "created"), ("inputs", "settings", "counts", "files")
# Of a corpus version by whatever program version: what tells its place among the others.
OF_A_CORPUS = {"inputs": ("parent_version", "stage_version"), "counts": ("name",)}


def _is_one(manifest: dict[str, Any]) -> bool:
    if not all(isinstance(manifest.get(name), str) for name in TEXTS):
        return False
    if not all(isinstance(manifest.get(name), dict) for name in MAPPINGS):
        return False
    if manifest["step"] == "corpus" and not all(
        manifest[part].keys() >= {*names} for part, names in OF_A_CORPUS.items()
    ):
        return False
    return all(
        isinstance(file, dict) and isinstance(file.get("bytes"), int) and isinstance(file.get("sha256"), str)
        for file in manifest["files"].values()
    )


def is_done(folder: Path) -> bool:
    """Return whether a step is done: its manifest stands, and every file in it has the recorded size.

    Raises:
        DamagedFile: its manifest cannot be read. What stands beside it may have cost days, and stays until asked.
    """
    manifest = read_manifest(folder)
    return manifest is not None and all(
        (folder / name).is_file() and (folder / name).stat().st_size == file["bytes"]
        for name, file in manifest["files"].items()
    )


def is_whole(folder: Path) -> bool:
    """Tell as `is_done`, where what is damaged can be made anew at little cost: a damaged manifest is none."""
    try:
        return is_done(folder)
    except DamagedFile:
        return False


def resumable_partial(folder: Path) -> Path:
    """Return the sibling in which a step works until it is published: found again by the same step after a crash."""
    return folder.with_name(f".{folder.name}.partial")
