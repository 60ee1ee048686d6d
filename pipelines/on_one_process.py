"""Work units read in this very process: for a cluster's workers, which may have no children of their own."""

from collections.abc import Sequence

from pipelines.bucket_units import fetch_units, share_units
from pipelines.documents import documents_key, process_unit, record_failure
from pipelines.settings import DocumentSettings, FetchSettings
from pipelines.sources.fetch_unit import Fetcher, needs_fetching
from pipelines.take_down import take_over_deny_list
from pipelines.unit_report import UnitReport
from pipelines.work_units import WorkUnit
from storage.errors import InputError
from storage.workspace import Workspace


def process_units_here(
    units: Sequence[WorkUnit], settings: DocumentSettings, workspace: Workspace, fetch: FetchSettings
) -> list[UnitReport]:
    """Read units one after the other; the reports come in their order. A unit that fails costs no other.

    The workspace lies on a disk that all workers share, or has a bucket that takes what they read. On a shared disk
    fetching takes turns over all of them: a server was promised so many connections, from whatever machine.
    """
    folder = workspace.documents(documents_key(settings))
    folder.mkdir(parents=True, exist_ok=True)
    fetcher = Fetcher(fetch, workspace)
    take_over_deny_list(workspace)
    fetch_units(folder, [unit.unit_id for unit in units], workspace)
    reports = []
    for unit in units:
        reports.append(_process(unit, settings, workspace, fetcher))
        share_units(folder, [unit.unit_id], workspace)
    return reports


def _process(unit: WorkUnit, settings: DocumentSettings, workspace: Workspace, fetcher: Fetcher) -> UnitReport:
    folder = workspace.documents(documents_key(settings))
    if not needs_fetching(unit):
        return process_unit(unit, settings, folder)
    try:
        with workspace.lock("fetching"):
            fetched = fetcher.fetch(unit)
    except (InputError, OSError) as error:
        return record_failure(unit, str(error), folder)
    report = process_unit(unit, settings, folder, fetched)
    fetcher.discard(unit)
    return report
