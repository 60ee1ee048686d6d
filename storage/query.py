"""SQL over the published catalog, as a table for people or as JSON and CSV for programs."""

import csv
import io
import json
from dataclasses import dataclass
from typing import Any

import duckdb

from storage.catalog import connect
from storage.errors import InputError
from storage.workspace import Workspace


@dataclass(frozen=True)
class Result:
    """Column names and rows of a query."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def as_dicts(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def as_json(self) -> str:
        return json.dumps(self.as_dicts(), indent=1, default=str, ensure_ascii=False)

    def as_csv(self) -> str:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return buffer.getvalue()


def query(workspace: Workspace, sql: str, parameters: list[Any] | dict[str, Any] | None = None) -> Result:
    """Run one statement on the published catalog, read-only.

    Raises:
        InputError: no catalog yet, no or several statements, or DuckDB refuses the statement (in its own words).
    """
    with connect(workspace) as connection:
        try:
            if len(connection.extract_statements(sql)) != 1:
                raise InputError("give one SQL statement, for example: from learning_vs_forgetting")
            cursor = connection.execute(sql, parameters or [])
            columns = [column[0] for column in cursor.description or []]
            return Result(columns, cursor.fetchall())
        except duckdb.Error as error:
            raise InputError(f"DuckDB refused the query: {error}") from error
