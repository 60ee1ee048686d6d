"""What may be wrong with a workspace's folder and files, and its fix: cheap to look at. `nr verify` reads it all."""

import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipelines.take_down import denied_hosts
from storage.catalog import connect, log_beside
from storage.errors import InputError
from storage.os_errors import os_sentence
from storage.publish import MANIFEST, read_manifest
from storage.workspace import Workspace

LOW_DISK_GB = 5.0  # one WARC of Common Crawl has about 1 GB, and a few are on disk at a time
LOW_INODES = 10_000
FOLDERS = ("documents", "corpora", "runs", "models", "tokens", "records", "reports", "private", "private/locks")


@dataclass(frozen=True)
class Wrong:
    says: str
    fix: str


def folder_wrong(folder: Path) -> Wrong | None:
    """Whether a workspace can be, or is, in a folder, and can be worked in."""
    existing = nearest(folder)
    if not existing.is_dir():
        return Wrong(f"{existing} is a file, where a folder should be", "move it away, or give another workspace")
    for place in [existing, *(folder / name for name in FOLDERS if existing == folder.resolve())]:
        if place.exists() and not place.is_dir():
            return Wrong(f"{place} is a file, where a folder should be", "move it away")
        if place.exists() and (refused := _not_writable(place)):
            return Wrong(f"{place} cannot be written to", refused)
    for lock in sorted((folder / "private" / "locks").glob("*.lock")):
        if not os.access(lock, os.R_OK | os.W_OK):
            return Wrong(f"{lock} cannot be opened", os_sentence(OSError(errno.EACCES, "Permission denied", str(lock))))
    return None


def disk_wrong(folder: Path) -> tuple[str, Wrong | None]:
    """How much is free, and whether that is too little."""
    existing = nearest(folder)
    free, status = shutil.disk_usage(existing).free / 1e9, os.statvfs(existing)
    says = f"{free:.1f} GB free at {existing}"
    if free < LOW_DISK_GB:
        return says, Wrong(says, f"have {LOW_DISK_GB:g} GB or more free: `nr gc` says what can go")
    if status.f_files and status.f_favail < LOW_INODES:  # some file systems do not count them
        return says, Wrong(f"room for {status.f_favail} files at {existing}", "remove files: `nr gc` says what can go")
    return says, None


def files_wrong(workspace: Workspace) -> Iterator[Wrong]:
    """What a power cut, a full disk or a killed reader has left: list, catalog, pointers, manifests."""
    rebuild = f"nr catalog rebuild --workspace {workspace.root}"
    if log_beside(workspace.catalog).exists():
        yield Wrong(f"{log_beside(workspace.catalog)} is left of who had the catalog open for writing", rebuild)
    try:
        denied_hosts(workspace)
        if workspace.catalog.exists():
            connect(workspace).close()
        for name in workspace.published_corpora():
            workspace.current_version(name)
        for kind in ("corpora/*", "runs", "models"):
            for manifest in workspace.root.glob(f"{kind}/[!.]*/{MANIFEST}"):
                read_manifest(manifest.parent)
    except InputError as error:
        says, _, fix = str(error).partition(": ")
        yield Wrong(says, fix or says)


def nearest(folder: Path) -> Path:
    """The folder, or the first above it that there is."""
    return next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())


def _not_writable(place: Path) -> str | None:
    """Why, with the remedy: by trying, since a read-only disk refuses root too."""
    if os.access(place, os.W_OK | os.X_OK):
        return None
    read_only = os.statvfs(place).f_flag & os.ST_RDONLY
    number = errno.EROFS if read_only else errno.EACCES
    return os_sentence(OSError(number, os.strerror(number), str(place)))
