"""Documents of units in the workspace's bucket: uploaded when they were read, downloaded where another machine did."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.denylist import hosts_taken_down
from pipelines.sources.work_units import (
    UnitReport,
    documents_file,
    is_unit_done,
    read_report,
    report_file,
    write_report,
)
from storage.workspace import Workspace

_SIDE_BY_SIDE = 8  # requests


def units_in_bucket(folder: Path, workspace: Workspace) -> set[str]:
    """Return the ids of the units whose documents, by the settings of this folder, are whole in the bucket."""
    names = workspace.bucket.names(folder) if workspace.bucket else []
    return {name.removesuffix(".json") for name in names if name.endswith(".json")}


def share_units(folder: Path, unit_ids: Iterable[str], workspace: Workspace, shared: Iterable[str] = ()) -> None:
    """Upload the documents of units, the report last; `shared` ones are known to be there.

    Documents with pages of a host that was taken down stay here: another machine reads the crawl for them.
    """
    bucket = workspace.bucket
    if bucket is None:
        return

    def share(unit_id: str) -> None:
        file = documents_file(folder, unit_id)
        if is_unit_done(folder, read_report(folder, unit_id)) and not hosts_taken_down([file], workspace):
            bucket.upload([file], report_file(folder, unit_id))

    known = set(shared)
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
        list(threads.map(share, (unit_id for unit_id in unit_ids if unit_id not in known)))


def fetch_units(folder: Path, unit_ids: Iterable[str], workspace: Workspace) -> None:
    """Download the documents of those units that are whole in the bucket and not here."""
    bucket = workspace.bucket
    missing = [unit_id for unit_id in unit_ids if not is_unit_done(folder, read_report(folder, unit_id))]
    if bucket is None or not missing:
        return
    shared = units_in_bucket(folder, workspace)

    def fetch(unit_id: str) -> None:
        content = bucket.read(report_file(folder, unit_id))
        if content is not None:
            report = UnitReport.model_validate_json(content)
            if bucket.download({documents_file(folder, unit_id): (report.file_bytes, report.file_sha256)}):
                write_report(folder, report)

    with ThreadPoolExecutor(_SIDE_BY_SIDE) as threads:
        list(threads.map(fetch, (unit_id for unit_id in missing if unit_id in shared)))
