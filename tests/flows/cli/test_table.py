"""What a terminal shows of a query: what fits, and how much it leaves out."""

import pytest

from flows.cli.table import COUNTED, ROWS, print_query, print_table
from storage.catalog import refresh_catalog
from storage.query import Result
from storage.workspace import Workspace


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    refresh_catalog(workspace)
    return workspace


@pytest.fixture
def shown(workspace, capsys, monkeypatch):
    def show(sql, width=80, whole=False):
        monkeypatch.setenv("COLUMNS", str(width))
        print_query(workspace, sql, whole)
        return capsys.readouterr().out.splitlines()

    return show


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_what_is_left_out_is_said(shown, width):
    columns = ", ".join(f"repeat('text ', 1000) AS column_{number}" for number in range(30))
    lines = shown(f"SELECT range AS number, {columns} FROM range(1234)", width)
    assert max(map(len, lines[:-1])) <= width
    assert "30 columns" in lines[-2] or "31 columns" in lines[-2]
    assert f"{ROWS} of 1,234 rows" in lines[-1]


def test_a_query_without_end_is_answered(shown):
    lines = shown("FROM range(1_000_000_000) a, range(10_000) b")
    assert f"more than {COUNTED:,} rows" in lines[-1]


def test_fractions_have_four_significant_digits_and_whole_numbers_all(shown):
    text = "\n".join(shown("SELECT 0.123456789::DOUBLE AS a, 123456789 AS b, 1.5::FLOAT AS c, 'nan'::DOUBLE AS d"))
    assert "0.1235 " in text and "123456789" in text and " 1.5 " in text and " nan " in text


def test_all_shows_every_row_and_column(shown):
    columns = ", ".join(f"range AS column_{number}" for number in range(40))
    text = "\n".join(shown(f"SELECT {columns}, repeat('x', 5000) AS long FROM range(15000)", whole=True))
    assert all(f" column_{number} " in text for number in range(40))
    assert " 14999 " in text and "x" * 150 in text and "x" * 250 not in text


def test_text_of_a_crawl_cannot_command_the_terminal(shown):
    text = "\n".join(shown("SELECT chr(27) || '[31m' || chr(155) || '2J' || chr(8238) AS x, '[bold]' AS y"))
    assert not {"\x1b", "\x9b", "\u202e"} & set(text) and "[bold]" in text


def test_rows_at_hand_are_all_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    print_table(Result(["name", "mixed"], [(f"row {number}", number or "none") for number in range(90)]), "a title")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "a title" and sum("row " in line for line in lines) == 90
    print_table(Result(["nothing"], []))
    assert "0 rows" in capsys.readouterr().out
