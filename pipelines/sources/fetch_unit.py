"""One work unit's file, brought here for as long as it is read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.settings import FetchSettings
from pipelines.sources.common_crawl.selection import Record, read_batch, requests_of
from pipelines.sources.common_crawl.snapshots import address
from pipelines.sources.remote import Remote, is_remote
from pipelines.sources.retries import FetchError
from pipelines.sources.text_files import text_suffix
from pipelines.sources.work_units import Failure, WorkUnit
from storage.errors import InputError
from storage.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Place:
    """The origin of a record of a batch; its members stand one after the other in the batch's file."""

    path: str
    offset: int
    length: int
    languages: str | None = None  # of the page, by the index


@dataclass(frozen=True, slots=True)
class Earlier:
    """The folder with a unit's documents by the same settings but for fewer languages, and which these are."""

    folder: str
    languages: list[str]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A unit's file on this machine. `records` tells the members of a batch of byte ranges, None for a whole file.

    `failures` are the records of a batch that are not where the index says. With `earlier` documents of the unit, its
    records are but those of them that are read again.
    """

    file: str
    records: list[Place] | None = None
    failures: list[Failure] = field(default_factory=list)
    earlier: Earlier | None = None


def fetched_from(message: Mapping[str, Any]) -> Fetched:
    """Return a Fetched out of its JSON, as a worker process gets it."""
    records = message["records"]
    places = None if records is None else [Place(**place) for place in records]
    earlier = message.get("earlier")
    return Fetched(message["file"], places, message["failures"], Earlier(**earlier) if earlier else None)


def needs_fetching(unit: WorkUnit) -> bool:
    return unit.kind == "ranges" or is_remote(unit.path)


class Fetcher:
    """Fetches units into the workspace's scratch folder, where a killed process leaves what came for the next."""

    def __init__(self, settings: FetchSettings, workspace: Workspace) -> None:
        self.connections = settings.connections
        self._remote, self._workspace = Remote(settings), workspace
        self._folder = workspace.scratch("fetched")

    def stop(self) -> None:
        self._remote.stop()

    def fetch(self, unit: WorkUnit) -> Fetched:
        """Bring a unit here; a local file stays where it is. Raises FetchError, and InputError as fsspec does."""
        if not needs_fetching(unit):
            return Fetched(unit.path)
        if unit.kind == "ranges":
            return self._fetch_ranges(unit)
        self._remote.download(unit.address, self._file(unit))
        return Fetched(str(self._file(unit)))

    def discard(self, unit: WorkUnit) -> None:
        """Remove what fetch brought; a local file stays."""
        if needs_fetching(unit):
            for leftover in self._folder.glob(f"{unit.unit_id}.*"):
                leftover.unlink(missing_ok=True)

    def _file(self, unit: WorkUnit, part: str = "") -> Path:
        # Named by our id: nothing out of an address becomes a path. The ending tells how a text is read.
        ending = (text_suffix(unit.path) if unit.kind == "text" else None) or ".warc"
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / f"{unit.unit_id}{part}{ending}"

    def _fetch_ranges(self, unit: WorkUnit) -> Fetched:
        options = unit.options
        records = read_batch(options["selection"], options["first"], options["pages"], self._workspace)
        fetched = self.fetch_records(unit, records, self._file(unit))
        if not fetched.records:
            self.discard(unit)
            first = fetched.failures[0]["error"]
            raise InputError(f"not one of the {len(fetched.failures)} records is where the index says: {first}")
        return fetched

    def fetch_records(self, unit: WorkUnit, records: list[Record], file: Path) -> Fetched:
        """Bring records of a unit here by their ranges, one behind the other, from where an earlier call of it ended.

        In a batch one that is not where the index says is a failure; else it raises FetchError.
        """
        languages = {(record.path, record.place): record.languages for record in records}
        log, is_batch = file.with_suffix(".log"), unit.kind == "ranges"
        fetched = Fetched(str(file), [])
        assert fetched.records is not None
        done = 0
        for entry in _read_log(log):  # of the requests whose answers a killed process left whole
            fetched.records.extend(Place(**place) for place in entry["records"])
            fetched.failures.extend(entry["failures"])
            done += 1
        with file.open("r+b" if file.exists() else "wb") as stream, log.open("a") as written:
            stream.truncate(sum(place.length for place in fetched.records))
            stream.seek(0, 2)
            for path, span in list(requests_of(records))[done:]:
                places = [Place(path, part.offset, part.length, languages[path, part]) for part in span.parts]
                failures: list[Failure] = []
                url = address(unit.options["server"], path) if is_batch else unit.address
                try:
                    answer = self._remote.read(url, span.whole)
                    for part in span.parts:
                        start = part.offset - span.whole.offset
                        stream.write(answer[start : start + part.length])
                except FetchError as error:
                    if not (is_batch and error.missing):
                        raise
                    failures = [Failure(byte_offset=place.offset, error=str(error), path=path) for place in places]
                    places = []
                stream.flush()
                entry = {"records": [asdict(place) for place in places], "failures": failures}
                print(json.dumps(entry), file=written, flush=True)
                fetched.records.extend(places)
                fetched.failures.extend(failures)
        return fetched


def _read_log(log: Path) -> Iterator[dict[str, list[Any]]]:
    """Yield the entries of a log up to where its writer was killed."""
    if not log.exists():
        return
    whole = 0
    content = log.read_bytes()
    for line in content.splitlines(keepends=True):
        if not line.endswith(b"\n"):
            break
        whole += len(line)
        yield json.loads(line)
    with log.open("r+b") as stream:
        stream.truncate(whole)
