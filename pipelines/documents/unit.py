"""Reads one work unit: makes its documents, and counts what left."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, count
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.documents.row import (
    SCHEMA,
    HtmlPage,
    capture_document,
    extract_page,
    leave_early,
    measure,
    open_page,
    repeated_id,
    text_document,
)
from pipelines.documents.unit_file import row_groups, written_whole
from pipelines.documents.unit_tally import UnitTally
from pipelines.pages.characters import cut
from pipelines.pages.charset.decode import decode_plain_text
from pipelines.pages.warc import Capture, read_items, read_records
from pipelines.pages.warc.capture import Item as Record
from pipelines.pages.warc.capture import PageLanguages, content_languages
from pipelines.settings import DocumentSettings
from pipelines.sources.common_crawl.snapshots import warc_filename
from pipelines.sources.fetch_unit import Fetched, Place
from pipelines.sources.remote import LOCATION, ByteRange
from pipelines.sources.retries import ReadFailure
from pipelines.sources.text_files import TextRecord, read_text
from pipelines.sources.work_units import Failure, UnitReport, WorkUnit
from pipelines.text.identify import Identifier
from pipelines.workers.shared_position import NOTHING, TOGETHER, Poison
from storage.errors import InputError, is_disk_full, os_sentence
from storage.keys import file_sha256

Item = TypeVar("Item", TextRecord, Record)
Made = TypeVar("Made", bound=dict[str, Any] | HtmlPage)
logger = logging.getLogger(__name__)

# Where one language is wanted, so many pages wait for the early look at them, up to so much HTML.
PAGES_TOGETHER, CHARACTERS_TOGETHER = 32, 4_000_000


@dataclass(slots=True)
class _Waiting:
    """A record that was read: a page, or its row where it left; and what the record behind it says of its languages."""

    number: int
    offset: int
    record_id: str
    page: dict[str, Any] | HtmlPage
    languages: dict[str, str] = field(default_factory=dict)


class UnitReader:
    """Reads a unit once. `number` is 1 for the first attempt."""

    def __init__(self, unit: WorkUnit, number: int) -> None:
        self.unit = unit
        self.tally = UnitTally(unit, number)

    def run(
        self,
        fetched: Fetched,
        settings: DocumentSettings,
        identify: Identifier,
        folder: Path,
        on_record: Callable[[int], object],
        poison: Poison,
    ) -> UnitReport:
        """Write the unit's documents file. A file that cannot be read, or a full disk, gives a report `failed`."""
        self.file, self.records_of_batch, self.on_record = Path(fetched.file), fetched.records, on_record
        self.poison = poison
        on_record(NOTHING)
        self.tally.failures.extend(fetched.failures)
        try:
            self.tally.bytes = self.file.stat().st_size
            return self._write(settings, identify, folder)
        except InputError as error:
            return self.tally.failed(str(error).replace(str(self.file), self.unit.path))  # a fetched file is soon gone
        except OSError as error:
            if is_disk_full(error):
                return self.tally.failed(os_sentence(error, at=folder))
            return self.tally.failed(f"{self.unit.path}: {error}")

    def _write(self, settings: DocumentSettings, identify: Identifier, folder: Path) -> UnitReport:
        with written_whole(folder, self.unit.unit_id) as file:
            with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
                for rows in row_groups(self._documents(settings, identify)):
                    measured = rows if self.poison.apart else self._measured(rows, settings, identify)
                    self.tally.add(measured)
                    writer.write_table(pa.Table.from_pylist(measured, schema=SCHEMA))
            file_bytes, file_hash = file.stat().st_size, file_sha256(file)
        if damaged := self.tally.damaged:
            error = self.tally.failures[-1]["error"]
            logger.warning("%s: damaged at %d places; at the last: %s", self.unit.path, damaged, error)
        return self.tally.done(file_bytes, file_hash)

    def _measured(
        self, rows: list[dict[str, Any]], settings: DocumentSettings, identify: Identifier
    ) -> list[dict[str, Any]]:
        """Measure rows together; where one of them cannot be, each alone, so that it costs itself only."""
        if not self.poison.apart:
            self.on_record(TOGETHER)
        before = [dict(row) for row in rows]
        try:
            measure(rows, settings, identify)
            return rows
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # as in _guarded
            logger.exception("%s: rows %d to %d could not be measured", self.unit.path, rows[0]["row"], rows[-1]["row"])
        return [self._measured_alone(row, settings, identify) for row in before]

    def _measured_alone(self, row: dict[str, Any], settings: DocumentSettings, identify: Identifier) -> dict[str, Any]:
        def alone(document: dict[str, Any]) -> dict[str, Any]:
            rows = [dict(document)]
            measure(rows, settings, identify)
            return rows[0]

        made = self._guarded(row, str(row["row"]), alone)
        return made if made["reason"] == row["reason"] else made | {"text": None}

    def _documents(self, settings: DocumentSettings, identify: Identifier) -> Iterator[dict[str, Any]]:
        for row, document in enumerate(self._rows(settings, identify)):
            made = document | {"row": row, "unit_id": self.unit.unit_id}
            yield from self._measured([made], settings, identify) if self.poison.apart else [made]

    def _rows(self, settings: DocumentSettings, identify: Identifier) -> Iterator[dict[str, Any]]:
        """Yield the rows without row and unit_id, those that were kept not yet measured."""
        return self._texts(settings) if self.unit.kind == "text" else self._pages(settings, identify)

    def _pages(self, settings: DocumentSettings, identify: Identifier) -> Iterator[dict[str, Any]]:
        if self.records_of_batch is None:
            captures = read_items(self.file, settings.max_bytes)
        else:
            captures = read_records(self.file, self._places(self.records_of_batch), settings.max_bytes)
        waiting: list[_Waiting] = []  # the last one also for what goes with its record
        characters = 0
        most = 1 if settings.languages is None or self.poison.apart else PAGES_TOGETHER
        for number, item in self._records(captures):
            if isinstance(item, PageLanguages) and waiting and item.record_id == waiting[-1].record_id:
                waiting[-1].languages = {"content_languages": item.languages}
            if not isinstance(item, Capture):
                continue
            if len(waiting) == most or characters > CHARACTERS_TOGETHER:
                yield from self._looked_at(waiting, settings, identify)
                waiting, characters = [], 0
                self.on_record(2 * number + 1)
            document = capture_document(item) | self._place(number, item)
            if number in self.poison.records:
                document["reason"] = "poison_record"
            page: dict[str, Any] | HtmlPage = document
            if document["reason"] is None:
                page = self._guarded(document, f"at byte {item.offset}", open_page, item, settings)
            waiting.append(_Waiting(number, item.offset, item.record_id, page))
            characters += len(page.decoded.text) if isinstance(page, HtmlPage) else 0
        yield from self._looked_at(waiting, settings, identify)

    def _looked_at(
        self, waiting: list["_Waiting"], settings: DocumentSettings, identify: Identifier
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of pages. First the early look at all of them: it is quicker without parsing between."""
        for look in (leave_early, extract_page):
            for one in waiting:
                if isinstance(page := one.page, HtmlPage):
                    self.on_record(2 * one.number + 1)
                    one.page = self._guarded(
                        page.document,
                        f"at byte {one.offset}",
                        lambda _, page=page, look=look: look(page, settings, identify),
                    )
        for one in waiting:
            self.on_record(2 * one.number + 1)
            assert isinstance(one.page, dict)
            yield one.page | one.languages

    def _places(self, records: Sequence[Place]) -> list[ByteRange]:
        """Return where the records of a batch stand in its file: one behind the other."""
        offsets = accumulate((record.length for record in records), initial=0)
        return [ByteRange(offset, record.length) for offset, record in zip(offsets, records, strict=False)]

    def _place(self, number: int, capture: Capture) -> dict[str, Any]:
        """Return where a record lies, as Common Crawl's index says it; of the unit's file where it is no batch."""
        if self.records_of_batch is not None:
            of = self.records_of_batch[number]
            languages = {"content_languages": content_languages(of.languages) or None} if of.languages else {}
            return dict(zip(LOCATION, (of.path, of.offset, of.length), strict=True)) | languages
        file = warc_filename(self.unit.path)
        if capture.stored_length is None:
            return {LOCATION[0]: file}
        return dict(zip(LOCATION, (file, capture.offset, capture.stored_length), strict=True))

    def _records(self, items: Iterable[Item | ReadFailure]) -> Iterator[tuple[int, Item]]:
        """Yield records with their numbers. Where the reader fails or is known to hang, what it gave before stays."""
        records = iter(items)
        for number in count():
            self.on_record(2 * number)
            if number == self.poison.stop:
                self._failure(ReadFailure(0, f"record {number} ended the processes that read it: the rest is lost"))
                return
            try:
                item = next(records)
            except StopIteration:
                return
            except (InputError, OSError, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                logger.exception("%s: record %d could not be read", self.unit.path, number)
                self._failure(ReadFailure(0, f"{type(error).__name__} at record {number}: the rest is lost"))
                return
            self.on_record(2 * number + 1)
            if isinstance(item, ReadFailure):
                self._failure(item)
            else:
                self.tally.records += 1
                yield number, item

    def _guarded(
        self, document: dict[str, Any], where: str, make: Callable[..., Made], *given: Any
    ) -> Made | dict[str, Any]:
        try:
            return make(document, *given)
        except (KeyboardInterrupt, SystemExit):
            raise
        # A panic in the Rust libraries is a BaseException; whatever one page sets off costs that page only.
        except BaseException:
            logger.exception("%s: the record %s could not be extracted", self.unit.path, where)
            return document | {"reason": "extraction_failed"}

    def _texts(self, settings: DocumentSettings) -> Iterator[dict[str, Any]]:
        # Rows without the id that a source names would have those of another file of their name.
        options = {"file_name": f"{self.unit.unit_id}/{self.unit.path.rpartition('/')[2]}"} | self.unit.options
        source = options["source"]
        known: set[int] = set()
        for number, record in self._records(read_text(self.file, options, settings.max_bytes, decode_plain_text)):
            if number in self.poison.records:
                record = replace(record, fault="poison_record", text="")
            for part, text in enumerate(_parts(record, options["max_characters"])):
                failed = replace(record, fault=record.fault or "extraction_failed")
                document = self._guarded(
                    text_document(failed, "", part, source, settings),
                    f"{record.record_id!r}",
                    lambda _, *given: text_document(*given),
                    *(record, text, part, source, settings),
                )
                if (short := int(document["doc_id"][:15], 16)) in known:  # a row of the same id and text was before it
                    document["doc_id"] = repeated_id(document["doc_id"], self.unit.unit_id, number, part)
                known.add(short)
                yield document

    def _failure(self, failure: ReadFailure) -> None:
        self.tally.add_damage(1)
        entry = Failure(byte_offset=failure.byte_offset, error=failure.error)
        if self.records_of_batch is not None:
            offsets = [place.offset for place in self._places(self.records_of_batch)]
            place = self.records_of_batch[offsets.index(failure.byte_offset)]
            entry = Failure(byte_offset=place.offset, error=failure.error, path=place.path)
        self.tally.failures.append(entry)


def _parts(record: TextRecord, max_characters: int | None) -> Iterator[str]:
    if record.fault is None and max_characters is not None and len(record.text) > max_characters:
        yield from cut(record.text, max_characters)
    else:
        yield record.text
