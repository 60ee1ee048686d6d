"""Opens DuckDB so that it fetches no extension and prints no progress bar: in stdout it would stand amid our rows."""

import duckdb

OFFLINE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


def connect_quietly(path: str = ":memory:", *, read_only: bool = False, **settings: str) -> duckdb.DuckDBPyConnection:
    """Open a database, as duckdb.connect does and with its errors. settings: more of DuckDB's, by name."""
    connection = duckdb.connect(path, read_only=read_only, config=OFFLINE | settings)
    connection.execute("SET enable_progress_bar = false")
    return connection
