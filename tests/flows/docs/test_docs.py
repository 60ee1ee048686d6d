"""Every command and snippet of README and docs/ is run, or parsed by what would run it, or says why not."""

import ast
import importlib
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer.main
import yaml
from transformers import AutoModelForCausalLM
from typer._click.exceptions import UsageError

from flows.cli import app
from flows.cli.init import DEPLOYMENTS_TEXT
from flows.config.study import load_config, parse_config
from flows.config.yaml_files import parse_overrides, parse_yaml
from nr_core.evaluation.tasks.settings import TaskSettings
from storage.workspace import Workspace
from tests.flows.docs.doc_blocks import INLINE, PAGES, ROOT, Block, blocks, commands, without_blocks

BLOCKS = [block for page in PAGES for block in blocks(page)]
SHOWN = {"", "ini", "console"}  # output, drawings, files of others, and what was seen in a terminal
STUDY = {  # what the parts of a study that a page shows are laid over
    "language": "hun",
    "sources": {"crawl": {"kind": "warc", "paths": ["*.warc.gz"]}},
    "corpora": {
        name: {"language": language, "text_domain": "web", "sources": ["crawl"]}
        for name, language in (("web-hungarian", "hun"), ("english", "eng"))
    },
    "base": {"model": "folder"},
}


def of(*languages, marked=None):
    found = [block for block in BLOCKS if block.language in languages]
    return [block for block in found if marked is None or bool(block.test or block.reason) is marked]


def with_ids(found):
    return pytest.mark.parametrize("block", found, ids=str)


