"""Tables in the terminal, in DuckDB's own box: rows and columns that do not fit are left out, with a word on it."""

import io
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from storage.duckdb_connection import connect_quietly
from storage.python_values import quoted
from storage.query import Asked, Result, json_text, relation

if TYPE_CHECKING:
    from flows.maintenance.inspect_pages import Inspected, Pair
    from flows.maintenance.published_version import Page

WIDE = 240  # into a pipe or a file, which have no width
ROWS = 40  # as DuckDB's own shell
COUNTED = 100_000  # rows, to say how many are left out: an upper bound, since a join may have any number
ALL_WIDTH, ALL_CELL = 1_000_000, 200  # of --all: no column is left out, and a cell is cut where a page's text begins
BLOCK = 10_000  # rows of a box of --all, so that memory does not grow with them
FLOATS = ("DOUBLE", "FLOAT")


def print_query(workspace: Asked, sql: str, whole: bool = False) -> None:
    """Run a query and print the first rows, as wide as the terminal; whole: all rows and columns."""
    with relation(workspace, sql) as found:
        if whole:
            _print_whole(found)
            return
        _print_box(found.limit(ROWS), ROWS, max_width=_width())
        [(rows,)] = found.limit(COUNTED + 1).count("*").fetchall()
        if rows > ROWS:
            count = f"more than {COUNTED:,}" if rows > COUNTED else f"{rows:,}"
            print(f"the first {ROWS} of {count} rows; --all shows the rest, --format json | csv | parquet gives it")


def print_table(result: Result, title: str | None = None) -> None:
    """Print rows that are at hand, all of them, as wide as the terminal."""
    if title:
        print(title)
    values = {name: _column([row[place] for row in result.rows]) for place, name in enumerate(result.columns)}
    with connect_quietly() as connection:
        _print_box(connection.from_arrow(pa.table(values)), max(len(result.rows), 1), max_width=_width())


def print_tables(tables: Iterable[tuple[str, Result]], as_json: bool) -> None:
    """Print tables one below the other; as_json: one array for programs, of objects with `title` and `rows`."""
    if not as_json:
        for title, result in tables:
            print_table(result, title)
        return
    print_json((title, result.as_dicts()) for title, result in tables)


