"""Work units read one after the other, for a task on a cluster's worker.

In one child process: Dask and Ray give up a worker that dies, and the task with it, after a few tries. What a record
does to the child costs that record (pool.py).
"""

from collections.abc import Callable, Sequence

from pipelines.denylist import take_over_deny_list
from pipelines.documents.added_languages import FetcherOfAdded, earlier_documents
from pipelines.documents.shared_units import fetch_units, share_units
from pipelines.documents.stage import documents_key, load_what_is_given, record_failure, why_not_read
from pipelines.settings import DocumentSettings, FetchSettings
from pipelines.sources.fetch_unit import Fetched, Fetcher, needs_fetching
from pipelines.sources.urls import redacted_text
from pipelines.sources.work_units import UnitReport, WorkUnit, is_unit_done, read_report
from pipelines.workers.pool import NotRead, one_worker
from storage.errors import InputError
from storage.workspace import Workspace


def process_units_here(
    units: Sequence[WorkUnit], settings: DocumentSettings, workspace: Workspace, fetch: FetchSettings
) -> list[UnitReport]:
    """Read units one after the other; the reports come in their order. A unit that fails costs no other.

    The workspace lies on a disk that all workers share, or has a bucket that takes what they read. On a shared disk
    fetching takes turns over all of them: a server was promised so many connections, from whatever machine. Raises
    InputError where the language identifier or a list cannot be had.
    """
    load_what_is_given(settings)
    folder = workspace.documents(documents_key(settings))
    folder.mkdir(parents=True, exist_ok=True)
    take_over_deny_list(workspace)
    unit_ids = [unit.unit_id for unit in units]
    fetch_units(folder, unit_ids, workspace)
    new = [unit_id for unit_id in unit_ids if not is_unit_done(folder, read_report(folder, unit_id))]
    earlier = earlier_documents(new, settings, documents_key, workspace)
    some, all_of_it = (FetcherOfAdded(fetch, workspace, settings, known) for known in (earlier, {}))
    reports = []
    with one_worker(settings, folder) as read:
        for unit in units:
            result = _process(unit, read, workspace, some)
            if unit.unit_id in earlier and why_not_read(result):
                result = _process(unit, read, workspace, all_of_it)
            reports.append(record_failure(unit, str(result), folder) if isinstance(result, NotRead) else result)
            share_units(folder, [unit.unit_id], workspace)
    return reports


def _process(
    unit: WorkUnit,
    read: Callable[[WorkUnit, Fetched], UnitReport | NotRead],
    workspace: Workspace,
    fetcher: Fetcher,
) -> UnitReport | NotRead:
    if not needs_fetching(unit):
        return read(unit, fetcher.fetch(unit))
    try:
        with workspace.lock("fetching"):
            fetched = fetcher.fetch(unit)
    except (InputError, OSError) as error:
        return NotRead(redacted_text(str(error)))
    result = read(unit, fetched)
    if not isinstance(result, NotRead):  # else what came of it is of use to the next attempt
        fetcher.discard(unit)
    return result
