"""The command line: short and complete help, sentences for bad input, formats for programs, no heavy imports."""

import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from storage.catalog import refresh_catalog
from storage.records import write_records
from storage.workspace import Workspace

COMMANDS = (
    *("run", "plan", "refresh", "pretrain", "train", "sweep", "evaluate", "generate", "chat", "push", "sample"),
    *("report", "sql", "up", "down", "inspect", "rollback", "forget", "verify"),
)


def test_help_names_every_command(tmp_path, nr_here):
    shown = nr_here("--help", cwd=tmp_path)
    assert shown.returncode == 0 and all(f"\n  {command} " in shown.stdout for command in COMMANDS)
    listed = shown.stdout.partition("Commands:")[2]
    assert "..." not in listed and max(map(len, listed.splitlines())) <= 80, "a command's first sentence is cut"


def test_the_version_and_the_short_form_of_help(tmp_path, nr_here):
    assert nr_here("--version", cwd=tmp_path).stdout == f"neutral-residues {version('neutral-residues')}\n"
    assert nr_here("run", "-h", cwd=tmp_path).stdout == nr_here("run", "--help", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "command",
    [
        ["generate", "run", "text", "--temperature"],
        ["chat", "run", "--temperature"],
        ["gc", "--days"],
        ["gc", "--prefect-days"],
        ["train-quality", "a", "b", "--out", "c.bin", "--learning-rate"],
    ],
)
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e300"])
def test_what_is_no_finite_number_is_refused_by_every_option(tmp_path, nr_here, command, number):
    done = nr_here(*command, number, cwd=tmp_path)
    assert done.returncode == 2 and "rror: " in done.stderr and "Traceback" not in done.stderr, done


@pytest.mark.parametrize(
    "typed",
    [
        ["sql", "--format", "ftp://ann:hunter2@mirror.example/x", "SELECT 1"],
        ["run", "study.yaml", "https://ann:hunter2@mirror.example/x?y=1"],
        ["https://mirror.example/x?token=hunter2"],
    ],
)
def test_what_was_typed_in_the_wrong_place_is_repeated_without_its_password(tmp_path, nr_here, typed):
    done = nr_here(*typed, cwd=tmp_path)
    assert done.returncode == 2 and "Usage: " in done.stderr and "mirror.example/x" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout


@pytest.mark.parametrize("address", ["nonsense", "hooks.example/a", "ftp://hooks.example", "https://"])
def test_alerts_go_to_no_address_that_cannot_be_called(tmp_path, nr_here, address):
    refused = nr_here("notify", address, cwd=tmp_path)
    assert refused.returncode == 2 and "begins with https:// or http://" in refused.stderr


def test_help_imports_nothing_heavy():
    probe = (
        "import sys\nfrom flows.cli import app\nfrom typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print([name for name in ('torch', 'peft', 'prefect', 'transformers', 'pyarrow') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True).stdout == "[]\n"


def test_what_a_command_starts_by_multiprocessing_imports_nothing_of_the_current_folder(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "threading.py").write_text("raise SystemExit('of the current folder')")
    (tmp_path / "nr").write_text(
        "import multiprocessing\nfrom flows.cli import app, main\n@app.command()\ndef start():\n"
        "    child = multiprocessing.get_context('spawn').Process(target=print)\n"
        "    child.start()\n    child.join()\n    print('ended with', child.exitcode)\n"
        "if __name__ == '__main__':\n    main()\n"
    )
    command = [sys.executable, tmp_path / "nr", "start"]
    done = subprocess.run(command, cwd=tmp_path / "here", capture_output=True, text=True)
    assert done.stdout.endswith("ended with 0\n"), done.stderr


def test_sql_prints_a_table_json_and_csv(tmp_path, nr_here):
    workspace = Workspace(tmp_path / "workspace")
    write_records(
        workspace, "models", "m", [{"model_id": "m", "source": 'a "quoted" [bold]name[/bold]', "parameters": 12}]
    )
    refresh_catalog(workspace)
    query = "SELECT model_id, source, parameters FROM models"
    assert json.loads(nr_here("sql", query, "--format", "json", cwd=tmp_path).stdout) == [
        {"model_id": "m", "source": 'a "quoted" [bold]name[/bold]', "parameters": 12}
    ]
    assert nr_here("sql", query, "--format", "csv", cwd=tmp_path).stdout == (
        'model_id,source,parameters\nm,"a ""quoted"" [bold]name[/bold]",12\n'
    )
    assert "[bold]name[/bold]" in nr_here("sql", query, cwd=tmp_path).stdout
    bar = "SELECT current_setting('enable_progress_bar') AS bar"  # it would stand in stdout, amid the rows of the slow
    assert json.loads(nr_here("sql", bar, "--format", "json", cwd=tmp_path).stdout) == [{"bar": False}]


def test_a_terminal_of_another_charset_shows_what_it_can(tmp_path):
    refresh_catalog(Workspace(tmp_path / "workspace"))
    command = [sys.executable, "-c", "from flows.cli import main; main()", "sql", "select 'naïve ő' as a"]
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True)
    assert done.stdout.decode("latin-1").splitlines() == [
        "+---------+", "|    a    |", "| varchar |", "+---------+", r"| naïve \u0151 |", "+---------+",
    ]  # fmt: skip


def test_bad_input_is_one_sentence_and_exit_code_2(tmp_path, nr_here):
    missing = nr_here("run", "nowhere.yaml", cwd=tmp_path)
    assert missing.returncode == 2 and missing.stderr.startswith("error: there is no config file nowhere.yaml")
    assert nr_here("sql", "select 1", cwd=tmp_path).stderr.startswith("error: workspace is not a workspace")
    refresh_catalog(Workspace(tmp_path / "other"))
    assert "is no text in UTF-8" in nr_here("sql", "select '\udcff'", "--workspace", "other", cwd=tmp_path).stderr
    Workspace(tmp_path / "workspace")
    empty = nr_here("sql", "select 1", cwd=tmp_path)
    assert empty.returncode == 2 and "has no catalog yet" in empty.stderr
    assert not (tmp_path / ".prefect").exists()
