"""`--json`: every command that prints a table or a list has it, and prints one array and nothing else."""

import json

import pytest
import typer

from flows.cli import app
from storage.query import query
from storage.workspace import Workspace

# What each command that prints a table or a list is asked here; {document} and {reason} are looked up.
ASKED = {
    "plan": ["plan", "study.yaml"],
    "results": ["results"],
    "runs": ["runs"],
    "compare": ["compare", "lora", "neutral_residues"],
    "sql": ["sql", "SELECT 'é' AS title, [1, 2] AS rows"],
    "inspect": ["inspect", "french", "--reason", "{reason}"],
    "verify": ["verify"],
    "gc": ["gc", "--days", "0", "--versions", "1"],
    "doctor": ["doctor", "study.yaml"],
    "forget": ["forget", "nowhere.example"],
    "evaluate": ["evaluate", "neutral_residues", "--tasks", "vocabulary.yaml", "--task-data", "."],
    "sweep": [],  # it starts Prefect's server; its table is tested in tests/flows/test_study.py
}
# A sentence, a page, a text, one path a line, or no output.
NO_TABLE = {
    *("init", "run", "refresh", "pretrain", "train", "generate", "chat", "push", "sample", "add-tokens", "report"),
    *("export", "keep", "train-quality", "verdicts", "rollback", "up", "down", "notify"),
    *("config schema", "config show", "catalog rebuild"),
}


def commands(group, before=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


ALL = dict(commands(typer.main.get_command(app)))


def test_every_command_that_prints_a_table_has_it_and_no_other():
    with_json = {name for name, command in ALL.items() if any("--json" in option.opts for option in command.params)}
    assert with_json == set(ASKED), "a command that prints a table or a list takes --json, of app.AsJson"
    assert set(ALL) - with_json == NO_TABLE, "say of a new command whether it prints a table"


@pytest.mark.parametrize("command", [name for name, asked in ASKED.items() if asked])
def test_it_prints_titles_and_rows_and_nothing_else(command, own_study, nr_here):
    workspace = Workspace(own_study / "workspace")
    [(reason,)] = query(
        workspace, "SELECT min(reason) FROM corpus_funnel WHERE corpus = 'french' AND reason <> 'kept'"
    ).rows
    answer = nr_here(*(word.format(reason=reason) for word in ASKED[command]), "--json", cwd=own_study)
    found = json.loads(answer.stdout)
    if command in ("sql", "doctor"):  # rows as they are, of no title
        assert found and all(isinstance(row, dict) for row in found)
        return
    assert answer.returncode == 0, answer.stderr
    assert all(set(table) == {"title", "rows"} and isinstance(table["rows"], list) for table in found)
    assert all(isinstance(row, dict) for table in found for row in table["rows"])
    if command not in ("verify", "gc", "forget"):  # where nothing is wrong, to remove or known, there are no rows
        assert found[0]["rows"], answer.stderr


def test_a_document_is_shown_with_its_verdicts_and_headers(own_study, nr_here):
    workspace = Workspace(own_study / "workspace")
    [(document,)] = query(
        workspace, f"SELECT min(doc_id) FROM documents('{workspace.root}') WHERE reason = 'kept'"
    ).rows
    shown = json.loads(nr_here("inspect", document, "--fetch", "--json", "--characters", "9", cwd=own_study).stdout)
    tables = {table["title"]: table["rows"] for table in shown}
    [row] = tables["document"]
    assert row["doc_id"] == document and len(row["text"]) == 9
    assert {"corpus", "version", "stage", "reason"} == set(tables["verdicts"][0])
    assert "WARC-Record-ID" in {header["name"] for header in tables["WARC headers"]}


def test_damage_is_told_with_exit_code_1(own_study, nr_here):
    card = next((own_study / "workspace" / "corpora" / "french").glob("[!.]*/README.md"))
    content = card.read_bytes()
    card.write_bytes(content[:-9])
    try:
        answer = nr_here("verify", "french", "--json", cwd=own_study)
    finally:
        card.write_bytes(content)
    [table] = json.loads(answer.stdout)
    assert answer.returncode == 1 and [set(row) for row in table["rows"]] == [{"path", "wrong", "fix"}]


def test_of_a_config_evaluate_prints_no_table(own_study, nr_here):
    answer = nr_here("evaluate", "study.yaml", "--json", cwd=own_study)
    assert answer.returncode == 2 and "nr results --json" in answer.stderr
