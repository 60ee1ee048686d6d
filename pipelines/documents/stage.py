"""From work units to documents: `documents/<key>/<unit_id>.parquet`, and its report beside it, written last."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from pipelines.denylist import take_over_deny_list
from pipelines.documents.added_languages import FetcherOfAdded, ReaderOfAdded, earlier_documents
from pipelines.documents.given_files import block_list, given_files_hash, opted_out_hosts, robots_rules
from pipelines.documents.shared_units import fetch_units, share_units, units_in_bucket
from pipelines.documents.unit import UnitReader
from pipelines.pages.second_extractor import refuse_missing_extractor
from pipelines.settings import DocumentSettings, FetchSettings
from pipelines.sources.fetch_unit import Earlier, Fetched, needs_fetching
from pipelines.sources.work_units import (
    UnitReport,
    WorkUnit,
    is_unit_done,
    read_report,
    write_report,
)
from pipelines.text.identify import load_identifier, refuse_unknown_languages
from pipelines.text.quality_model import load_quality_model
from pipelines.workers.pool import NotRead, run_in_workers
from pipelines.workers.shared_position import Poison
from storage.keys import hash_of
from storage.workspace import Workspace

__all__ = ["DOCUMENTS_STAGE_VERSION", "UnitReport", "documents_key", "process_unit", "process_units"]

logger = logging.getLogger(__name__)

DOCUMENTS_STAGE_VERSION = 13  # raise it when the same file and settings come to give other documents


def documents_key(settings: DocumentSettings) -> str:
    """Return the key of all documents made with these settings. Where files lie does not bear on it, their content
    does.

    Raises InputError when a list or robots.txt capture that the settings name is missing.
    """
    return hash_of("documents", DOCUMENTS_STAGE_VERSION, settings.identity(), given_files_hash(settings))


def process_unit(
    unit: WorkUnit,
    settings: DocumentSettings,
    folder: Path,
    fetched: Fetched | None = None,
    on_record: Callable[[int], object] = lambda number: None,
    poison: Poison = Poison(),  # noqa: B008 (frozen)
) -> UnitReport:
    """Read one unit into `folder`; a unit that is done returns its stored report at once.

    `fetched` is what a Fetcher brought of it; a local file needs none. `on_record` is called before each record
    with twice its number, and once more when it was read; those of `poison` are passed over. A
    file that cannot be read is a report of status failed and costs this unit only.
    Raises InputError when there is no language identifier, or when not even the report can be written.
    """
    report = _done(unit, folder)
    if report is None:
        identify = load_identifier(settings)
        folder.mkdir(parents=True, exist_ok=True)
        fetched = fetched or Fetched(unit.path)
        report = _next_reader(unit, folder, fetched).run(fetched, settings, identify, folder, on_record, poison)
        write_report(folder, report)
    return report


def process_units(
    units: Sequence[WorkUnit],
    settings: DocumentSettings,
    workspace: Workspace,
    workers: int | None,
    on_report: Callable[[UnitReport], None],
    fetch: FetchSettings = FetchSettings(),  # noqa: B008 (frozen)
) -> list[UnitReport]:
    """Process units in `workers` processes (None: one a core), calling `on_report` here as each ends.

    Remote units are fetched here, a few ahead of the workers, and removed when they are read. What is whole in the
    workspace's bucket is downloaded, and what is read goes there. Returns the reports in the units' order. A unit whose
    worker process is killed is read again by another; one that has taken three with it, or could not be fetched, is
    reported failed and tried again by the next call. Raises InputError as process_unit does, and where the bucket
    cannot be used.
    """
    load_what_is_given(settings)
    folder = workspace.documents(documents_key(settings))
    folder.mkdir(parents=True, exist_ok=True)
    of_unit: dict[str, list[WorkUnit]] = {}  # two sources may name one file
    for unit in units:
        of_unit.setdefault(unit.unit_id, []).append(unit)
    reports: dict[str, UnitReport] = {}

    def ended(report: UnitReport) -> None:
        reports[report.unit_id] = report
        for unit in of_unit[report.unit_id]:
            on_report(_as_of(unit, report))

    # Two flows that fetch would ask for the same, over twice as many connections as a server was promised.
    with workspace.lock("fetching") if any(map(needs_fetching, units)) else nullcontext():
        take_over_deny_list(workspace)
        fetch_units(folder, of_unit, workspace)
        waiting = []
        for same in of_unit.values():
            if report := _done(same[0], folder):
                ended(report)
            else:
                waiting.append(same[0])
        share_units(folder, reports, workspace, units_in_bucket(folder, workspace))
        earlier = earlier_documents([unit.unit_id for unit in waiting], settings, documents_key, workspace)
        for known in (earlier, {}) if earlier else ({},):  # what cannot be made of earlier documents is read whole
            fetcher = FetcherOfAdded(fetch, workspace, settings, known)
            read = run_in_workers(waiting, settings, folder, workers or os.cpu_count() or 1, fetcher)
            waiting = list(_read_again(read, known, folder, workspace, ended))
    return [_as_of(unit, reports[unit.unit_id]) for unit in units]


def _read_again(
    read: Iterable[tuple[WorkUnit, UnitReport | NotRead]],
    known: Mapping[str, Earlier],
    folder: Path,
    workspace: Workspace,
    ended: Callable[[UnitReport], None],
) -> Iterator[WorkUnit]:
    """Share and report what was read; yield the units that could not be made of earlier documents."""
    for unit, result in read:
        if unit.unit_id in known and (why := why_not_read(result)):
            logger.info("%s: read whole for the added languages (%s)", unit.path, why)
            yield unit
            continue
        report = record_failure(unit, str(result), folder) if isinstance(result, NotRead) else result
        share_units(folder, [unit.unit_id], workspace)
        ended(report)


def load_what_is_given(settings: DocumentSettings) -> None:
    """Load once, before children would each fetch the identifier, or fail over it, a model or a list.

    Raises InputError where one cannot be had.
    """
    load_quality_model(settings)
    refuse_unknown_languages(settings)
    refuse_missing_extractor(settings.extraction)
    for given in (block_list, opted_out_hosts, robots_rules):
        given(settings)


def why_not_read(result: UnitReport | NotRead) -> str | None:
    """Return why a unit was not read; None where it was."""
    return str(result) if isinstance(result, NotRead) else result.error


def record_failure(unit: WorkUnit, error: str, folder: Path) -> UnitReport:
    """Store and return the report of a unit that could not be read at all."""
    report = _next_reader(unit, folder, Fetched(unit.path)).tally.failed(error)
    write_report(folder, report)
    return report


def _done(unit: WorkUnit, folder: Path) -> UnitReport | None:
    report = read_report(folder, unit.unit_id)
    return _as_of(unit, report) if report is not None and is_unit_done(folder, report) else None


def _next_reader(unit: WorkUnit, folder: Path, fetched: Fetched) -> UnitReader:
    before = read_report(folder, unit.unit_id)
    kind = UnitReader if fetched.earlier is None else ReaderOfAdded
    return kind(unit, 1 + (before.attempts if before is not None else 0))


def _as_of(unit: WorkUnit, report: UnitReport) -> UnitReport:
    """Return the report of a file, under the source and path by which this unit knows it."""
    return report.model_copy(update={"source": unit.source, "path": unit.path})
