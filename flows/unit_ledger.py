"""Which work units a refresh has still to read: one look at the ledger, whatever their number."""

from collections.abc import Iterable

from pipelines.unit_report import is_unit_done, read_report
from pipelines.work_units import WorkUnit
from storage.query import query
from storage.workspace import Workspace

RECORDED = "SELECT unit_id, path FROM work_units WHERE documents_key = ? AND status = 'done'"


def waiting_units(units: Iterable[WorkUnit], documents_key: str, workspace: Workspace) -> list[WorkUnit]:
    """Units that are not done, or whose outcome is not in the catalog: a flow was killed between the two."""
    folder = workspace.documents(documents_key)
    recorded = set(query(workspace, RECORDED, [documents_key]).rows) if workspace.catalog.exists() else set()
    return [
        unit
        for unit in units
        if (unit.unit_id, unit.path) not in recorded or not is_unit_done(folder, read_report(folder, unit.unit_id))
    ]


def failed_units(units: Iterable[WorkUnit], documents_key: str, workspace: Workspace) -> list[WorkUnit]:
    """Units whose last attempt failed."""
    folder = workspace.documents(documents_key)
    reports = ((unit, read_report(folder, unit.unit_id)) for unit in units)
    return [unit for unit, report in reports if report is not None and report.status == "failed"]
