"""The DuckDB catalog: made from the record files, written in private, published by rename.

DuckDB lets one process in, and even an idle reader locks a writer out. So the flows write a private catalog and
publish a copy of it: whoever has the old one open keeps its inode and blocks nobody.
"""

import os
import re
import shutil
from pathlib import Path

import duckdb

from storage.errors import InputError
from storage.keys import hash_of
from storage.record_formats import by_format, reading
from storage.workspace import Workspace

# By this file's place, not the package's: a Dask worker has a folder `storage` of its own, first in sys.path.
SCHEMA = Path(__file__).with_name("schema.sql").read_text()
VIEWS = Path(__file__).with_name("views.sql").read_text()
TABLES = tuple(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", SCHEMA))
OFFLINE: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}

INGESTED = """CREATE TABLE IF NOT EXISTS ingested (
    table_name VARCHAR NOT NULL, file VARCHAR NOT NULL, modified_ns BIGINT, PRIMARY KEY (table_name, file));
COMMENT ON TABLE ingested IS 'Which record files this catalog holds.';
COMMENT ON COLUMN ingested.table_name IS 'table that the file''s rows went into';
COMMENT ON COLUMN ingested.file IS 'name in records/<table>/';
COMMENT ON COLUMN ingested.modified_ns IS 'modification time of the file when it was read, in ns since 1970';
CREATE TABLE IF NOT EXISTS catalog_format (definitions VARCHAR NOT NULL);
COMMENT ON TABLE catalog_format IS 'What this catalog was made with; another program version makes it anew.';
COMMENT ON COLUMN catalog_format.definitions IS 'hash of the table and view definitions';"""


def refresh_catalog(workspace: Workspace) -> None:
    """Bring the catalog up to the record files and publish it. Cheap when nothing is new."""
    with workspace.lock("catalog"):
        private = workspace.private_catalog
        private.parent.mkdir(parents=True, exist_ok=True)
        if not _has_current_definitions(private):
            _remove(private)
        unpublished = private.with_name("unpublished")  # stands while the private catalog is ahead of the published one
        with duckdb.connect(str(private), config=OFFLINE) as connection:
            changed = _ingest(connection, workspace, unpublished)
            if changed:
                connection.execute("CHECKPOINT")
        if changed or unpublished.exists() or not workspace.catalog.exists():
            _publish(private, workspace.catalog)
            unpublished.unlink(missing_ok=True)


def rebuild_catalog(workspace: Workspace) -> None:
    """Make the catalog anew from the record files."""
    with workspace.lock("catalog"):
        _remove(workspace.private_catalog)
    refresh_catalog(workspace)


def connect(workspace: Workspace) -> duckdb.DuckDBPyConnection:
    """Open the published catalog for reading (use as a context manager).

    Raises:
        InputError: nothing has been recorded in this workspace yet.
    """
    if not workspace.catalog.exists():
        raise InputError(
            f"workspace {workspace.root} has no catalog yet: run `nr run CONFIG` first, or give another --workspace"
        )
    try:
        return duckdb.connect(str(workspace.catalog), read_only=True, config=OFFLINE)
    except duckdb.IOException:
        # Somebody has it open for writing, which locks all others out: read a copy.
        copy = workspace.private_catalog.with_name(f"copy-{os.getpid()}.duckdb")
        shutil.copyfile(workspace.catalog, copy)
        connection = duckdb.connect(str(copy), read_only=True, config=OFFLINE)
        copy.unlink()  # the connection keeps the file for as long as it needs it
        return connection


def _has_current_definitions(private: Path) -> bool:
    if not private.exists():
        return False
    try:
        with duckdb.connect(str(private), config=OFFLINE) as connection:
            row = connection.execute("SELECT definitions FROM catalog_format").fetchone()
    except duckdb.Error:  # unreadable, or killed before its tables stood: the records are the truth
        return False
    return row == (hash_of(SCHEMA, VIEWS),)


def _ingest(connection: duckdb.DuckDBPyConnection, workspace: Workspace, unpublished: Path) -> bool:
    known_files = _make_tables(connection)
    changed = False
    for table in TABLES:
        present = {path.name: path.stat().st_mtime_ns for path in workspace.records(table).glob("[!.]*.parquet")}
        known = known_files.get(table, {})
        new = {name: modified for name, modified in present.items() if known.get(name) != modified}
        if not new and known.keys() <= present.keys():
            continue
        changed = True
        unpublished.touch()
        connection.execute("BEGIN")
        if any(name in known for name in new) or not known.keys() <= present.keys():
            # A file that was read before is different now: its old rows may no longer be in it.
            connection.execute(f"DELETE FROM {table}")  # noqa: S608 (a name out of our own schema)
            connection.execute("DELETE FROM ingested WHERE table_name = ?", [table])
            new = present
        paths = by_format(workspace.records(table) / name for name in sorted(new))
        for written, files_of_format in paths.items():
            connection.execute(
                f"INSERT OR REPLACE INTO {table} BY NAME {reading(table, written)}",
                [files_of_format],
            )
        if paths:
            connection.executemany(
                "INSERT OR REPLACE INTO ingested VALUES (?, ?, ?)",
                [(table, name, modified) for name, modified in new.items()],
            )
        connection.execute("COMMIT")
    return changed


def _make_tables(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Create all tables in a new catalog; return {table: {record file: modification time}} of what was read before."""
    if not connection.execute("FROM duckdb_tables() WHERE table_name = 'catalog_format'").fetchone():
        connection.execute("BEGIN")
        for definitions in (SCHEMA, VIEWS, INGESTED):
            connection.execute(definitions)
        connection.execute("INSERT INTO catalog_format VALUES (?)", [hash_of(SCHEMA, VIEWS)])
        connection.execute("COMMIT")
    known: dict[str, dict[str, int]] = {}
    for table, file, modified in connection.execute("FROM ingested").fetchall():
        known.setdefault(table, {})[file] = modified
    return known


def _remove(database: Path) -> None:
    database.unlink(missing_ok=True)
    Path(f"{database}.wal").unlink(missing_ok=True)


def _publish(private: Path, published: Path) -> None:
    partial = published.with_name(f".{published.name}.{os.getpid()}.partial")
    shutil.copyfile(private, partial)
    partial.replace(published)
