"""Record files: small Parquet files, one a scope, from which the catalog is made. They are the truth, it is a copy."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.atomic import write_atomically
from storage.record_formats import METADATA_KEY, NO_PARQUET, RECORD_FORMAT, refuse_damaged
from storage.workspace import Workspace


def record_file(workspace: Workspace, table: str, scope: str) -> Path:
    return workspace.records(table) / f"{scope}.parquet"


def read_records(workspace: Workspace, table: str, scope: str) -> list[dict[str, Any]]:
    """The rows that were last recorded of a scope; none where nothing was.

    Raises:
        DamagedFile: its file cannot be read.
    """
    path = record_file(workspace, table, scope)
    try:
        return pq.ParquetFile(path).read().to_pylist()
    except FileNotFoundError:
        return []
    except NO_PARQUET as error:
        refuse_damaged(path, error)
        raise


def last_move(workspace: Workspace, corpus: str) -> str | None:
    """Return the version that the last recorded move of a corpus brought into use."""
    scopes = (path.stem for path in workspace.records("corpus_moves").glob(f"{corpus}-*.parquet"))
    rows = (row for scope in scopes for row in read_records(workspace, "corpus_moves", scope))
    moves = [(row["moved"], str(row["version"])) for row in rows if row["corpus"] == corpus]
    return max(moves)[1] if moves else None


def write_records(workspace: Workspace, table: str, scope: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the record file of `scope` (a unit, a corpus version, a run) in `table` by these rows.

    Column names are those of schema.sql; the file carries its format in its metadata. Nothing is written
    when the file holds the same already, so that a repeated step leaves the catalog alone; no rows, no file.
    """
    path = record_file(workspace, table, scope)
    if not rows:
        path.unlink(missing_ok=True)
        return
    columns = pa.Table.from_pylist([dict(row) for row in rows])
    columns = columns.replace_schema_metadata({METADATA_KEY: str(RECORD_FORMAT)})
    buffer = io.BytesIO()
    pq.write_table(columns, buffer, compression="zstd")
    if not path.exists() or path.read_bytes() != buffer.getvalue():
        write_atomically(path, buffer.getvalue())
