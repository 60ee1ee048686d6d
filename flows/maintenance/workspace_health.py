"""Cheap checks of a workspace's folder and files, each with its fix. `nr verify` reads all of it."""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb

from flows.maintenance.gc import JOB_REMEDY
from flows.maintenance.rollback import MISSING_REMEDY
from pipelines.denylist import denied_hosts, holds_taken_down
from storage.catalog import connect, log_beside
from storage.errors import InputError, is_disk_full, os_sentence
from storage.files import read_json
from storage.publish import MANIFEST, is_done, read_manifest
from storage.records import refuse_torn
from storage.workspace import POINTER, Workspace

LOW_DISK_GB = 5.0  # one WARC of Common Crawl has about 1 GB, and a few are on disk at a time
LOW_INODES = 10_000
FOLDERS = ("documents", "corpora", "runs", "models", "tokens", "records", "reports", "private", "private/locks")
FILES = ("workspace.json", "catalog.duckdb", "deny-list.jsonl", "private/catalog.duckdb")
MISPLACED_FIX = "move it away"
TRIED_BYTES = 1 << 20  # that a disk is asked to keep a place for: what is left of a quota shows in no figure


@dataclass(frozen=True)
class Wrong:
    says: str
    fix: str


def folder_wrong(folder: Path) -> Wrong | None:
    """Tell whether a workspace, or the home of services, can be or is in a folder, and can be worked in."""
    existing = nearest(folder)
    if not existing.is_dir():
        return Wrong(f"{existing} is a file, where a folder should be", "move it away, or give another place")
    for place, says in misplaced(folder):
        return Wrong(f"{place} {says}", MISPLACED_FIX)
    for place in [existing, *(folder / name for name in FOLDERS if existing == folder.resolve())]:
        if place.exists() and (refused := _not_writable(place)):
            return Wrong(f"{place} cannot be written to", refused)
    for lock in sorted((folder / "private" / "locks").glob("*.lock")):
        if not os.access(lock, os.R_OK | os.W_OK):
            return Wrong(f"{lock} cannot be opened", os_sentence(OSError(errno.EACCES, "Permission denied", str(lock))))
    return None


