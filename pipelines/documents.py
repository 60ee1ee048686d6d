"""From work units to documents: `documents/<key>/<unit_id>.parquet`, and its report beside it, written last."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.cut import cut
from pipelines.document import SCHEMA, STAGE_OF_REASON, page_document, text_document
from pipelines.identify import LanguageIdentifier, find_language_model, load_identifier
from pipelines.languages import UNDETERMINED
from pipelines.pool import WorkerDied, run_in_workers
from pipelines.read_text import TextRecord, read_text
from pipelines.read_warc import ReadFailure, read_warc
from pipelines.settings import DocumentSettings
from pipelines.unit_report import (
    Failure,
    FunnelRow,
    UnitReport,
    documents_file,
    is_unit_done,
    read_report,
    write_report,
)
from pipelines.work_units import WorkUnit
from storage.atomic import sync
from storage.errors import InputError
from storage.keys import file_sha256, hash_of
from storage.workspace import Workspace

DOCUMENTS_STAGE_VERSION = 1  # raise it when the same file and settings come to give other documents
ROW_GROUP_ROWS, ROW_GROUP_CHARACTERS = 2000, 8_000_000  # whichever is reached first; bounds a worker's memory


def documents_key(settings: DocumentSettings) -> str:
    """Key of all documents made with these settings. Where the language identifier lies does not bear on it."""
    return hash_of("documents", DOCUMENTS_STAGE_VERSION, settings.model_dump(exclude={"language_model"}))


def process_unit(unit: WorkUnit, settings: DocumentSettings, folder: Path) -> UnitReport:
    """Read one unit into `folder`; a unit that is done returns its stored report at once.

    A file that cannot be read, or a disk that is full, is a report of status failed and costs this unit only.
    Raises InputError when there is no language identifier.
    """
    before = read_report(folder, unit.unit_id)
    if before is not None and is_unit_done(folder, before):
        return before.model_copy(update={"source": unit.source, "path": unit.path})
    identify = load_identifier(settings)
    reading = _Reading(unit, attempts=1 + (before.attempts if before else 0))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        report = reading.write(settings, identify, folder)
    except (InputError, OSError, pa.ArrowException) as error:
        report = reading.failed(str(error))
    write_report(folder, report)
    return report


def process_units(
    units: Sequence[WorkUnit],
    settings: DocumentSettings,
    workspace: Workspace,
    workers: int | None,
    on_report: Callable[[UnitReport], None],
) -> list[UnitReport]:
    """Process units in `workers` processes (None: one a core), calling `on_report` here as each ends.

    Returns the reports in the units' order.

    A worker process that dies costs the unit it had: reported failed, and tried again by the next call.
    """
    find_language_model(settings)  # once, before children would each fetch it or fail over it
    folder = workspace.documents(documents_key(settings))
    folder.mkdir(parents=True, exist_ok=True)
    reports: dict[tuple[str, str], UnitReport] = {}

    def ended(unit: WorkUnit, report: UnitReport) -> None:
        reports[unit.source, unit.unit_id] = report
        on_report(report)

    waiting: dict[str, WorkUnit] = {}
    for unit in units:
        report = read_report(folder, unit.unit_id)
        if report is not None and is_unit_done(folder, report):
            ended(unit, report.model_copy(update={"source": unit.source, "path": unit.path}))
        else:
            waiting.setdefault(unit.unit_id, unit)  # two sources may name one file
    for unit, result in run_in_workers(list(waiting.values()), settings, folder, workers or os.cpu_count() or 1):
        if isinstance(result, WorkerDied):
            before = read_report(folder, unit.unit_id)
            result = _Reading(unit, attempts=1 + (before.attempts if before else 0)).failed(str(result))
            write_report(folder, result)
        ended(unit, result)
    for unit in units:
        if (unit.source, unit.unit_id) not in reports:
            first = reports[waiting[unit.unit_id].source, unit.unit_id]
            ended(unit, first.model_copy(update={"source": unit.source, "path": unit.path}))
    return [reports[unit.source, unit.unit_id] for unit in units]


class _Reading:
    """One attempt at a unit: what has been counted so far."""

    def __init__(self, unit: WorkUnit, attempts: int) -> None:
        self.unit = unit
        self.attempts = attempts
        self.records = 0
        self.failures: list[Failure] = []
        self.counts: Counter[tuple[str, str]] = Counter()
        self.characters: Counter[tuple[str, str]] = Counter()
        self.started = time.monotonic()

    def write(self, settings: DocumentSettings, identify: LanguageIdentifier, folder: Path) -> UnitReport:
        file = documents_file(folder, self.unit.unit_id)
        partial = file.with_name(f".{file.name}.partial")
        try:
            with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
                for rows in _row_groups(self._documents(settings, identify)):
                    writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
            sync(partial)
            file_bytes, file_hash = partial.stat().st_size, file_sha256(partial)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
        return self._report(
            status="done",
            documents=sum(self.counts.values()),
            funnel=[
                FunnelRow(
                    language=language,
                    stage=STAGE_OF_REASON[reason],
                    reason=reason,
                    documents=count,
                    characters=self.characters[language, reason],
                )
                for (language, reason), count in sorted(self.counts.items())
            ],
            file_bytes=file_bytes,
            file_sha256=file_hash,
        )

    def failed(self, error: str) -> UnitReport:
        return self._report(status="failed", error=error)

    def _report(self, **outcome: Any) -> UnitReport:
        unit = self.unit
        return UnitReport(
            unit_id=unit.unit_id,
            source=unit.source,
            kind=unit.kind,
            path=unit.path,
            attempts=self.attempts,
            failures=self.failures,
            records=self.records,
            bytes=unit.bytes,
            seconds=time.monotonic() - self.started,
            **outcome,
        )

    def _documents(self, settings: DocumentSettings, identify: LanguageIdentifier) -> Iterator[dict[str, Any]]:
        read = self._pages if self.unit.kind == "warc" else self._texts
        for row, document in enumerate(read(settings, identify)):
            key = document.get("language", UNDETERMINED), document["reason"]
            self.counts[key] += 1
            self.characters[key] += document["characters"]
            yield document | {"row": row, "unit_id": self.unit.unit_id}

    def _pages(self, settings: DocumentSettings, identify: LanguageIdentifier) -> Iterator[dict[str, Any]]:
        for capture in read_warc(Path(self.unit.path), settings.max_bytes):
            if isinstance(capture, ReadFailure):
                self._failure(capture)
                continue
            self.records += 1
            if capture is None:
                continue
            try:
                yield page_document(capture, settings, identify)
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            # A panic in the Rust libraries is a BaseException; whatever one page sets off costs that page only.
            except BaseException as error:  # noqa: BLE001
                self._failure(ReadFailure(capture.offset, f"{type(error).__name__}: {error}"[:500]))

    def _texts(self, settings: DocumentSettings, identify: LanguageIdentifier) -> Iterator[dict[str, Any]]:
        options = self.unit.options
        for record in read_text(Path(self.unit.path), options, settings.max_bytes):
            if isinstance(record, ReadFailure):
                self._failure(record)
                continue
            self.records += 1
            for part, text in enumerate(_parts(record, options["max_characters"])):
                yield text_document(record, text, part, options["source"], settings, identify)

    def _failure(self, failure: ReadFailure) -> None:
        self.failures.append({"byte_offset": failure.byte_offset, "error": failure.error})


def _parts(record: TextRecord, max_characters: int | None) -> Iterator[str]:
    if record.fault is None and max_characters is not None and len(record.text) > max_characters:
        yield from cut(record.text, max_characters)
    else:
        yield record.text


def _row_groups(documents: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    rows: list[dict[str, Any]] = []
    characters = 0
    for document in documents:
        rows.append(document)
        characters += document["characters"]
        if len(rows) == ROW_GROUP_ROWS or characters >= ROW_GROUP_CHARACTERS:
            yield rows
            rows, characters = [], 0
    if rows:
        yield rows
