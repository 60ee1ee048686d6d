"""The rows of Parquet files: a damaged one costs itself where that can be, and none takes more memory than it may."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.memory_limit import new_memory_limited
from pipelines.sources.errors import ReadFailure
from pipelines.sources.text_rows import BYTES_OF_UTF8, URL, Row
from storage.errors import InputError

# Rows are read few at a time: where they share one entry of a dictionary, each of them comes with a copy of it.
_BATCH_ROWS, _MAX_BATCH_BYTES = 4, 400_000_000


def parquet_rows(path: Path, fields: Mapping[str, str | None], max_bytes: int) -> Iterator[Row]:
    """Yield rows with what `fields` names: text_field, and id_field, title_field and url_field as far as they are
    set.
    """
    try:
        with new_memory_limited(_MAX_BATCH_BYTES):
            file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} is not a Parquet file ({error}): take it out of the source's paths") from None
    with file:
        columns = _columns(path, file.schema_arrow, fields)
        for group in range(file.num_row_groups):
            done = 0
            try:
                for row in _rows_of_group(file, group, columns, str(fields["text_field"]), max_bytes):
                    done += 1
                    yield row
            except (pa.ArrowException, OSError, MemoryError) as error:
                lost = file.metadata.row_group(group).num_rows - done
                yield ReadFailure(0, f"{error}: {lost} rows of row group {group} are lost")


def _columns(path: Path, schema: pa.Schema, fields: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Return the way to each field's column: its name, or the names of a column and of the fields in it."""
    found: dict[str, list[str]] = {}
    missing = []
    for name in filter(None, fields.values()):
        way = [name] if name in schema.names else name.split(".")
        kind = schema
        for step in way:
            kind = kind.field(step).type if _has(kind, step) else None
        if kind is None:
            missing.append(name)
        else:
            found[name] = way
        if name == fields["text_field"] and kind is not None and not _is_text(kind):
            raise InputError(f"{path}: its column {name} holds {kind}, no text: set the source's text_field to another")
    if missing:
        raise InputError(f"{path} has no column {sorted(missing)}, only {schema.names}: set the source's field names")
    if not fields.get("url_field") and URL in schema.names:
        found[URL] = [URL]
    return found


def _has(kind: Any, name: str) -> bool:
    if isinstance(kind, pa.Schema):
        return name in kind.names
    return kind is not None and pa.types.is_struct(kind) and kind.get_field_index(name) >= 0


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in (*tests, pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view))


def _rows_of_group(
    file: pq.ParquetFile, group: int, columns: Mapping[str, Sequence[str]], text: str, max_bytes: int
) -> Iterator[Row]:
    wanted = sorted({way[0] for way in columns.values()})
    batches = file.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=wanted, use_threads=False)
    while True:
        with new_memory_limited(_MAX_BATCH_BYTES):
            batch = next(batches, None)
        if batch is None:
            return
        values = {name: _values(batch, way, max_bytes) for name, way in columns.items()}
        for number in range(batch.num_rows):
            row = {name: column[number] for name, column in values.items()}
            fault = row[text]
            yield (
                fault.reason
                if isinstance(fault, _Fault)
                else {name: None if isinstance(value, _Fault) else value for name, value in row.items()}
            )


@dataclass(frozen=True, slots=True)
class _Fault:
    """Stands in the place of a value that cannot be had."""

    reason: str


def _values(batch: pa.RecordBatch, way: Sequence[str], max_bytes: int) -> list[Any]:
    """Return the values of a column. Bytes of a string that are no UTF-8 cost that value, not the batch."""
    column = batch.column(way[0])
    for name in way[1:]:
        column = pc.struct_field(column, name)
    if not _is_text(column.type):
        return [_scalar(value) for value in column]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    column = column.cast(pa.large_binary())
    lengths = pc.binary_length(column).to_pylist()
    found: list[Any] = []
    for number, length in enumerate(lengths):
        if length is None:
            found.append(None)
        elif length > BYTES_OF_UTF8 * max_bytes:
            found.append(_Fault("oversize"))
        else:
            found.append(_decoded(column[number].as_py()))
    return found


def _decoded(value: bytes) -> str | _Fault:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return _Fault("unreadable")


def _scalar(value: Any) -> Any:
    try:
        return value.as_py()
    except (ValueError, pa.ArrowException):
        return None
