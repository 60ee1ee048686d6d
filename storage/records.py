"""Record files: small Parquet files, one a scope, from which the catalog is made. They are the truth, it is a copy."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.atomic import write_atomically
from storage.record_formats import METADATA_KEY, RECORD_FORMAT
from storage.workspace import Workspace


def write_records(workspace: Workspace, table: str, scope: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace the record file of `scope` (a unit, a corpus version, a run) in `table` by these rows.

    Column names are those of schema.sql; the file carries its format in its metadata. Nothing is written
    when the file holds the same already, so that a repeated step leaves the catalog alone; no rows, no file.
    """
    path = workspace.records(table) / f"{scope}.parquet"
    if not rows:
        path.unlink(missing_ok=True)
        return
    columns = pa.Table.from_pylist([dict(row) for row in rows])
    columns = columns.replace_schema_metadata({METADATA_KEY: str(RECORD_FORMAT)})
    buffer = io.BytesIO()
    pq.write_table(columns, buffer, compression="zstd")
    if not path.exists() or path.read_bytes() != buffer.getvalue():
        write_atomically(path, buffer.getvalue())
