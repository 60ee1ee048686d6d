"""Documents for more languages, made of those for fewer: only pages that may be in an added language are read again.

The key of documents holds their languages, so a config that gains one has all units in a new folder. But what did not
leave for its language leaves or stays as before where more are wanted, and a page that did has its place in its row. So
the rows of an earlier folder are taken over but for those of pages that may be in an added language: their records are
read, from a file of this machine by their place, else by byte range. Where that cannot be done (a record compressed
with others, a server without ranges, a file that is another), the unit is read whole, as any other. docs/scale.md has
what it saves, docs/filters.md in what it differs.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.documents.row import SCHEMA
from pipelines.documents.shared_units import fetch_units
from pipelines.documents.unit import UnitReader
from pipelines.documents.unit_file import written_whole
from pipelines.documents.unit_tally import DAMAGED
from pipelines.settings import DocumentSettings, FetchSettings
from pipelines.sources.common_crawl.selection import Record
from pipelines.sources.fetch_unit import Earlier, Fetched, Fetcher, Place, needs_fetching
from pipelines.sources.remote import LANGUAGES, LOCATION, ByteRange
from pipelines.sources.retries import ReadFailure
from pipelines.sources.work_units import UnitReport, WorkUnit, documents_file, is_unit_done, read_report
from pipelines.text.identify import Identifier
from pipelines.text.languages import GROUPS
from storage.errors import InputError
from storage.files import link
from storage.keys import hash_of
from storage.workspace import Workspace

MAX_SETS = 200  # of fewer languages that are looked for, the larger first
# The score from which a page is not read again. One told from its bytes has that of its surest piece in its row, of the
# others it is known that they had .8; English stands on pages in all languages, in pieces of its own. One told by all
# of its text has that of the text: less than .05 is left for an added language. docs/filters.md has what is missed.
_SURE, _SURE_BESIDE_ENGLISH, _SURE_BY_TEXT = 0.94, 0.99, 0.95
# Languages that the identifier confuses, beside those of GROUPS (docs/filters.md): either may be taken for the other.
_CONFUSED = (
    *(frozenset({"dan", "nor", "nno", "swe"}), frozenset({"ces", "slk"}), frozenset({"ind", "msa"})),
    *(frozenset({"glg", "por", "spa"}), frozenset({"slv", "hrv", "srp", "bos", "hbs"}), frozenset({"srp", "mkd"})),
    *GROUPS,
)
_BATCH_ROWS = 256
_SAME = ("doc_id", *LOCATION)  # columns by which a record is known again


def earlier_documents(
    unit_ids: Iterable[str],
    settings: DocumentSettings,
    key_of: Callable[[DocumentSettings], str],
    workspace: Workspace,
) -> dict[str, Earlier]:
    """Return those of the units whose documents are whole, here or in the bucket, for some of the languages."""
    found: dict[str, Earlier] = {}
    left = list(unit_ids)
    sets = list(_fewer(settings.languages or ()))
    folders = _folders(workspace) - {key_of(settings)} if sets and left else set()
    for languages in sets:
        if not left or not folders:
            break
        key = key_of(settings.model_copy(update={"languages": languages}))
        if key not in folders:
            continue
        folder = workspace.documents(key)
        fetch_units(folder, left, workspace)
        for unit_id in left:
            if is_unit_done(folder, read_report(folder, unit_id)):
                found[unit_id] = Earlier(str(folder), list(languages))
        left = [unit_id for unit_id in left if unit_id not in found]
    return found


def _folders(workspace: Workspace) -> set[str]:
    root, bucket = workspace.root / "documents", workspace.bucket
    return {folder.name for folder in root.glob("[!.]*")} | set(bucket.names(root) if bucket else [])


def _fewer(languages: Sequence[str]) -> Iterator[tuple[str, ...]]:
    sets = (some for size in range(len(languages) - 1, 0, -1) for some in combinations(languages, size))
    return islice(sets, MAX_SETS)


def may_be_in(row: Mapping[str, Any], added: Collection[str]) -> bool:
    """Tell whether a page that left for its language may be in one of the added languages.

    By its language or one that is confused with it, by those that its crawler found, or for want of a sure one.
    """
    found = {row["language"], *(row[LANGUAGES] or "").split(",")}
    if any(not found.isdisjoint({code, *_confused_with(code)}) for code in added):
        return True
    if row["characters"] > 0:  # told by all of its text
        return bool(row["language_score"] < _SURE_BY_TEXT)
    return bool(row["language_score"] < (_SURE_BESIDE_ENGLISH if "eng" in added else _SURE))


@cache
def _confused_with(language: str) -> frozenset[str]:
    return frozenset().union(*(group for group in _CONFUSED if language in group))


def records_again(file: Path, added: Collection[str]) -> dict[int, Place]:
    """Return the places of the records that are read again of a unit's documents, by the number of their row.

    Raises InputError where one has no place of its own, or an earlier program wrote the file.
    """
    try:
        if pq.read_schema(file).names != SCHEMA.names:
            raise InputError(f"{file} has other columns than are written now")
        columns = ["row", "language", "language_score", "characters", LANGUAGES, *LOCATION]
        left = pq.read_table(file, columns=columns, filters=[("reason", "=", "other_language")]).to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{file} cannot be read ({error})") from None
    again = {}
    for row in left:
        if may_be_in(row, added):
            path, offset, length = (row[column] for column in LOCATION)
            if offset is None or length is None:
                raise InputError(f"where in {path} its records stand is not known")
            again[row["row"]] = Place(path, offset, length, row[LANGUAGES])
    return again


def _again(unit: WorkUnit, earlier: Earlier, settings: DocumentSettings) -> dict[int, Place]:
    added = set(settings.languages or ()) - set(earlier.languages)
    return records_again(documents_file(Path(earlier.folder), unit.unit_id), added)


def units_again(
    units: Sequence[WorkUnit],
    settings: DocumentSettings,
    key_of: Callable[[DocumentSettings], str],
    workspace: Workspace,
) -> Iterator[WorkUnit]:
    """Yield the units with the bytes that are read of them, without those of which nothing is, for who plans.

    Earlier documents count that are on this machine: nothing is downloaded to know.
    """
    earlier = earlier_documents([unit.unit_id for unit in units], settings, key_of, Workspace(workspace.root))
    for unit in units:
        known = earlier.get(unit.unit_id)
        try:
            again = None if known is None else _again(unit, known, settings)
        except InputError:  # it is read whole
            again = None
        if again is None:
            yield unit
        elif again:
            yield replace(unit, bytes=sum(place.length for place in again.values()))


class FetcherOfAdded(Fetcher):
    """Fetches of a unit that has earlier documents only what is read again; they may be those of no unit."""

    def __init__(
        self, fetch: FetchSettings, workspace: Workspace, settings: DocumentSettings, earlier: Mapping[str, Earlier]
    ) -> None:
        super().__init__(fetch, workspace)
        self._settings, self._earlier = settings, earlier

    def fetch(self, unit: WorkUnit) -> Fetched:
        """Bring what is needed of a unit here. Raises InputError as records_again does, and FetchError."""
        earlier = self._earlier.get(unit.unit_id)
        if earlier is None:
            return super().fetch(unit)
        if not needs_fetching(unit):
            return Fetched(unit.path, earlier=earlier)
        again = _again(unit, earlier, self._settings).values()
        records = [Record(place.path, ByteRange(place.offset, place.length), place.languages) for place in again]
        # Under a name of their own: other documents leave other records to be read again, or the whole file.
        name = hash_of([(record.path, record.place.offset) for record in records])
        fetched = self.fetch_records(unit, records, self._file(unit, f".{name}"))
        return replace(fetched, earlier=earlier)


class ReaderOfAdded(UnitReader):
    """Takes over the rows of earlier documents, and reads again what may be in an added language.

    Whatever is not as it was before gives a report `failed`: the unit is then to be read whole.
    """

    def run(self, fetched: Fetched, settings: DocumentSettings, *rest: Any) -> UnitReport:
        assert fetched.earlier is not None
        self._earlier, self._fetched = fetched.earlier, fetched
        return super().run(fetched, settings, *rest)

    def _write(self, settings: DocumentSettings, identify: Identifier, folder: Path) -> UnitReport:
        earlier = Path(self._earlier.folder)
        report = read_report(earlier, self.unit.unit_id)
        if report is None or not is_unit_done(earlier, report):
            raise InputError(f"the documents of {self.unit.path} in {earlier} are gone")
        self._documents_before = documents_file(earlier, self.unit.unit_id)
        self._to_read = _again(self.unit, self._earlier, settings)
        self.tally.bytes = sum(place.length for place in self._to_read.values())
        self.tally.failures[:0] = report.failures
        if not self._to_read:
            return self._linked(report, folder)
        if self.records_of_batch is None:  # in the file of this machine
            self.records_of_batch = list(self._to_read.values())
        self.tally.records = report.records - len(self._to_read)
        self.tally.add_damage(sum(row["documents"] for row in report.funnel if row["reason"] == DAMAGED))
        return super()._write(settings, identify, folder)

    def _linked(self, report: UnitReport, folder: Path) -> UnitReport:
        """Make the documents file the same one where no record is read again, as of texts."""
        with written_whole(folder, self.unit.unit_id) as file:
            link(self._documents_before, file)
        self.tally.records = report.records
        same = ("documents", "funnel", "file_bytes", "file_sha256")
        return self.tally.report(status="done", **{name: getattr(report, name) for name in same})

    def _rows(self, settings: DocumentSettings, identify: Identifier) -> Iterator[dict[str, Any]]:
        assert self.records_of_batch is not None
        there = {(place.path, place.offset) for place in self.records_of_batch}
        read = self._pages(settings, identify)
        for row in self._rows_before():
            place = self._to_read.get(row["row"])
            if place is None:
                yield row
            elif (place.path, place.offset) in there:  # else its batch has it no more, which is a failure
                yield self._again_as(row, next(read, {}))

    def _rows_before(self) -> Iterator[dict[str, Any]]:
        try:
            with pq.ParquetFile(self._documents_before) as file:
                for batch in file.iter_batches(_BATCH_ROWS):
                    yield from batch.to_pylist()
        except pa.ArrowInvalid as error:
            raise InputError(f"{self._documents_before} cannot be read ({error})") from None

    def _again_as(self, before: Mapping[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        if any(row.get(column) != before[column] for column in _SAME):
            raise InputError(f"{self.unit.path} is another file than before at byte {before[LOCATION[1]]}")
        return row

    def _places(self, records: Sequence[Place]) -> list[ByteRange]:
        if self._fetched.records is None:
            return [ByteRange(record.offset, record.length) for record in records]
        return super()._places(records)

    def _failure(self, failure: ReadFailure) -> None:
        raise InputError(f"{self.unit.path}: {failure.error}")
