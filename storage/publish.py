"""Whole files or none: write under a temporary name, rename, and the manifest last."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from storage.atomic import sync, write_atomically
from storage.keys import file_sha256

MANIFEST = "manifest.json"


@contextmanager
def publishing(folder: Path) -> Iterator[Path]:
    """Yield an empty sibling of `folder` to fill; on a clean exit it takes the place of `folder` by rename."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        publish_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def publish_folder(partial: Path, folder: Path) -> None:
    """Rename a filled folder into place. What stood there without a manifest was never whole, and goes."""
    for file in partial.rglob("*"):
        if file.is_file():
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
) -> None:
    """Write `manifest.json`, last: what was made from what, and size and checksum of every file beside it."""
    files = {
        str(file.relative_to(folder)): {"bytes": file.stat().st_size, "sha256": file_sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST
    }
    manifest = {
        "step": step,
        "key": key,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": inputs,
        "settings": settings,
        "counts": counts,
        "files": files,
    }
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1))


def read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((folder / MANIFEST).read_bytes()))
    except FileNotFoundError:
        return None


def is_done(folder: Path) -> bool:
    """A step is done when its manifest stands and every file in it has the recorded size."""
    manifest = read_manifest(folder)
    return manifest is not None and all(
        (folder / name).is_file() and (folder / name).stat().st_size == file["bytes"]
        for name, file in manifest["files"].items()
    )


def resumable_partial(folder: Path) -> Path:
    """The sibling in which a long step works until it is published: found again by the same step after a crash."""
    return folder.with_name(f".{folder.name}.partial")
