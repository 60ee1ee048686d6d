"""What follows a first run: a sweep, one more language, going on, several devices; and the commands that use a run."""

import json
import subprocess
import sys
import warnings

import pytest

from flows.maintenance.gc import Keep, find_waste
from storage.query import query
from storage.workspace import Workspace

METHODS = "methods=[{method: neutral_residues, learning_rate: 0.003, alpha: 3.0}]"
SWEEP = "sweep={learning_rates: [0.001, 0.003], alphas: [3.0]}"
# One process for all, so that Prefect's temporary server starts once.
PROGRAM = """
import json, sys
from flows.cli import app
from storage.query import query
from storage.workspace import Workspace

method, sweep = sys.argv[1:]
workspace = Workspace("workspace")

def nr(command, *arguments):
    app([command, "study.yaml", *arguments], standalone_mode=False)

def tell_runs():
    print("RUNS", json.dumps({run.name: run.stat().st_ino for run in workspace.run("x").parent.iterdir()}))

[[first]] = query(workspace, "SELECT run_id FROM runs WHERE method = 'neutral_residues'").rows
[base] = (workspace.root / "models").iterdir()
tell_runs()
nr("sweep", "--set", sweep, "--json")
tell_runs()
print("FRONT", json.dumps([run for run, in query(workspace, "SELECT run_id FROM pareto_front").rows]))
only = ["--set", method]
nr("train", *only, "--add-to", first)
nr("evaluate", *only, "--set", f"add_to={first!r}")
nr("train", *only, "--from", first)
nr("train", *only, "--set", "seeds=[5]", "--set", "resources.devices=2")
given = ["--set", f"base={{pretrain: null, corpora: null, model: {base}, vocabulary: trimmed}}"]
own = "{from: base, share: 0.2, tokens: 600, document_tokens: 32}"
nr("train", *only, *given, "--set", f"inputs=[{{corpus: french, role: new, share: 0.8}}, {own}]")
"""


@pytest.fixture(scope="module")
def study(own_study):
    """The finished study after all that, and what was told."""
    call = [sys.executable, "-c", PROGRAM, METHODS, SWEEP]
    done = subprocess.run(call, cwd=own_study, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    return own_study, done.stdout


def rows(folder, sql):
    return query(Workspace(folder / "workspace"), sql).as_dicts()


def run_of(folder, **facts):
    """The folder of the one run whose run.json has some facts, and its id."""
    found = [
        path.parent
        for path in (folder / "workspace" / "runs").glob("*/run.json")
        if facts.items() <= json.loads(path.read_text()).items()
    ]
    assert len(found) == 1
    return found[0]


def test_a_sweep_runs_each_point_once_and_marks_the_front(study):
    folder, told = study
    names = {row["name"] for row in rows(folder, "SELECT DISTINCT name FROM runs")}
    points = {f"{method} lr {rate}" for method in ("lora", "neutral_residues") for rate in ("0.001", "0.003")}
    assert {name if name.startswith("lora") else f"{name} alpha 3" for name in points} <= names
    before, after = (json.loads(line[5:]) for line in told.splitlines() if line.startswith("RUNS "))
    assert before.items() <= after.items(), "a point that stands is left alone"
    assert (len(before), len(after)) == (2, 4)
    [front] = (json.loads(line[6:]) for line in told.splitlines() if line.startswith("FRONT "))
    [[table]] = (json.loads(line) for line in told.splitlines() if line.startswith("[{"))
    assert {row["run_id"] for row in table["rows"] if row["front"]} == set(front) and len(table["rows"]) == 4 > len(
        front
    ) > 0


def test_one_more_language_and_going_on(study):
    folder, _ = study
    added = [path for path in (folder / "workspace" / "runs").iterdir() if (path / "earlier").is_dir()]
    assert [sorted(path.name for path in run.iterdir() if path.is_dir()) for run in added] == [["adapter", "earlier"]]
    scored = rows(folder, f"SELECT count(*) AS n FROM evaluations WHERE model_id = '{added[0].name}'")
    assert scored[0]["n"] > 0
    assert {row["status"] for row in rows(folder, "SELECT status FROM runs")} == {"done"}
    assert len(rows(folder, "SELECT run_id FROM runs")) == 4 + 4


def test_several_devices(study):
    assert (run_of(study[0], devices=2) / "adapter" / "adapter_model.safetensors").is_file()


def test_replay_that_the_base_writes_and_a_trimmed_vocabulary(study):
    folder, _ = study
    sql = "SELECT run_id, corpus_version FROM run_inputs WHERE corpus_version LIKE 'base-%' AND language = 'eng'"
    [found] = rows(folder, sql)
    tokens = folder / "workspace" / "tokens" / found["corpus_version"] / "written" / "train" / "tokens.json"
    assert json.loads(tokens.read_text())["tokens"] >= 600
    run = folder / "workspace" / "runs" / found["run_id"]
    assert json.loads((run / "run.json").read_text())["base"]["vocabulary"] == "trimmed"
    waste = find_waste(Workspace(folder / "workspace"), Keep(versions=1, days=0))
    assert tokens.parents[2] not in {one.path for one in waste}


def test_generate_and_chat_write_what_the_run_says(study, nr_here):
    folder, _ = study
    run = run_of(folder, devices=2)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        by_id = nr_here("generate", run.name, "Le chat", "--max-tokens", "8", cwd=folder)
    assert not [one for one in told if one.category is FutureWarning] and "Loading" not in by_id.stderr
    assert by_id.returncode == 0 and by_id.stdout.startswith("Le chat"), by_id.stderr
    by_adapter = nr_here("generate", run / "adapter", "Le chat", "--max-tokens", "8", cwd=folder)
    assert by_adapter.stdout == by_id.stdout
    options = ("--max-tokens", "4", "--temperature", "0")
    talk = nr_here("chat", run.name, *options, cwd=folder, typed="Bonjour\n\nEncore\n")
    assert talk.returncode == 0 and len(talk.stdout.splitlines()) >= 2, talk.stderr
    unknown = nr_here("generate", "nobody", "Le chat", cwd=folder)
    assert unknown.returncode == 2 and "has the name 'nobody' or an id that begins so" in unknown.stderr


def test_sampled_text_is_a_source(study, nr_here):
    folder, _ = study
    base = next((folder / "workspace" / "models").iterdir())
    options = ("--documents", "3", "--max-tokens", "24")
    assert nr_here("sample", base, "--out", "own.jsonl", *options, cwd=folder).returncode == 0
    assert [set(json.loads(line)) for line in (folder / "own.jsonl").read_text().splitlines()] == [{"id", "text"}] * 3
