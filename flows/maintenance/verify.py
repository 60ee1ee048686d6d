"""Check what a workspace holds against the checksums in its manifests and unit reports, and against its deny list."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from flows.maintenance.rollback import MISSING_REMEDY
from flows.maintenance.workspace_health import MISPLACED_FIX, misplaced
from pipelines.denylist import denied_hosts, holds_taken_down
from storage.errors import InputError, os_sentence
from storage.files import DamagedFile, read_json, walk
from storage.keys import file_sha256
from storage.publish import MANIFEST, read_manifest
from storage.workspace import Workspace

_AGAIN = {
    "corpus": "delete that folder, then run `nr refresh CONFIG`",
    "documents": "delete that file, then run `nr refresh CONFIG`",
    "sample_crawl": "delete that folder, then run `nr refresh CONFIG`",
    "selection": "delete that folder, then run `nr refresh CONFIG`",
    "tokens": "delete that folder, then run `nr train CONFIG`",
}


@dataclass(frozen=True)
class Damage:
    """A damaged file: its path in the workspace, what is wrong, and what to do."""

    path: str
    wrong: str
    fix: str


@dataclass(frozen=True)
class _Written:
    path: Path
    bytes: int
    sha256: str
    step: str


def verify(workspace: Workspace, corpus: str | None, on_file: Callable[[int, int, str], None]) -> list[Damage]:
    """Read every file of a workspace, or of the versions of one corpus, that has a recorded checksum, and the hosts of
    the versions where some were taken down.

    `on_file` hears how many files are done, of how many, and the next. Raises InputError for an unknown corpus.
    """
    damages: list[Damage] = []
    for place, says in misplaced(workspace.root):
        damages.append(Damage(str(place.relative_to(workspace.root)), f"it {says}", MISPLACED_FIX))
    if damages:  # they hide what should lie there
        return damages
    if corpus is not None and corpus not in workspace.published_corpora():
        known = ", ".join(workspace.published_corpora()) or "none"
        raise InputError(f"there is no corpus {corpus!r} in {workspace.root}; there are: {known}")
    files = list(_files(workspace, corpus, damages))
    checked: dict[tuple[int, int], str] = {}  # of a shard that versions share, by device and inode
    for done, written in enumerate(files):
        name = str(written.path.relative_to(workspace.root))
        on_file(done, len(files), name)
        try:
            wrong = _wrong(written, checked)
        except OSError as error:  # it may be whole: who may not read it is not told to delete it
            damages.append(Damage(name, "it cannot be read", os_sentence(error)))
            continue
        if wrong:
            fix = _AGAIN.get(written.step, "delete that folder, then run the same command again")
            damages.append(Damage(name, wrong, fix))
    on_file(len(files), len(files), "")
    return [*damages, *_in_bucket(workspace, corpus), *_taken_down(workspace, corpus)]


def _taken_down(workspace: Workspace, corpus: str | None) -> Iterator[Damage]:
    """Yield versions that hold pages of hosts on the deny list: in use they may not be, and kept they need not be."""
    place = workspace.deny_list
    try:
        denied_hosts(workspace)
        for name in [corpus] if corpus else workspace.published_corpora():
            place = workspace.pointer(name)
            version = workspace.current_version(name)
            if version and not workspace.corpus_version(name, version).is_dir():
                says = f"it names version {version}, which is not there"
                yield Damage(str(place.relative_to(workspace.root)), says, MISSING_REMEDY)
            yield from _versions_taken_down(name, version, workspace)
    except DamagedFile as error:
        says, _, fix = str(error).partition(": ")
        yield Damage(str(place.relative_to(workspace.root)), says, fix)


def _versions_taken_down(name: str, current: str | None, workspace: Workspace) -> Iterator[Damage]:
    for manifest in sorted(workspace.corpus(name).glob(f"[!.]*/{MANIFEST}")):
        version = manifest.parent.name
        try:
            hosts = holds_taken_down(name, version, workspace)
        except duckdb.Error:  # a shard is damaged, which its checksum has told
            continue
        if hosts:
            named = f"{', '.join(hosts[:5])}{', ...' if len(hosts) > 5 else ''}"
            first = "run `nr refresh CONFIG`, which makes one without them, then " if version == current else ""
            also = f" and tokens/{version}" if workspace.tokens(version, "").exists() else ""
            yield Damage(
                str(manifest.parent.relative_to(workspace.root)),
                f"it holds pages of hosts that were taken down ({named})",
                f"{first}delete that folder{also}",
            )


def _in_bucket(workspace: Workspace, corpus: str | None) -> Iterator[Damage]:
    """Return what is said to be whole in the workspace's bucket and is not, by its size: nothing is downloaded to be
    read.
    """
    if (bucket := workspace.bucket) is None:
        return
    for below in [workspace.corpus(corpus)] if corpus else [workspace.root / "corpora", workspace.root / "documents"]:
        sizes = bucket.sizes(below)
        for name in sizes:
            path = below / name
            if not name.endswith(".json"):
                continue
            # While that stands, the rest is taken for whole and not uploaded again.
            fix = f"delete {path.name} beside it, then run `nr refresh CONFIG`, which uploads what is whole here"
            try:
                written = _sizes_written(path, bucket.read(path))
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
                yield Damage(f"{bucket.url}/{path.relative_to(workspace.root)}", "it is damaged", fix)
                continue
            for file, size in written.items():
                if (found := sizes.get(file.relative_to(below).as_posix())) != size:
                    wrong = "it is missing" if found is None else f"it has {found} bytes, {size} were written"
                    yield Damage(f"{bucket.url}/{file.relative_to(workspace.root)}", wrong, fix)


def _sizes_written(path: Path, content: bytes | None) -> dict[Path, int]:
    """Return the files that a manifest or a unit's report tells of, with their sizes."""
    said = json.loads(content or b"{}")
    if "file_bytes" in said:
        return {path.with_suffix(".parquet"): said["file_bytes"]}
    return {path.parent / other: file["bytes"] for other, file in said.get("files", {}).items()}


