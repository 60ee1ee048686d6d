"""A finished study: the same command has nothing to do, and says so before Prefect is there; what changed is seen."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from flows.cli.study import from_config
from flows.config.study import load_config
from flows.steps.finished_study import changeable_elsewhere, input_stamps, is_finished, remember_finished
from pipelines.denylist import deny
from storage.query import query
from storage.workspace import Workspace


@pytest.mark.parametrize("command", ["run", "refresh", "pretrain", "train", "evaluate"])
def test_nothing_is_to_do(command, finished_study, nr_here, monkeypatch):
    monkeypatch.setitem(sys.modules, "flows.services.temporary_server", None)  # an import of it fails
    done = nr_here(command, "study.yaml", cwd=finished_study)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing to do: study study is finished")
    assert Path(done.stdout.strip().rpartition("report: ")[2]).is_file()


@pytest.fixture
def folder(finished_study, tmp_path, monkeypatch):
    """A copy of the study in which it is known to be finished."""
    copy = shutil.copytree(finished_study, tmp_path / "study")
    monkeypatch.chdir(copy)
    (copy / "more").mkdir()
    (copy / "more" / "first.txt").write_text("a text")
    config = given()
    assert not is_finished(config), "it was finished elsewhere"
    assert remember(config)
    assert is_finished(config)
    return copy


def given(**overrides):
    return load_config("study.yaml", {"sources": {"more": {"kind": "text", "paths": ["more/*.txt"]}}, **overrides})


def remember(config, inputs=None, versions=None):
    workspace = Workspace(config.workspace)
    runs = [run for (run,) in query(workspace, "SELECT run_id FROM runs").rows]
    current = {name: workspace.current_version(name) for name in config.corpora}
    return remember_finished(config, inputs or input_stamps(config), {**current, **(versions or {})}, runs)


def weights(folder):
    return next((folder / "workspace" / "runs").glob("*/*/adapter_model.safetensors"))


CHANGES = {
    "a new file of a source": lambda folder: (folder / "more" / "second.txt").write_text("another"),
    "a changed file of a source": lambda folder: (folder / "more" / "first.txt").write_text("a tale"),
    "a file of a source is gone": lambda folder: (folder / "more" / "first.txt").unlink(),
    "a changed text": lambda folder: (folder / "notice.txt").write_text("Closed."),
    "a changed task": lambda folder: os.utime(folder / "vocabulary.yaml"),
    "changed items of a task": lambda folder: os.utime(folder / "vocabulary.jsonl"),
    "a host was taken down": lambda folder: deny("a.example", "asked", Workspace(folder / "workspace")),
    "a pointer was moved": lambda folder: (folder / "workspace" / "corpora" / "french" / "CURRENT").write_text("x"),
    "no weights": lambda folder: weights(folder).unlink(),
    "shorter weights": lambda folder: os.truncate(weights(folder), 10),
    "no run": lambda folder: shutil.rmtree(weights(folder).parents[1]),
    "no base": lambda folder: shutil.rmtree(folder / "workspace" / "models"),
    "no documents": lambda folder: shutil.rmtree(folder / "workspace" / "documents"),
    "no evaluation": lambda folder: shutil.rmtree(folder / "workspace" / "records" / "evaluations"),
    "no report": lambda folder: shutil.rmtree(folder / "workspace" / "reports"),
    "no catalog": lambda folder: (folder / "workspace" / "catalog.duckdb").unlink(),
    "a torn catalog": lambda folder: os.truncate(folder / "workspace" / "catalog.duckdb", 5000),
    "a torn record": lambda folder: (folder / "workspace" / "private" / "finished" / "study.json").write_text("{"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_a_change_is_something_to_do(change, folder):
    change(folder)
    assert not is_finished(given())


def test_other_settings_and_other_code_are_something_to_do(folder, tmp_path, monkeypatch):
    assert not is_finished(given(seeds=[1]))
    assert not is_finished(given(training={"steps": 6}))
    monkeypatch.setattr("flows.steps.finished_study.PROJECT", tmp_path)
    assert not is_finished(given())


ELSEWHERE = {
    "https://example.org/a.txt of sources.more": {"paths": ["more/first.txt", "https://example.org/a.txt"]},
    "latest of sources.more": {"kind": "common_crawl", "crawl": "latest", "files": 1},
    "CC-NEWS/2026/11 of sources.more": {"kind": "common_crawl", "crawl": "CC-NEWS/2026/11", "files": 1},
}
HUB = {"pretrain": None, "corpora": None, "model": "someone/model"}


def test_what_may_change_elsewhere_is_asked_each_time_and_named(folder):
    asked = {said: {"sources": {"more": {"kind": "text", **source}}} for said, source in ELSEWHERE.items()}
    asked["the bucket memory://there"] = {"bucket": "memory://there"}
    asked["base.model someone/model on the hub"] = {"base": {**HUB, "revision": "main"}}
    for said, overrides in asked.items():
        found = changeable_elsewhere(given(**overrides))
        assert found is not None and found.startswith(said)
        assert input_stamps(given(**overrides)) is None


def test_a_commit_and_a_snapshot_never_change(folder):
    crawl = {"kind": "common_crawl", "crawl": "CC-MAIN-2026-17", "files": 1}
    config = given(sources={"more": crawl}, base={**HUB, "revision": "0f" * 20})
    assert changeable_elsewhere(config) is None
    assert remember(config) and is_finished(config)


def test_the_command_says_why_it_looks(folder, monkeypatch, capsys):
    class Started(Exception):
        pass

    def find_server(home):
        raise Started

    monkeypatch.setattr("flows.cli.study.find_server", find_server)
    with pytest.raises(Started):
        from_config(folder / "study.yaml", ["bucket=memory://there"], "extend_language")
    said = capsys.readouterr().err
    assert said == "looking whether anything is to do, for this may have changed: the bucket memory://there\n"


def test_a_change_during_the_flow_is_something_to_do(folder):
    config = given()
    before = input_stamps(config)
    (folder / "more" / "first.txt").write_text("changed while the flow ran")
    assert not remember(config, inputs=before)
    assert not is_finished(config), "no older record counts"
    assert not remember(config, versions={"french": "another"})


def test_another_study_beside_it_changes_nothing(folder):
    (folder / "workspace" / "records" / "runs" / "another.parquet").write_bytes(b"rows")
    (folder / "workspace" / "runs" / "another").mkdir()
    assert is_finished(given())
