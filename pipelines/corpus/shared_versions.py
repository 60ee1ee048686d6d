"""Corpora in the workspace's bucket: versions uploaded whole, and which one is in use agreed upon by all machines.

The versions that came into use are numbered objects in `moves/`, each created once: a machine that did not start from
the last one is refused, and starts from it when the same command is run again. `CURRENT` repeats the last for readers.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from pipelines.denylist import DenyList, holds_taken_down, take_over_deny_list
from pipelines.sources.work_units import report_file
from storage.bucket import Bucket
from storage.errors import InputError
from storage.publish import MANIFEST, is_whole, read_manifest
from storage.workspace import Workspace


@contextmanager
def changing_corpus(name: str, workspace: Workspace) -> Iterator[None]:
    """Hold the lock on a corpus. With a bucket, start from the version that is in use there, and end with it there."""
    with workspace.lock(f"corpus-{name}"):
        bucket = workspace.bucket
        if bucket is None:
            yield
            return
        number, version = last_move(name, workspace, bucket)
        take_over_deny_list(workspace)
        if version and fetch_version(name, version, workspace):
            workspace.point_to(name, version)
        yield
        _share(name, number, version, workspace, bucket)


def last_move(name: str, workspace: Workspace, bucket: Bucket) -> tuple[int, str | None]:
    """Return the number of the last move of a corpus, 0 if there was none, and the version that came into use by it."""
    numbers = bucket.names(workspace.moves(name))
    if not numbers:
        return 0, None
    content = bucket.read(workspace.moves(name) / numbers[-1])
    return int(numbers[-1]), content.decode() if content else None


def is_last_here(workspace: Workspace) -> bool:
    """Tell whether the corpora in use in the bucket are those in use here."""
    bucket = workspace.bucket
    assert bucket is not None
    return all(
        last_move(name, workspace, bucket)[1] == workspace.current_version(name)
        for name in bucket.names(workspace.root / "corpora")
    )


def version_in_bucket(name: str, workspace: Workspace) -> dict[str, Any] | None:
    """Return the manifest of the version of a corpus that is in use in the bucket."""
    bucket = workspace.bucket
    version = last_move(name, workspace, bucket)[1] if bucket else None
    content = bucket.read(workspace.corpus_version(name, version) / MANIFEST) if bucket and version else None
    return dict(json.loads(content)) if content else None


def clear_bucket(host: str, workspace: Workspace) -> list[str]:
    """Remove from the bucket all that has pages of a host, whole or not: versions of corpora, and documents of units.

    A file that cannot be read goes too, since nobody knows what it has. Returns what went, as paths in the workspace.
    """
    bucket = workspace.bucket
    assert bucket is not None
    taken_down = DenyList([host])
    gone: list[Path] = []

    def files_with_pages(below: Path, *starts: str) -> Iterator[Path]:
        for file in (below / name for name in sorted(bucket.sizes(below)) if name.endswith(".parquet")):
            if file.name.startswith(starts):
                hosts = bucket.column(file, "host")
                if hosts is None or taken_down.mask(hosts).any():
                    yield file

    for folder in sorted({file.parent for file in files_with_pages(workspace.root / "corpora", "train-", "held_out-")}):
        bucket.remove(folder, folder / MANIFEST)
        gone.append(folder)
    for file in files_with_pages(workspace.root / "documents", ""):
        bucket.remove(file, report_file(file.parent, file.stem))
        gone.append(file)
    return [str(path.relative_to(workspace.root)) for path in gone]


def fetch_version(name: str, version: str, workspace: Workspace) -> bool:
    """Download a version and those that it came from, as far as the bucket has them. False: it is not whole there."""
    bucket = workspace.bucket
    assert bucket is not None
    for needed in _with_needed(name, version, workspace):
        folder = workspace.corpus_version(name, needed)
        if not is_whole(folder):
            bucket.download_folder(folder)
    return is_whole(workspace.corpus_version(name, version))


def _with_needed(name: str, version: str, workspace: Workspace) -> Iterator[str]:
    """Yield a version, and its parents, held-out references and index segments, each found when the one before it is
    here.
    """
    waiting, seen = [version], {version}
    while waiting:
        yield (one := waiting.pop(0))
        manifest = read_manifest(workspace.corpus_version(name, one))
        own = manifest["inputs"] if manifest else {"segments": {}}
        for other in chain((own.get("parent_version"), own.get("yardstick")), own["segments"]):
            if other and other not in seen:
                seen.add(other)
                waiting.append(other)


def _share(name: str, number: int, before: str | None, workspace: Workspace, bucket: Bucket) -> None:
    version = workspace.current_version(name)
    if version is None:
        return
    take_over_deny_list(workspace)  # a host may have been taken down meanwhile
    if holds_taken_down(name, version, workspace):
        raise InputError(
            f"version {version} of corpus {name} holds pages of a host that was taken down, and does not go to the "
            f"bucket {bucket.url}: `nr refresh CONFIG` makes one without"
        )
    # What it came from first: where it is whole, all that it needs is.
    for needed in reversed(list(_with_needed(name, version, workspace))):
        if is_whole(workspace.corpus_version(name, needed)) and not holds_taken_down(name, needed, workspace):
            bucket.upload_folder(workspace.corpus_version(name, needed))
    if version != before:
        mine = workspace.moves(name) / f"{number + 1:08d}"
        if not bucket.create(mine, version.encode()):
            raise InputError(
                f"corpus {name}: another machine published a version to {bucket.url} meanwhile; run the same "
                "command again: it goes on from that one"
            )
    _point(name, workspace, bucket)


def _point(name: str, workspace: Workspace, bucket: Bucket) -> None:
    """Let CURRENT repeat the last move, also if another machine moves meanwhile."""
    pointer = workspace.pointer(name)
    while (move := last_move(name, workspace, bucket))[1]:
        if bucket.read(pointer) != str(move[1]).encode():
            bucket.write(pointer, str(move[1]).encode())
        if last_move(name, workspace, bucket) == move:
            return
