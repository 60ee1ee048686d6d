"""Rows of a query for programs: JSON, CSV or Parquet, written as they come, so that memory does not grow with them."""

import csv
import io
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

from storage.query import cursor, relation
from storage.workspace import Workspace

ROWS_AT_A_TIME = 1000


def write_json(workspace: Workspace, sql: str, out: BinaryIO) -> None:
    """Write one array with an object a row. What JSON has no number for (NaN, infinities) is null; a DECIMAL keeps its
    digits, dates and times are ISO 8601, binary is hexadecimal."""
    with cursor(workspace, sql) as (columns, found):
        names = [json.dumps(name, ensure_ascii=False) for name in columns]
        separator = "[\n"
        for row in _rows(found):
            fields = ", ".join(f"{name}: {json_text(value)}" for name, value in zip(names, row, strict=True))
            out.write(f"{separator} {{{fields}}}".encode())
            separator = ",\n"
        out.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def write_csv(workspace: Workspace, sql: str, out: BinaryIO) -> None:
    """Write a line of names, then one a row. A list or struct is JSON, NULL is empty, dates and binary as in JSON."""
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    try:
        with cursor(workspace, sql) as (columns, found):
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_cell(value) for value in row] for row in _rows(found))
    finally:
        text.detach()


def write_parquet(workspace: Workspace, sql: str, out: BinaryIO) -> None:
    """Write one Parquet file by DuckDB, with its types."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.parquet")
        with relation(workspace, sql) as found:
            found.to_parquet(str(file), compression="zstd")
        with file.open("rb") as stream:
            shutil.copyfileobj(stream, out)


WRITERS: dict[str, Callable[[Workspace, str, BinaryIO], None]] = {
    "json": write_json,
    "csv": write_csv,
    "parquet": write_parquet,
}


def json_text(value: Any) -> str:
    """Return a value of DuckDB's as JSON, nested ones too."""
    match value:
        case float():
            return json.dumps(value) if math.isfinite(value) else "null"
        case Decimal():
            return format(value, "f") if value.is_finite() else "null"
        case dict():
            fields = (f"{json.dumps(_key(name), ensure_ascii=False)}: {json_text(v)}" for name, v in value.items())
            return f"{{{', '.join(fields)}}}"
        case list() | tuple():
            return f"[{', '.join(map(json_text, value))}]"
        case bytes() | bytearray() | memoryview():
            return json.dumps(bytes(value).hex())
        case datetime() | date() | time():
            return json.dumps(value.isoformat())
        case None | bool() | int() | str():
            return json.dumps(value, ensure_ascii=False)
        case _:  # UUID, interval
            return json.dumps(str(value), ensure_ascii=False)


def _key(name: Any) -> str:
    return name if isinstance(name, str) else json_text(name)


def _cell(value: Any) -> Any:
    match value:
        case bool() | dict() | list() | tuple():
            return json_text(value)
        case None | str() | int() | float():
            return value
        case Decimal():
            return format(value, "f")
        case _:
            return json.loads(json_text(value))


def _rows(found: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while rows := found.fetchmany(ROWS_AT_A_TIME):
        yield from rows
