"""Formats of the record files, and how those of an earlier one are read: the files themselves are never rewritten."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from storage.damage import DamagedFile
from storage.errors import InputError

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
    """The format that a record file was written in.

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
