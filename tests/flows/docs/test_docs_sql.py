"""The questions of docs/sql.md: every statement runs on a small study and gives the columns that the page shows."""

import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from storage.catalog import rebuild_catalog
from storage.workspace import Workspace

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


def answers():
    """What every view and every statement of the page gives, in no order."""
    with duckdb.connect("workspace/catalog.duckdb", read_only=True) as connection:
        views = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        asked = {**{view: f'FROM "{view}"' for (view,) in views}, **{name: sql for name, sql, _ in QUESTIONS}}
        return {name: sorted(map(repr, connection.execute(sql).fetchall())) for name, sql in asked.items()}


def test_figures_by_earlier_settings_change_no_view_and_no_answer(own_study, monkeypatch):
    monkeypatch.chdir(own_study)
    workspace = Workspace("workspace")
    rebuild_catalog(workspace)
    before = answers()
    for table in ("evaluations", "evaluation_items", "evaluation_settings"):
        for file in list(workspace.records(table).glob("*.parquet")):
            rows = pq.read_table(file)
            earlier = {name: rows[name] for name in rows.column_names}
            earlier["settings_hash"] = pa.array(["0earlier"] * len(rows))
            if "value" in earlier:
                earlier["value"] = pc.multiply(earlier["value"], 1.5)
            pq.write_table(pa.table(earlier, schema=rows.schema), file.with_name(f"earlier-{file.name}"))
    rebuild_catalog(workspace)
    [(settings,)] = duckdb.connect("workspace/catalog.duckdb", read_only=True).execute(
        "SELECT count(*) FROM evaluations WHERE settings_hash = '0earlier'"
    ).fetchall()  # fmt: skip
    assert settings > 0 and answers() == before