def _wrong(written: _Written, checked: dict[tuple[int, int], str]) -> str | None:
    try:
        status = written.path.stat()
        if status.st_size != written.bytes:
            return f"it has {status.st_size} bytes, {written.bytes} were written"
        place = (status.st_dev, status.st_ino)
        if place not in checked:
            checked[place] = file_sha256(written.path)
    except FileNotFoundError:
        return "it is missing"
    return None if checked[place] == written.sha256 else "its content is not what was written"


def _files(workspace: Workspace, corpus: str | None, damages: list[Damage]) -> Iterator[_Written]:
    root = workspace.root if corpus is None else workspace.corpus(corpus)
    for path in sorted(Path(folder, MANIFEST) for folder, _, names in walk(root) if MANIFEST in names):
        if any(part.startswith(".") for part in path.relative_to(workspace.root).parts):
            continue  # a step that was killed, or is under way
        try:
            manifest = read_manifest(path.parent) or {"files": {}}
        except (DamagedFile, OSError) as error:
            _note(error, path, workspace, damages)
            continue
        for name, file in manifest["files"].items():
            yield _Written(path.parent / name, file["bytes"], file["sha256"], manifest["step"])
    if corpus is None:
        for path in sorted((workspace.root / "documents").glob("*/[!.]*.json")):
            try:
                report = read_json(path, _AGAIN["documents"])
            except (DamagedFile, OSError) as error:
                _note(error, path, workspace, damages)
                continue
            size, sha256 = report.get("file_bytes"), report.get("file_sha256")
            if report.get("status") != "done":
                continue
            if isinstance(size, int) and isinstance(sha256, str):
                yield _Written(path.with_suffix(".parquet"), size, sha256, "documents")
            else:
                wrong = "it does not say what was written"
                damages.append(Damage(str(path.relative_to(workspace.root)), wrong, _AGAIN["documents"]))


def _note(error: DamagedFile | OSError, path: Path, workspace: Workspace, damages: list[Damage]) -> None:
    """Note a file that cannot be read: a damaged one, or one that may be whole and that this user may not read."""
    name = str(path.relative_to(workspace.root))
    if isinstance(error, OSError):
        damages.append(Damage(name, "it cannot be read", os_sentence(error)))
        return
    says, _, fix = str(error).removeprefix(f"{path} ").partition(": ")
    damages.append(Damage(name, f"it {says}", fix))
