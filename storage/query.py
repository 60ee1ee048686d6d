"""SQL over the published catalog: rows for the program, a relation to show, JSON, CSV or Parquet for other programs.

`find_run` finds a run by its id or name.

Files are written as the rows come, so that memory does not grow with them.
"""

import csv
import io
import json
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import duckdb

from storage.catalog import connect, damaged
from storage.errors import InputError
from storage.kept_results import KeptResults
from storage.locations import at_home
from storage.python_values import for_python, quoted, unique
from storage.workspace import Workspace

Asked = Workspace | KeptResults  # what a statement is put to


@dataclass(frozen=True)
class Result:
    """Column names and rows of a query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def as_dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def query(workspace: Asked, sql: str, parameters: list[Any] | dict[str, Any] | None = None) -> Result:
    """Run one statement on the published catalog, read-only, or on kept results.

    Raises:
        InputError: no catalog yet, no or several statements, or DuckDB refuses the statement (in its own words).
    """
    with _one_statement(workspace, sql) as (connection, sql):
        cursor = connection.execute(sql, parameters or [])
        return Result(unique([column[0] for column in cursor.description or []]), cursor.fetchall())


@contextmanager
def cursor(workspace: Asked, sql: str) -> Iterator[tuple[list[str], duckdb.DuckDBPyConnection]]:
    """Yield the names of the columns, and what gives the rows of one statement as they are fetched.

    Raises InputError as `query` does, for what is fetched in the block too.
    """
    with _one_statement(workspace, sql) as (connection, sql):
        asked = connection.execute(for_python(connection, sql))
        yield unique([column[0] for column in asked.description or []]), asked


@contextmanager
def relation(workspace: Asked, sql: str) -> Iterator[duckdb.DuckDBPyRelation]:
    """Open one statement on the published catalog, read-only, as a relation that is run when rows are asked of it.

    Its column names are made unique. Raises InputError as `query` does, for what is done with it in the block too.
    """
    with _one_statement(workspace, sql) as (connection, sql):
        asked = connection.sql(sql)
        names = unique(asked.columns)
        yield asked.project(", ".join(f"#{place} AS {quoted(name)}" for place, name in enumerate(names, 1)))


def _refusal(workspace: Asked, error: duckdb.Error) -> str:
    said = str(error).strip()
    # A page of the catalog does not fit its checksum, or is behind the file's end.
    if isinstance(workspace, Workspace) and ("orrupt" in said or str(workspace.catalog) in said):
        return damaged(workspace, error)
    if isinstance(error, duckdb.ProgrammingError):  # with the place in the statement marked below it
        return f"DuckDB refused the query: {said}"
    if absent := _NO_FILES.search(said):
        return _no_files(absent[1])
    if elsewhere := _ELSEWHERE.search(said):
        return f"{elsewhere[1]} is not on this machine, whose files alone a query reads: copy them here, and name those"
    said = f"DuckDB cannot answer the query: {' '.join(said.split())}"
    of_files = any(word in said.lower() for word in ("parquet", "thrift", "tprotocol"))
    return f"{said}: `nr verify` names the files that are damaged, and what to do with each" if of_files else said


# Of a pattern: the folder that a macro of views.sql was given, and where the files lie in it.
_NO_FILES = re.compile(r'No files found that match the pattern "(.*)"', re.DOTALL)
_ELSEWHERE = re.compile(r"File (.*) requires the extension httpfs", re.DOTALL)
_OF_A_WORKSPACE = re.compile(r"(.*)/((?:documents|corpora|selections)/\*/.*)", re.DOTALL)


def _no_files(pattern: str) -> str:
    asked = _OF_A_WORKSPACE.fullmatch(pattern)
    if asked is None:
        return f"no file matches {pattern} (from {Path.cwd()}): correct the path in the query"
    if not (at_home(asked[1]) / "workspace.json").is_file():
        return (
            f"the query reads {asked[2]} of {asked[1]!r}, which is no workspace (from {Path.cwd()}): put the path of "
            "one between the quotes"
        )
    return f"workspace {asked[1]} holds no {asked[2]} yet: `nr refresh CONFIG` writes them, where there is any"


@contextmanager
def _one_statement(workspace: Asked, sql: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    with connect(workspace) if isinstance(workspace, Workspace) else workspace.connect() as connection:
        if any("\ud800" <= letter <= "\udfff" for letter in sql):  # as Python reads an argument's other bytes
            raise InputError(f"the statement is no text in UTF-8: {sql!a}; write it anew")
        try:
            if len(connection.extract_statements(sql)) != 1:
                raise InputError("give one SQL statement, for example: from learning_vs_forgetting")
            yield connection, _without_end(sql)
        except duckdb.Error as error:
            raise InputError(_refusal(workspace, error)) from error


def _without_end(sql: str) -> str:
    """Return a statement without its semicolon and comments behind it, at which DuckDB's relations break."""
    text = sql.encode()
    end = len(text)
    for place, kind in reversed(duckdb.tokenize(sql)):
        if kind != duckdb.token_type.comment and text[place : place + 1] != b";":
            break
        end = place
    return text[:end].decode()


