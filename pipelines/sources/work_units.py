"""From sources to work units: one file each, or one batch of byte ranges."""

import glob
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from pipelines.settings import (
    CommonCrawlIndexSource,
    CommonCrawlSource,
    FetchSettings,
    SampleCrawlSource,
    Source,
    TextSource,
)
from pipelines.sources.addresses import redacted
from pipelines.sources.crawls import address, choose_files, list_files, resolve
from pipelines.sources.remote import Remote, is_remote
from pipelines.sources.selection import freeze_selection, read_units
from pipelines.sources.text_files import known_kinds, text_suffix
from storage.content_hash import content_hash
from storage.errors import InputError
from storage.keys import hash_of
from storage.publish import Manifest, make_once
from storage.workspace import Workspace

SAMPLE_CRAWL_VERSION = 1  # raise it when write_sample_crawl comes to write other bytes


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """One file or batch to read. `unit_id` depends on its content and on how it is read, not on where it lies."""

    unit_id: str
    source: str
    kind: str  # warc | text | ranges
    path: str  # of a local file; the address of a remote one, redacted
    bytes: int  # to read, or to download; 0 where only the download will tell
    options: dict[str, Any]  # how a text file is read; of which selection a batch is; empty for a WARC
    accumulates: bool = False  # of a snapshot: stays in a corpus when the source has moved on to another
    licence: str | None = None  # of its source, for data cards
    signed: SecretStr | None = None  # the address, where `path` lacks what opens it; it is not kept

    @property
    def address(self) -> str:
        """Where the file is fetched from. It may hold a password or a signature: neither keep it nor say it."""
        return self.path if self.signed is None else self.signed.get_secret_value()

    def record(self) -> dict[str, Any]:
        """The fields that are kept."""
        fields = asdict(self)
        del fields["signed"]
        return fields


def list_work_units(
    sources: Mapping[str, Source],
    workspace: Workspace,
    fetch: FetchSettings = FetchSettings(),  # noqa: B008 (frozen)
    say: Callable[[str], None] = lambda message: None,
) -> list[WorkUnit]:
    """Return the units of all sources, sorted by path. A file that two sources name is a unit of each.

    `say` hears what is about to be downloaded to find them. Raises InputError for a path that is not there, a pattern
    that matches nothing, a file that cannot be read, or a list or an index that cannot be fetched.
    """
    remote = Remote(fetch)
    return sorted(
        (
            replace(unit, licence=source.licence)
            for name, source in sources.items()
            for unit in _units(name, source, workspace, remote, say)
        ),
        key=lambda unit: (unit.path, unit.source),
    )


def _units(
    name: str, source: Source, workspace: Workspace, remote: Remote, say: Callable[[str], None]
) -> Iterator[WorkUnit]:
    if isinstance(source, CommonCrawlSource):
        yield from _snapshot_units(name, source, workspace, remote)
        return
    if isinstance(source, CommonCrawlIndexSource):
        yield from _index_units(name, source, workspace, remote, say)
        return
    if isinstance(source, SampleCrawlSource):
        paths = [str(_sample_crawl(source, workspace) / "*.warc.gz")]
    else:
        paths = source.paths
    local, far = [path for path in paths if not is_remote(path)], [path for path in paths if is_remote(path)]
    files: list[tuple[str, str, int, str, SecretStr | None]] = [
        (path.name, str(path), path.stat().st_size, content_hash(path, workspace), None) for path in _files(name, local)
    ]
    for url in _addresses(name, far, remote):
        # A remote file's content hash is its address and length. One that is signed anew is the same file.
        size, public = remote.size(url), redacted(url)
        signed = None if public == url else SecretStr(url)
        files.append((public.rpartition("/")[2], public, size, hash_of(public, size), signed))
    seen: set[str] = set()
    content_of_name: dict[str, str] = {}
    for file_name, path, size, content, signed in files:
        options: dict[str, Any] = {}
        if isinstance(source, TextSource):
            if text_suffix(file_name) is None:
                raise InputError(
                    f"sources.{name}.paths: {path} is of no known kind; a text source reads {known_kinds()}"
                )
            if content_of_name.setdefault(file_name, content) != content:
                file_name = f"{content}/{file_name}"  # another file of this name: its documents are others
            options = source.model_dump(exclude={"kind", "paths", "licence"}) | {"source": name}
            if source.url_field is None:
                del options["url_field"]  # so that units keep the ids they had before there was such a field
            if source.id_field is None:
                options["file_name"] = file_name  # documents are then named by it
        kind = "text" if isinstance(source, TextSource) else "warc"
        unit_id = hash_of(kind, options, content)
        if unit_id not in seen:  # a copy of a file in the same source adds nothing
            seen.add(unit_id)
            yield WorkUnit(unit_id, name, kind, path, size, options, signed=signed)


def _snapshot_units(name: str, source: CommonCrawlSource, workspace: Workspace, remote: Remote) -> Iterator[WorkUnit]:
    """Files of a snapshot. They never change: the path alone, without the server, tells their content."""
    crawl = resolve(source.crawl, source.collections, remote, workspace)
    for path in choose_files(list_files(source.server, crawl, f"{source.format}.paths.gz", remote), source):
        yield WorkUnit(hash_of("warc", {}, path), name, "warc", address(source.server, path), 0, {}, accumulates=True)


def _index_units(
    name: str, source: CommonCrawlIndexSource, workspace: Workspace, remote: Remote, say: Callable[[str], None]
) -> Iterator[WorkUnit]:
    """Batches of the pages that a snapshot's index gives."""
    crawl = resolve(source.crawl, source.collections, remote, workspace)
    key = freeze_selection(name, source, crawl, remote, workspace, say)
    for number, batch in enumerate(read_units(key, workspace).to_pylist()):
        options = {"selection": key, "server": source.server, **{field: batch[field] for field in ("first", "pages")}}
        path = f"{crawl}/{key}/{number:06d}"
        yield WorkUnit(batch["unit_id"], name, "ranges", path, batch["bytes"], options, accumulates=True)


def _addresses(name: str, patterns: list[str], remote: Remote) -> list[str]:
    addresses: set[str] = set()
    for pattern in patterns:
        found = remote.expand(pattern)
        if not found:
            raise InputError(
                f"sources.{name}.paths: {redacted(pattern)} matches no file; correct the address or the pattern"
            )
        addresses.update(found)
    return sorted(addresses)


def _files(name: str, patterns: list[str]) -> list[Path]:
    files: set[Path] = set()
    for pattern in patterns:
        expanded = os.path.expanduser(pattern)
        found = [Path(match).resolve() for match in glob.glob(expanded, recursive=True)]
        found = [path for path in found if path.is_file()]
        if not found:
            raise InputError(f"sources.{name}.paths: {pattern} matches no file; correct the path or the pattern")
        for path in found:
            if not os.access(path, os.R_OK):
                raise InputError(f"sources.{name}.paths: {path} cannot be read; give yourself read permission")
        files.update(found)
    return sorted(files)


def _sample_crawl(source: SampleCrawlSource, workspace: Workspace) -> Path:
    """Folder of the generated crawl, written first if it is not there."""
    from pipelines.sample_crawl import write_sample_crawl

    key = hash_of("sample_crawl", SAMPLE_CRAWL_VERSION, source.pages, source.seed)
    folder = workspace.sample(key)

    def write(partial: Path) -> Manifest:
        write_sample_crawl(partial, pages=source.pages, seed=source.seed)
        return Manifest("sample_crawl", key, inputs={}, settings=source.model_dump())

    make_once(folder, write, workspace.lock(f"sample-{key}"))
    return folder
