"""Result of processing a work unit: the ledger's entry, and the manifest of its documents file."""

from pathlib import Path
from typing import Literal, NotRequired

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import TypedDict  # pydantic does not take typing's before Python 3.12

from storage.errors import InputError
from storage.files import write_atomically


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
