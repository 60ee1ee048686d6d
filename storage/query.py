"""SQL over the published catalog: rows for the program, a relation to show, and a cursor to write out."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb

from storage.catalog import connect, damaged
from storage.errors import InputError
from storage.workspace import Workspace


@dataclass(frozen=True)
class Result:
    """Column names and rows of a query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def as_dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def query(workspace: Workspace, sql: str, parameters: list[Any] | dict[str, Any] | None = None) -> Result:
    """Run one statement on the published catalog, read-only.

    Raises:
        InputError: no catalog yet, no or several statements, or DuckDB refuses the statement (in its own words).
    """
    with _one_statement(workspace, sql) as connection:
        cursor = connection.execute(sql, parameters or [])
        return Result(unique([column[0] for column in cursor.description or []]), cursor.fetchall())


@contextmanager
def cursor(workspace: Workspace, sql: str) -> Iterator[tuple[list[str], duckdb.DuckDBPyConnection]]:
    """Names of the columns, and what gives the rows of one statement as they are fetched.

    Raises InputError as `query` does, for what is fetched in the block too.
    """
    with _one_statement(workspace, sql) as connection:
        asked = connection.execute(sql)
        yield unique([column[0] for column in asked.description or []]), asked


@contextmanager
def relation(workspace: Workspace, sql: str) -> Iterator[duckdb.DuckDBPyRelation]:
    """Open one statement on the published catalog, read-only, as a relation that is run when rows are asked of it.

    Its column names are made unique. Raises InputError as `query` does, for what is done with it in the block too.
    """
    with _one_statement(workspace, sql) as connection:
        asked = connection.sql(sql)
        names = unique(asked.columns)
        yield asked.project(", ".join(f"#{place} AS {quoted(name)}" for place, name in enumerate(names, 1)))


def unique(names: list[str]) -> list[str]:
    """Tell columns of one name apart, in any case of letters, as DuckDB does: a, a_1."""
    taken = {name.lower() for name in names}
    seen: set[str] = set()
    told = []
    for name in names:
        number, own = 0, name
        while own.lower() in seen or (number and own.lower() in taken):
            number += 1
            own = f"{name}_{number}"
        seen.add(own.lower())
        told.append(own)
    return told


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _refusal(workspace: Workspace, error: duckdb.Error) -> str:
    said = str(error).strip()
    if "orrupt" in said:  # a page of the catalog does not fit its checksum
        return damaged(workspace, error)
    if isinstance(error, duckdb.ProgrammingError):  # with the place in the statement marked below it
        return f"DuckDB refused the query: {said}"
    said = f"DuckDB cannot answer the query: {' '.join(said.split())}"
    of_files = any(word in said.lower() for word in ("parquet", "thrift", "tprotocol"))
    return f"{said}: `nr verify` names the files that are damaged, and what to do with each" if of_files else said


@contextmanager
def _one_statement(workspace: Workspace, sql: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(workspace) as connection:
        try:
            if len(connection.extract_statements(sql)) != 1:
                raise InputError("give one SQL statement, for example: from learning_vs_forgetting")
            yield connection
        except duckdb.Error as error:
            raise InputError(_refusal(workspace, error)) from error
