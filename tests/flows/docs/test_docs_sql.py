"""The questions of docs/sql.md: every statement runs on a small study and gives the columns that the page shows."""

import re
from pathlib import Path

import duckdb
import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^## \d+\. (.*?)\n.*?```sql\n(.*?)```\n\n```\n(.*?)\n", PAGE, re.MULTILINE | re.DOTALL)


def test_there_are_twenty():
    assert len(QUESTIONS) == PAGE.count("```sql") >= 20


@pytest.mark.parametrize(("question", "statement", "header"), QUESTIONS, ids=[question for question, *_ in QUESTIONS])
def test_a_statement_of_the_page_runs(finished_study, monkeypatch, question, statement, header):
    monkeypatch.chdir(finished_study)
    with duckdb.connect("workspace/catalog.duckdb", read_only=True) as connection:
        cursor = connection.execute(statement)
        assert [column[0] for column in cursor.description] == header.split()
        there_is_none = "failed" in question or "two languages" in question  # the study has no parallel texts
        assert cursor.fetchall() or there_is_none