def misplaced(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield what of a workspace is a file where a folder should be, or the other way round, and which of the two."""
    for name in FOLDERS:
        if (folder / name).exists() and not (folder / name).is_dir():
            yield folder / name, "is a file, where a folder should be"
    pointers = sorted((folder / "corpora").glob(f"*/{POINTER}"))
    for file in [*(folder / name for name in FILES), *pointers]:
        if file.is_dir():
            yield file, "is a folder, where a file should be"


def disk_wrong(folder: Path) -> tuple[str, Wrong | None]:
    """Tell how much is free, and whether that is too little."""
    existing = nearest(folder)
    free, status = shutil.disk_usage(existing).free / 1e9, os.statvfs(existing)
    says = f"{free:.1f} GB free at {existing}"
    if free < LOW_DISK_GB:
        return says, Wrong(says, f"have {LOW_DISK_GB:g} GB or more free: `nr gc` says what can go")
    if status.f_files and status.f_favail < LOW_INODES:  # some file systems do not count them
        return says, Wrong(f"room for {status.f_favail} files at {existing}", "remove files: `nr gc` says what can go")
    if os.access(existing, os.W_OK | os.X_OK):
        try:
            with tempfile.TemporaryFile(dir=existing) as file:
                os.posix_fallocate(file.fileno(), 0, TRIED_BYTES)
        except OSError as error:
            if is_disk_full(error):
                return says, Wrong(f"{says}, and not for you", os_sentence(error, existing))
    return says, None


def files_wrong(workspace: Workspace) -> Iterator[Wrong]:
    """Return what a power cut, a full disk, a killed reader or somebody's hand has left: lists, catalog, pointers,
    manifests, records, and versions in use with pages that were taken down. Files are read no further than their
    ends.
    """
    for look in (_catalog_wrong, _corpora_wrong, _folders_wrong, _records_wrong, _jobs_wrong):
        yield from look(workspace)


def _catalog_wrong(workspace: Workspace) -> Iterator[Wrong]:
    rebuild = f"nr catalog rebuild --workspace {workspace.root}"
    if log_beside(workspace.catalog).exists():
        yield Wrong(f"{log_beside(workspace.catalog)} is left of who had the catalog open for writing", rebuild)
    if workspace.catalog.exists():
        yield from _refused(lambda: connect(workspace).close())
    elif any((workspace.root / "records").glob("*/[!.]*.parquet")):
        yield Wrong(f"{workspace.catalog} is missing, and there are records", rebuild)


def _corpora_wrong(workspace: Workspace) -> Iterator[Wrong]:
    if wrong := list(_refused(lambda: denied_hosts(workspace))):
        yield from wrong
        return
    for name in workspace.published_corpora():
        try:
            version = workspace.current_version(name)
            if version and not workspace.corpus_version(name, version).is_dir():
                said = f"{workspace.pointer(name)} names version {version}, which is not there"
                yield Wrong(said, MISSING_REMEDY)
                continue
            hosts = holds_taken_down(name, version, workspace) if version else []
        except InputError as error:
            yield _told(error)
        except duckdb.Error:  # a shard that is torn: its size tells it below, or its checksum to `nr verify`
            continue
        else:
            if hosts:
                says = f"version {version} of corpus {name} is in use and holds pages of hosts that were taken down"
                yield Wrong(f"{says} ({', '.join(hosts[:5])})", "nr refresh CONFIG makes one without them")


def _folders_wrong(workspace: Workspace) -> Iterator[Wrong]:
    for kind in ("corpora/*", "runs", "models", "tokens/*"):
        for manifest in sorted(workspace.root.glob(f"{kind}/[!.]*/{MANIFEST}")):
            try:
                files = (read_manifest(manifest.parent) or {"files": {}})["files"]
                whole = is_done(manifest.parent)
            except InputError as error:
                yield _told(error)
                continue
            if not whole:
                yield Wrong(f"{manifest.parent} lacks a file, or has one of another size", "nr verify names it")
            elif closed := [name for name in files if not os.access(manifest.parent / name, os.R_OK)]:
                yield _closed(manifest.parent / closed[0])


def _records_wrong(workspace: Workspace) -> Iterator[Wrong]:
    for record in sorted((workspace.root / "records").glob("*/[!.]*.parquet")):
        size = record.stat().st_size
        with record.open("rb") as stream:
            begins = stream.read(4)
            stream.seek(max(size - 4, 0))
            if size <= 8 or not begins == stream.read() == b"PAR1":
                yield from _refused(partial(refuse_torn, [str(record)]))


def _jobs_wrong(workspace: Workspace) -> Iterator[Wrong]:
    for spec in sorted(workspace.job_spec("*").parent.glob("*.json")):
        yield from _refused(partial(read_json, spec, JOB_REMEDY))


def _closed(file: Path) -> Wrong:
    return Wrong(f"{file} cannot be read", os_sentence(OSError(errno.EACCES, os.strerror(errno.EACCES), str(file))))


def _refused(read: Callable[[], object]) -> Iterator[Wrong]:
    try:
        read()
    except InputError as error:
        yield _told(error)


def _told(error: InputError) -> Wrong:
    """Return a sentence taken apart: what is damaged (and why), and the remedy after it."""
    found = re.fullmatch(r"(.*? is damaged \(.*?\)|.*?): (.*)", str(error), re.DOTALL)
    return Wrong(found[1], found[2]) if found else Wrong(str(error), "as it says")


def nearest(folder: Path) -> Path:
    """Return the folder, or the first above it that there is."""
    return next(path for path in (folder.resolve(), *folder.resolve().parents) if path.exists())


def _not_writable(place: Path) -> str | None:
    """Return why a folder cannot be written to, with the remedy: by trying, since a read-only disk refuses root too."""
    if os.access(place, os.W_OK | os.X_OK):
        return None
    read_only = os.statvfs(place).f_flag & os.ST_RDONLY
    number = errno.EROFS if read_only else errno.EACCES
    return os_sentence(OSError(number, os.strerror(number), str(place)))
