"""From sources to work units: one file each."""

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.settings import SampleCrawlSource, Source, TextSource
from storage.errors import InputError
from storage.keys import content_hash, hash_of
from storage.publish import is_done, publishing, write_manifest
from storage.workspace import Workspace

SAMPLE_CRAWL_VERSION = 1  # raise it when write_sample_crawl comes to write other bytes


@dataclass(frozen=True, slots=True)
class WorkUnit:
    """One file to read. `unit_id` depends on the file's content and on how it is read, not on where it lies."""

    unit_id: str
    source: str
    kind: str  # warc | text
    path: str
    bytes: int
    options: dict[str, Any]  # how a text file is read; empty for a WARC


def list_work_units(sources: Mapping[str, Source], workspace: Workspace) -> list[WorkUnit]:
    """The units of all sources, sorted by path. A file that two sources name is a unit of each.

    Raises InputError for a path that is not there, a pattern that matches nothing, or a file that cannot be read.
    """
    return sorted(
        (unit for name, source in sources.items() for unit in _units(name, source, workspace)),
        key=lambda unit: (unit.path, unit.source),
    )


def _units(name: str, source: Source, workspace: Workspace) -> Iterator[WorkUnit]:
    if isinstance(source, SampleCrawlSource):
        paths = [str(_sample_crawl(source, workspace) / "*.warc.gz")]
    else:
        paths = source.paths
    seen: set[str] = set()
    for path in _files(name, paths):
        options: dict[str, Any] = {}
        if isinstance(source, TextSource):
            options = source.model_dump(exclude={"kind", "paths"}) | {"source": name}
            if source.id_field is None:
                options["file_name"] = path.name  # documents are then named by it
        kind = "text" if isinstance(source, TextSource) else "warc"
        unit_id = hash_of(kind, options, content_hash(path, workspace))
        if unit_id not in seen:  # a copy of a file in the same source adds nothing
            seen.add(unit_id)
            yield WorkUnit(unit_id, name, kind, str(path), path.stat().st_size, options)


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
    with workspace.lock(f"sample-{key}"):
        if not is_done(folder):
            with publishing(folder) as partial:
                write_sample_crawl(partial, pages=source.pages, seed=source.seed)
                settings = source.model_dump()
                write_manifest(partial, step="sample_crawl", key=key, inputs={}, settings=settings, counts={})
    return folder