def print_json(tables: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> None:
    """Print titles and rows as every command does with --json."""
    print(json_text([{"title": title, "rows": [dict(row) for row in rows]} for title, rows in tables]))


@contextmanager
def stdout_for_json(as_json: bool) -> Iterator[None]:
    """Send what is said on the way to stderr, where the answer alone is to stand in stdout."""
    with redirect_stdout(sys.stderr if as_json else sys.stdout):
        yield


def _column(values: list[Any]) -> pa.Array:
    try:
        # Of a column without values DuckDB would say that its kind is "null".
        return pa.array(values, pa.float64() if all(value is None for value in values) else None)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # numbers and words in one column
        return pa.array([None if value is None else str(value) for value in values])


def _print_whole(found: duckdb.DuckDBPyRelation) -> None:
    cut = [f"left(#{at}, {ALL_CELL + 1})" if kind == "VARCHAR" else f"#{at}" for at, kind in enumerate(found.types, 1)]
    cells = found.project(", ".join(f"{cell} AS {quoted(name)}" for cell, name in zip(cut, found.columns, strict=True)))
    with cells.fetch_record_batch(BLOCK) as reader, connect_quietly() as connection:
        empty = True
        for batch in reader:
            empty = False
            rows = connection.from_arrow(pa.Table.from_batches([batch]))
            _print_box(rows, BLOCK, max_width=ALL_WIDTH, max_col_width=ALL_CELL)
    if empty:
        _print_box(found, BLOCK, max_width=ALL_WIDTH)


def _print_box(rows: duckdb.DuckDBPyRelation, most: int, max_width: int, max_col_width: int | None = None) -> None:
    """Print rows in DuckDB's box, fractions to four significant digits."""
    shown = [
        f"format('{{:.4g}}', #{at})::{kind} AS {quoted(name)}" if str(kind) in FLOATS else f"#{at} AS {quoted(name)}"
        for at, (name, kind) in enumerate(zip(rows.columns, rows.types, strict=True), 1)
    ]
    box = io.StringIO()
    with redirect_stdout(box):
        rows.project(", ".join(shown)).show(max_width=max_width, max_rows=most, max_col_width=max_col_width)
    print(for_terminal(box.getvalue().rstrip()))


def _width() -> int:
    return shutil.get_terminal_size((WIDE, ROWS)).columns


def print_pairs(pairs: Sequence["Pair"], reason: str, characters: int) -> None:
    """Print pages that left beside pages that stayed, each text cut to so many characters."""
    console = Console(width=None if sys.stdout.isatty() else WIDE // 2)
    for pair in pairs:
        table = Table(show_lines=True, expand=True, caption=_cell(pair.note) or None)
        table.add_column(f"left: {escape(reason)}", ratio=1, overflow="fold")
        table.add_column("kept", ratio=1, overflow="fold")
        pages = [pair.left, pair.kept]
        table.add_row(*(_cell(f"{page.url}\n{page.title}") if page else "" for page in pages))
        table.add_row(*(_cell(page.text[:characters]) or f"({page.no_text})" if page else "" for page in pages))
        console.print(table)


def print_document(found: "Inspected", characters: int) -> None:
    """Print what is known of a document, its verdicts, its record's headers if it was fetched, and its text."""
    console = Console(width=None if sys.stdout.isatty() else WIDE // 2)
    for name, value in found.fields.items():
        said = f"{value:.4g}" if isinstance(value, float) else str(value)
        console.print(f"[bold]{name}[/bold] {_cell(said)}", soft_wrap=True, highlight=False)
    for corpus, version, stage, reason in found.verdicts:
        console.print(f"[bold]in corpus {corpus}[/bold] {version}: {reason} ({stage})", soft_wrap=True, highlight=False)
    if found.record is not None:
        headers = [*found.record.warc_headers, ("", found.record.status_line), *found.record.http_headers]
        console.rule("record")
        for name, value in headers:
            console.print(_cell(f"{name}: {value}" if name else value), soft_wrap=True, highlight=False)
    console.rule(_cell(found.text_is))
    console.print(_cell(found.text[:characters]), soft_wrap=True, highlight=False)


def document_tables(found: "Inspected", characters: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield what print_document shows, with titles."""
    yield "document", [{**found.fields, "text": found.text[:characters], "text_is": found.text_is}]
    yield "verdicts", [dict(zip(("corpus", "version", "stage", "reason"), row, strict=True)) for row in found.verdicts]
    if found.record is not None:
        status = [("status", found.record.status_line)] if found.record.status_line else []
        yield "WARC headers", [{"name": name, "value": value} for name, value in found.record.warc_headers]
        yield "HTTP headers", [{"name": name, "value": value} for name, value in [*status, *found.record.http_headers]]


def pair_rows(pairs: Sequence["Pair"], characters: int) -> list[dict[str, Any]]:
    """Return what print_pairs shows: of each pair the page that left, the one that stayed, and a note."""

    def of(page: "Page") -> dict[str, Any]:
        return {**asdict(page), "text": page.text[:characters], "no_text": None if page.text else page.no_text}

    return [
        {"left": of(pair.left), "kept": of(pair.kept) if pair.kept else None, "note": pair.note or None}
        for pair in pairs
    ]


def _cell(text: str | None) -> str:
    return escape(for_terminal(text or ""))


def for_terminal(text: str) -> str:
    """Return text of a crawl or a model, which may carry a terminal's escapes, as a terminal can show it."""
    from pipelines.pages.characters import without_controls

    return without_controls(text, "\N{REPLACEMENT CHARACTER}")
