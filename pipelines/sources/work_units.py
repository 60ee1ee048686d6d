"""Work units, a file each or a batch of byte ranges: of sources, those that a corpus keeps, and the report of each.

What Common Crawl published does not go when `latest` comes to mean another snapshot, or a source another slice of it.
Local files and plain addresses do leave a corpus with the config's paths. A unit's report is the ledger's
entry, and the manifest of its documents file.
"""

import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NotRequired

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from typing_extensions import TypedDict  # pydantic does not take typing's before Python 3.12

from pipelines.settings import CorpusSettings, FetchSettings, Source
from pipelines.sources.remote import Remote, is_remote
from pipelines.sources.urls import redacted
from storage.errors import InputError
from storage.files import write_atomically
from storage.keys import content_hash, hash_of
from storage.workspace import Workspace


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
        """Return the address that the file is fetched from.

        It may hold a password or a signature: neither keep it nor say it.
        """
        return self.path if self.signed is None else self.signed.get_secret_value()

    def record(self) -> dict[str, Any]:
        """Return the fields that are kept."""
        fields = asdict(self)
        del fields["signed"]
        return fields


@dataclass(frozen=True, slots=True)
class Search:
    """The means by which sources look for their files; `say` hears what is about to be downloaded for it."""

    workspace: Workspace
    remote: Remote
    say: Callable[[str], None]


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
    search = Search(workspace, Remote(fetch), say)
    units: dict[tuple[str, str], WorkUnit] = {}
    for name, source in sources.items():
        for unit in source.units(name, search):  # a copy of a file in the same source adds nothing
            units.setdefault((name, unit.unit_id), replace(unit, licence=source.licence))
    return sorted(units.values(), key=lambda unit: (unit.path, unit.source))


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that a source's paths name. A remote file's content hash is of its address and length."""

    name: str
    path: str
    bytes: int
    content: str
    signed: SecretStr | None = None

    def unit(self, source: str, kind: str, options: dict[str, Any]) -> WorkUnit:
        """Return the unit that reads this file with these options, its id by all that bears on the content."""
        unit_id = hash_of(kind, options, self.content)
        return WorkUnit(unit_id, source, kind, self.path, self.bytes, options, signed=self.signed)


def source_files(name: str, patterns: Sequence[str], search: Search) -> Iterator[SourceFile]:
    """Yield the files that these paths, patterns and addresses of source `name` name, those of this machine first."""
    for path in _files(name, [pattern for pattern in patterns if not is_remote(pattern)]):
        yield SourceFile(path.name, str(path), path.stat().st_size, content_hash(path, search.workspace))
    for url in _addresses(name, [pattern for pattern in patterns if is_remote(pattern)], search.remote):
        size, public = search.remote.size(url), redacted(url)  # one that is signed anew is the same file
        signed = None if public == url else SecretStr(url)
        yield SourceFile(public.rpartition("/")[2], public, size, hash_of(public, size), signed)


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
            raise InputError(
                f"sources.{name}.paths: {redacted(pattern)} matches no file; correct the path or the pattern"
            )
        for path in found:
            if not os.access(path, os.R_OK):
                raise InputError(f"sources.{name}.paths: {path} cannot be read; give yourself read permission")
        files.update(found)
    return sorted(files)


_FILE = "units.parquet"


def earlier_units(
    name: str, settings: CorpusSettings, listed: Iterable[WorkUnit], workspace: Workspace
) -> list[WorkUnit]:
    """Return the snapshot units of the current version of corpus `name`, of sources that it still has, that are not
    `listed`.

    Their licence is what their source states now.
    """
    current = workspace.current_version(name)
    if current is None:
        return []
    listed = list(listed)
    known, licences = {unit.unit_id for unit in listed}, {unit.source: unit.licence for unit in listed}
    units = read_units(workspace.corpus_version(name, current))
    return [
        replace(unit, licence=licences.get(unit.source, unit.licence))
        for unit in units
        if unit.accumulates and unit.source in settings.sources and unit.unit_id not in known
    ]


def units_to_read(
    listed: Sequence[WorkUnit], corpora: Mapping[str, CorpusSettings], workspace: Workspace
) -> list[WorkUnit]:
    """Return the listed units, and those that the corpora keep: with other document settings these are read anew."""
    units = {(unit.source, unit.unit_id): unit for unit in listed}
    for name, settings in corpora.items():
        for unit in earlier_units(name, settings, listed, workspace):
            units.setdefault((unit.source, unit.unit_id), unit)
    return list(units.values())


def write_units(version: Path, units: Iterable[WorkUnit]) -> None:
    rows = [unit.record() | {"options": json.dumps(unit.options)} for unit in units]
    pq.write_table(pa.Table.from_pylist(rows), version / _FILE, compression="zstd")


def read_units(version: Path) -> list[WorkUnit]:
    """Return the units of a version; none where an earlier program wrote it."""
    if not (version / _FILE).exists():
        return []
    rows = pq.read_table(version / _FILE).to_pylist()
    return [WorkUnit(**row | {"options": json.loads(row["options"])}) for row in rows]


class Failure(TypedDict):
    """A place where reading broke inside a unit, behind the record at `byte_offset` or in it; `error` says where it
    went on.

    In a batch of byte ranges only the record at `byte_offset` of `path` is.
    """

    byte_offset: int
    error: str
    path: NotRequired[str]  # of the archive; without it, the unit's


class FunnelRow(TypedDict):
    """Counts of documents, and of characters of their text, that left at a stage for a reason; `kept` if they
    stayed.
    """

    language: str  # ISO 639-3; 'und' where it left before its language was known
    stage: str
    reason: str
    documents: int
    characters: int


class UnitReport(BaseModel):
    """Outcome of the last attempt at one work unit."""

    model_config = ConfigDict(frozen=True)
    unit_id: str
    source: str
    kind: str
    path: str
    status: Literal["done", "failed"]
    attempts: int
    error: str | None = None
    failures: list[Failure] = []
    records: int = 0
    documents: int = 0
    bytes: int = 0  # of the file that was read
    seconds: float = 0.0
    funnel: list[FunnelRow] = []
    file_bytes: int = 0  # of the documents file
    file_sha256: str = ""


def documents_file(folder: Path, unit_id: str) -> Path:
    return folder / f"{unit_id}.parquet"


def report_file(folder: Path, unit_id: str) -> Path:
    return folder / f"{unit_id}.json"


def read_report(folder: Path, unit_id: str) -> UnitReport | None:
    """Return the stored report of a unit, if it was tried. One that a power cut left torn is none: the unit is read
    again.
    """
    try:
        return UnitReport.model_validate_json(report_file(folder, unit_id).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_report(folder: Path, report: UnitReport) -> None:
    """Store a report. Raises InputError when it cannot be written, for instance on a full disk."""
    try:
        write_atomically(report_file(folder, report.unit_id), report.model_dump_json(indent=1))
    except OSError as error:
        raise InputError(f"{folder} cannot be written to ({error}): free some space, then run the same again") from None


def is_unit_done(folder: Path, report: UnitReport | None) -> bool:
    """Tell whether a unit's documents stand, whole by their size."""
    if report is None or report.status != "done":
        return False
    file = documents_file(folder, report.unit_id)
    return file.is_file() and file.stat().st_size == report.file_bytes