ROWS_AT_A_TIME = 1000


def write_json(workspace: Asked, sql: str, out: BinaryIO) -> None:
    """Write one array with an object a row. What JSON has no number for (NaN, infinities) is null, and so is a date
    without end; a DECIMAL keeps its digits, dates and times are ISO 8601, binary is hexadecimal."""
    with cursor(workspace, sql) as (columns, found):
        names = [json.dumps(name, ensure_ascii=False) for name in columns]
        separator = "[\n"
        for row in _rows(found):
            fields = ", ".join(f"{name}: {json_text(value)}" for name, value in zip(names, row, strict=True))
            out.write(f"{separator} {{{fields}}}".encode())
            separator = ",\n"
        out.write(b"[]\n" if separator == "[\n" else b"\n]\n")


def write_csv(workspace: Asked, sql: str, out: BinaryIO) -> None:
    """Write a line of names, then one a row. A list or struct is JSON, NULL is empty, dates and binary as in JSON."""
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    try:
        with cursor(workspace, sql) as (columns, found):
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([_cell(value) for value in row] for row in _rows(found))
    finally:
        text.detach()


def write_parquet(workspace: Asked, sql: str, out: BinaryIO) -> None:
    """Write one Parquet file by DuckDB, with its types."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.parquet")
        with relation(workspace, sql) as found:
            found.to_parquet(str(file), compression="zstd")
        with file.open("rb") as stream:
            shutil.copyfileobj(stream, out)


WRITERS: dict[str, Callable[[Asked, str, BinaryIO], None]] = {
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
    text = name if isinstance(name, str) else json_text(name)
    return text if isinstance(name, str) or not text.startswith('"') else str(json.loads(text))


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


RUNS_BY = """SELECT run_id, coalesce(name, method), seed FROM runs
WHERE CASE WHEN EXISTS (FROM runs WHERE run_id = $run) THEN run_id = $run
      ELSE starts_with(run_id, $run) OR coalesce(name, method) = $run END
QUALIFY status = 'done' OR count(*) FILTER (status = 'done') OVER () = 0 ORDER BY 2, 3, 1"""
SHOWN_RUNS = 8


def find_run(workspace: Workspace, run: str) -> str:
    """Return the id of a run by its id, the first letters of its id, or its name; of several those that are done count.

    Raises:
        InputError: there is none, or there are several, which the sentence lists.
    """
    found = query(workspace, RUNS_BY, {"run": run}).rows
    if len(found) == 1:
        return str(found[0][0])
    if not found:
        raise InputError(
            f"no run of {workspace.root} has the name {run!r} or an id that begins so; `nr results` lists them"
        )
    shown = ", ".join(f"{run_id} ({name} seed {seed})" for run_id, name, seed in found[:SHOWN_RUNS])
    more = f" and {len(found) - SHOWN_RUNS} more" if len(found) > SHOWN_RUNS else ""
    raise InputError(
        f"{len(found)} runs of {workspace.root} have the name {run!r} or an id that begins so: {shown}{more}; "
        "give the first letters of one id"
    )
