"""A query's result as a table in the terminal."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from storage.query import Result

if TYPE_CHECKING:
    from flows.inspect_pages import Pair

WIDE = 240


def print_table(result: Result, title: str | None = None) -> None:
    """Print a result, numbers to the right and to four significant digits."""
    table = Table(title=title, title_justify="left")
    numeric = [any(isinstance(row[i], int | float) for row in result.rows) for i in range(len(result.columns))]
    for name, is_number in zip(result.columns, numeric, strict=True):
        table.add_column(escape(name), justify="right" if is_number else "left", overflow="fold")
    for row in result.rows:
        table.add_row(*(_cell(value) for value in row))
    # Into a pipe or a file, a table is as wide as it needs to be.
    console = Console(width=None if sys.stdout.isatty() else WIDE)
    console.print(table)


def print_pairs(pairs: Sequence["Pair"], reason: str, characters: int) -> None:
    """Print pages that left beside pages that stayed, each text cut to so many characters."""
    console = Console(width=None if sys.stdout.isatty() else WIDE // 2)
    for pair in pairs:
        table = Table(show_lines=True, expand=True, caption=_cell(pair.note) or None)
        table.add_column(f"left: {escape(reason)}", ratio=1, overflow="fold")
        table.add_column("kept", ratio=1, overflow="fold")
        pages = [pair.left, pair.kept]
        table.add_row(*(_cell(f"{page.url}\n{page.title}") if page else "" for page in pages))
        table.add_row(*(_cell(page.text[:characters]) or "(no text was extracted)" if page else "" for page in pages))
        console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(without_control(str(value)))


def without_control(text: str) -> str:
    # Text of a crawl may carry terminal escapes.
    return "".join(character if character.isprintable() or character == "\n" else "�" for character in text)