def test_blocks_and_their_marks_are_found():
    text = "<!-- sql blocks run by tests/a.py -->\n\n<!-- not run: no GPU -->\n```sh\nA=1 nr up # on\n```\n"
    text += "\n1. x\n\n    ```sql\n    SELECT 1\n    ```\n\n```\nout\n```\n"
    shell, query, shown = blocks(ROOT / "README.md", text)
    assert (shell.line, shell.reason, commands(shell.code)) == (4, "no GPU", [["nr", "up"]])
    assert (query.test, query.code, shown.language, shown.test) == ("tests/a.py", "SELECT 1\n", "", "")
    assert commands("cd x && nr sql 'from a | b' \\\n  --all; make") == [
        ["cd", "x"], ["nr", "sql", "from a | b", "--all"], ["make"],
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_whatever_is_run_stands_in_a_block_that_says_its_language(page):
    for block in blocks(page):
        assert block.language in {*SHOWN, "sh", "yaml", "sql", "python"}, block
        if not block.language:
            told = re.findall(r"^(?:\$|nr|make|python3?|pip|prefect|SELECT|FROM|import) .*", block.code, re.MULTILINE)
            assert not told, f"{block}: say its language: {told}"
    rest = without_blocks(page)
    assert "```" not in rest and not re.search(r"\n\n {4}(?![-*|\d])\S", rest), f"{page.name}: fence the code"


@with_ids([block for block in BLOCKS if block.test])
def test_the_test_that_a_block_names_knows_its_page(block):
    assert block.page.name in (ROOT / block.test).read_text(encoding="utf-8")


def test_the_readme_is_soon_read():
    assert len(without_blocks(ROOT / "README.md").split()) <= 900


# Commands

TARGETS = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@with_ids(of("sh"))
def test_a_command_is_one_that_is_there(block, monkeypatch):
    monkeypatch.chdir(ROOT)
    for name, value in re.findall(r"^([A-Z_]+)=(\S+) nr", block.code, re.MULTILINE):
        monkeypatch.setenv(name, value)
    for words in commands(block.code):
        known = {"nr": parsed, "make": make, "python": python, "pip": pip, "prefect": prefect, "cd": list}.get(words[0])
        if known is None:
            assert block.reason or block.test, f"{block}: no test knows {words[0]}: say why it is not run"
        else:
            known(words[1:])


@with_ids(of("console"))
def test_a_command_of_a_transcript_is_still_one(block, monkeypatch):
    monkeypatch.chdir(ROOT)
    for line in re.findall(r"^\$ (.*)", block.code, re.MULTILINE):
        for words in commands(line):
            if words[0] == "nr":
                parsed([word for word in words[1:] if word != "..."])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_command_within_a_sentence_is_one(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    for code in INLINE.findall(without_blocks(page)):
        for text in one_of_each(code):
            [words, *_] = commands(re.sub(r"\bN\b", "1", text))
            parsed(words[1:]) if len(words) > 2 else subcommand(words[1:])


def one_of_each(code: str) -> list[str]:
    """`--format csv|json` is two commands."""
    choice = re.search(r"\S+(?:\|\S+)+", code)
    return [code.replace(choice[0], one) for one in choice[0].split("|")] if choice else [code]


def subcommand(words: list[str]) -> tuple[Any, Any, list[str]]:
    """Resolve `nr config show ...` to its command, the context around it, and the words that are left."""
    command = typer.main.get_command(app)
    context = command.make_context("nr", list(words))
    words = list(words)
    while hasattr(command, "resolve_command"):
        name, command, words = command.resolve_command(context, words)
        assert command is not None and name, words
        if hasattr(command, "resolve_command"):
            context = command.make_context(name, list(words), parent=context)
    return command, context, words


def parsed(words: list[str]) -> None:
    """Let the command line itself read a command, and the tree of settings what it sets."""
    command, context, rest = subcommand(words)
    try:
        found = command.make_context(command.name, list(rest), parent=context).params
    except UsageError as error:
        raise AssertionError(f"nr {' '.join(words)}: {error.format_message()}") from None
    if found.get("set_"):
        overrides, config = parse_overrides(found["set_"]), found.get("config") or found.get("what") or ""
        if Path(config).is_file():
            load_config(config, overrides)
        else:
            parse_config(laid_over(STUDY, overrides), str(found["set_"]))


def make(words: list[str]) -> None:
    assert {word for word in words if "=" not in word} <= set(TARGETS)


def python(words: list[str]) -> None:
    """A module or file that is there, and reads the options that it is given."""
    source = importlib.util.find_spec(words[1]).origin if words[0] == "-m" else words[0]
    text = Path(source).read_text(encoding="utf-8")
    options = [word for word in words if word.startswith("--")]
    missing = [option for option in options if f'"{option}"' not in text and f'"{option[2:]}"' not in text]
    assert not missing, f"{source} has no {missing}"


def pip(words: list[str]) -> None:
    extras = re.findall(r"neutral-residues\[(.*?)\]|\.\[(.*?)\]", " ".join(words))
    assert words[0] in ("install", "download") and {a or b for a, b in extras} <= set(EXTRAS)


def prefect(words: list[str]) -> None:
    if words[:2] != ["deployment", "run"]:
        return
    files = (ROOT / "prefect.yaml").read_text(), DEPLOYMENTS_TEXT  # the checkout's, and that of `nr init`
    deployments = [one for file in files for one in yaml.safe_load(file)["deployments"]]
    flow, _, name = words[2].partition("/")
    entrypoints = [one["entrypoint"] for one in deployments if one["name"] == name]
    assert any(entrypoint.endswith(flow.replace("-", "_")) for entrypoint in entrypoints)


@with_ids([block for block in of("sh") if re.search("^nr sql", block.code, re.MULTILINE)])
def test_a_question_on_the_command_line_is_answered(block, finished_study, nr_here):
    for words in commands(block.code):
        if words[:2] == ["nr", "sql"]:
            done = nr_here(*words[1:], cwd=ROOT if "--results" in words else finished_study)
            assert done.returncode == 0, done.stderr


# YAML


def laid_over(tree: Any, part: Any) -> Any:
    if isinstance(tree, dict) and isinstance(part, dict):
        return {**tree, **{key: laid_over(tree.get(key), value) for key, value in part.items()}}
    return part


@with_ids(of("yaml"))
def test_yaml_is_a_study_or_a_task_or_a_part_of_a_study(block):
    content = parse_yaml(block.code, str(block))
    if "kind" in content:
        TaskSettings.model_validate(content)
    else:
        parse_config(content if "language" in content else laid_over(STUDY, content), str(block))


# Python and SQL


@with_ids(of("python"))
def test_what_python_imports_is_there(block):
    for node in ast.walk(ast.parse(block.code)):
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module)
            for name in node.names:
                getattr(module, name.name)


@with_ids(of("python", marked=False))
def test_python_runs_beside_a_finished_study(block, finished_study, monkeypatch):
    monkeypatch.chdir(finished_study)
    [[run_id, base]] = duckdb.connect("workspace/catalog.duckdb", read_only=True).execute(
        "SELECT run_id, base_model_id FROM runs WHERE method = 'neutral_residues'"
    ).fetchall()  # fmt: skip
    folder = str(Workspace("workspace").model(base))
    given = {
        "BASE": folder,
        "ADAPTER": f"workspace/runs/{run_id}/adapter",
        "base": AutoModelForCausalLM.from_pretrained(folder),
    }
    exec(compile(block.code.replace("<run_id>", run_id), str(block), "exec"), given)  # noqa: S102  (our own page)


@with_ids(of("sql", marked=False))
def test_sql_is_answered_by_a_finished_study(block: Block, finished_study, monkeypatch):
    monkeypatch.chdir(finished_study)
    with duckdb.connect("workspace/catalog.duckdb", read_only=True) as connection:
        for statement in duckdb.extract_statements(block.code):
            connection.execute(statement).fetchall()
