"""Record files: small Parquet files, one a scope, from which the catalog is made. They are the truth, it is a copy.

Their format is versioned: a file of an earlier format is converted as it is read, and never rewritten.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from storage.errors import InputError
from storage.files import DamagedFile, write_atomically
from storage.workspace import Workspace

RECORD_FORMAT = 2  # raise it when a converter is added
METADATA_KEY = b"neutral_residues_format"
NO_PARQUET = (pa.ArrowException, OSError, ValueError)  # what reading a torn file raises

# (table, format) -> a query over `records`, rows of that format, that gives rows of the next one.
CONVERTERS = {
    # Perplexity is recorded from format 2 on.
    ("evaluations", 1): """FROM records UNION ALL BY NAME
        SELECT * REPLACE ('perplexity' AS metric, exp(least(value, 700)) AS value,
                          exp(least(value, 700)) * stderr AS stderr)
        FROM records WHERE metric = 'nats_per_token'""",
}


def format_of(path: Path) -> int:
    """Return the format that a record file was written in.

    Raises:
        InputError: a newer one than this program knows.
        DamagedFile: it is no Parquet file.
    """
    try:
        written = int((pq.read_schema(path).metadata or {}).get(METADATA_KEY, b"1"))
    except NO_PARQUET as error:
        refuse_damaged(path, error)
        raise
    if written > RECORD_FORMAT:
        raise InputError(
            f"{path} is a record file of format {written}, and this neutral-residues reads up to {RECORD_FORMAT}: "
            "upgrade neutral-residues"
        )
    return written


def refuse_damaged(path: Path, error: Exception) -> None:
    """Raise DamagedFile for what Arrow says of a record file's content; what the system says of it is no damage."""
    if getattr(error, "errno", None) is not None:
        return
    said = str(error).splitlines()[0] if path.stat().st_size else "empty"
    raise DamagedFile(
        f"{path} is damaged ({said}): delete it; the command of nr that made what it tells of (refresh, run, evaluate) "
        "records it anew"
    ) from error


def refuse_torn(paths: Iterable[str]) -> None:
    """Raise DamagedFile for the first record file that cannot be read to its end."""
    for path in map(Path, paths):
        try:
            pq.ParquetFile(path).read()
        except NO_PARQUET as error:
            refuse_damaged(path, error)


def by_format(paths: Iterable[Path]) -> dict[int, list[str]]:
    grouped: dict[int, list[str]] = {}
    for path in paths:
        grouped.setdefault(format_of(path), []).append(str(path))
    return grouped


def reading(table: str, written: int) -> str:
    """Return a query with one parameter, the list of record files of that format, that gives rows of the present
    one.
    """
    query = "FROM read_parquet(?, union_by_name = true)"
    for step in range(written, RECORD_FORMAT):
        if (table, step) in CONVERTERS:
            query = f"WITH records AS ({query}) {CONVERTERS[table, step]}"
    return query


def record_file(workspace: Workspace, table: str, scope: str) -> Path:
    return workspace.records(table) / f"{scope}.parquet"


def read_records(workspace: Workspace, table: str, scope: str) -> list[dict[str, Any]]:
    """Return the rows that were last recorded of a scope; none where nothing was.

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
