"""The DuckDB catalog: made from the record files, written in private, published by rename.

DuckDB lets one process in, and even an idle reader locks a writer out. So the flows write a private catalog and
publish a copy of it: whoever has the old one open keeps its inode and blocks nobody.
"""

import os
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

import duckdb

from storage.duckdb_connection import connect_quietly
from storage.errors import InputError, os_sentence
from storage.files import sync
from storage.keys import hash_of
from storage.records import by_format, reading, refuse_torn
from storage.workspace import Workspace

# By this file's place, not the package's: a Dask worker has a folder `storage` of its own, first in sys.path.
SCHEMA = Path(__file__).with_name("schema.sql").read_text()
VIEWS = Path(__file__).with_name("views.sql").read_text()
TABLES = tuple(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", SCHEMA))
INGESTED = """CREATE TABLE IF NOT EXISTS ingested (
    table_name VARCHAR NOT NULL, file VARCHAR NOT NULL, modified_ns BIGINT, PRIMARY KEY (table_name, file));
COMMENT ON TABLE ingested IS 'Which record files this catalog holds.';
COMMENT ON COLUMN ingested.table_name IS 'table that the file''s rows went into';
COMMENT ON COLUMN ingested.file IS 'name in records/<table>/';
COMMENT ON COLUMN ingested.modified_ns IS 'modification time of the file when it was read, in ns since 1970';
CREATE TABLE IF NOT EXISTS catalog_format (definitions VARCHAR NOT NULL);
COMMENT ON TABLE catalog_format IS 'What this catalog was made with; another program version makes it anew.';
COMMENT ON COLUMN catalog_format.definitions IS 'hash of the table and view definitions';"""


@cache
def columns_of(table: str) -> tuple[str, ...]:
    """Return the columns that schema.sql gives a table, in its order."""
    with connect_quietly() as connection:
        connection.execute(SCHEMA)
        return tuple(connection.table(table).columns)


def refresh_catalog(workspace: Workspace) -> None:
    """Bring the catalog up to the record files and publish it. Cheap when nothing is new."""
    with workspace.lock("catalog"):
        private = workspace.private_catalog
        private.parent.mkdir(parents=True, exist_ok=True)
        if not _has_current_definitions(private):
            _remove(private)
        try:
            _bring_up(private, workspace)
        except duckdb.Error:  # damaged where its first pages do not show it: the records are the truth
            _remove(private)
            _bring_up(private, workspace)
        unpublished = _unpublished(private)
        if unpublished.exists() or not _is_copy(workspace.catalog, private):
            _publish(private, workspace.catalog)
            unpublished.unlink(missing_ok=True)


def rebuild_catalog(workspace: Workspace) -> None:
    """Make the catalog anew from the record files, whatever state it is in."""
    with workspace.lock("catalog"):
        _remove(workspace.private_catalog)
        _unpublished(workspace.private_catalog).parent.mkdir(parents=True, exist_ok=True)
        _unpublished(workspace.private_catalog).touch()
    refresh_catalog(workspace)


def connect(workspace: Workspace) -> duckdb.DuckDBPyConnection:
    """Open the published catalog for reading (use as a context manager).

    Raises:
        InputError: nothing has been recorded in this workspace yet, or the catalog cannot be read.
    """
    if not workspace.catalog.exists():
        raise InputError(
            f"workspace {workspace.root} has no catalog yet: run `nr run CONFIG` first, or give another --workspace"
        )
    try:
        return connect_quietly(str(workspace.catalog), read_only=True)
    except duckdb.Error:
        # Somebody has it open for writing, which locks all others out, or had an earlier one open and left a log beside
        # it that does not belong to this one. A copy has neither.
        return _connect_to_copy(workspace)


def _connect_to_copy(workspace: Workspace) -> duckdb.DuckDBPyConnection:
    private = workspace.private_catalog.parent
    beside = private if os.access(private, os.W_OK) else None  # elsewhere where the workspace is only to be read
    with tempfile.TemporaryDirectory(prefix=".copy-", suffix=".partial", dir=beside) as folder:
        copy = Path(folder, "catalog.duckdb")
        try:
            shutil.copyfile(workspace.catalog, copy)
            # The connection keeps the file for as long as it needs it.
            return connect_quietly(str(copy), read_only=True)
        except duckdb.Error as error:
            raise InputError(damaged(workspace, error).replace(str(copy), str(workspace.catalog))) from error
        except OSError as error:
            raise InputError(f"the catalog cannot be read: {os_sentence(error)}") from error


def damaged(workspace: Workspace, error: duckdb.Error) -> str:
    """Return the sentence for a catalog that DuckDB cannot read."""
    said = str(error).splitlines()[0]
    return (
        f"the catalog {workspace.catalog} is damaged ({said}): `nr catalog rebuild --workspace {workspace.root}` makes "
        "it anew from the records"
    )


def _has_current_definitions(private: Path) -> bool:
    if not private.exists():
        return False
    try:
        with connect_quietly(str(private)) as connection:
            row = connection.execute("SELECT definitions FROM catalog_format").fetchone()
    except duckdb.Error:  # unreadable, or killed before its tables stood: the records are the truth
        return False
    return row == (hash_of(SCHEMA, VIEWS),)


def _unpublished(private: Path) -> Path:
    """Return the file that stands while the private catalog is ahead of the published one."""
    return private.with_name("unpublished")


def _bring_up(private: Path, workspace: Workspace) -> None:
    with connect_quietly(str(private)) as connection:
        if _ingest(connection, workspace, _unpublished(private)):
            connection.execute("CHECKPOINT")


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
            try:
                connection.execute(
                    f"INSERT OR REPLACE INTO {table} BY NAME {reading(table, written)}", [files_of_format]
                )
            except duckdb.Error:
                refuse_torn(files_of_format)
                connection.execute("ROLLBACK")
                _refuse_foreign(connection, table, written, files_of_format)
                raise
        if paths:
            connection.executemany(
                "INSERT OR REPLACE INTO ingested VALUES (?, ?, ?)",
                [(table, name, modified) for name, modified in new.items()],
            )
        connection.execute("COMMIT")
    return changed


def _refuse_foreign(connection: duckdb.DuckDBPyConnection, table: str, written: int, files: list[str]) -> None:
    """Raise InputError for the first file whose rows are none of the table."""
    for file in files:
        connection.execute("BEGIN")
        try:
            connection.execute(f"INSERT OR REPLACE INTO {table} BY NAME {reading(table, written)}", [[file]])
        except (duckdb.ProgrammingError, duckdb.DataError, duckdb.IntegrityError) as error:
            said = str(error).splitlines()[0]
            raise InputError(
                f"{file} holds no records of {table} ({said}): upgrade neutral-residues if a newer one wrote it, else "
                "move the file away"
            ) from error
        finally:
            connection.execute("ROLLBACK")


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
    log_beside(database).unlink(missing_ok=True)


def _is_copy(published: Path, private: Path) -> bool:
    """Tell whether what is published is whole, as far as its size shows, and no log of another lies beside it."""
    if not published.is_file() or log_beside(published).exists():
        return False
    return published.stat().st_size == private.stat().st_size


def _publish(private: Path, published: Path) -> None:
    for left in published.parent.glob(f".{published.name}.*.partial"):  # by who was killed: we hold the lock
        left.unlink()
    partial = published.with_name(f".{published.name}.{os.getpid()}.partial")
    try:
        shutil.copyfile(private, partial)
        sync(partial)
        # Written by whoever had the one before open for writing: beside another catalog it shuts all readers out.
        log_beside(published).unlink(missing_ok=True)
        partial.replace(published)
    finally:
        partial.unlink(missing_ok=True)
    sync(published.parent)


def log_beside(database: Path) -> Path:
    """Return where DuckDB keeps what was written since the last checkpoint."""
    return Path(f"{database}.wal")
