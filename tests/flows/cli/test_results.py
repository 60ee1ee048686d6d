"""`nr results`, `nr runs`, `nr compare`, `nr export`: what a study left, for people and for programs."""

import csv
import json
from pathlib import Path

import duckdb
import pytest

from flows.cli.generate import run_folder
from flows.cli.results import comparison_tables, result_tables, write_tables
from flows.steps.result_records import recorded_settings
from nr_core.settings import MethodSettings, TrainingSettings
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.query import find_run, query
from storage.records import write_records
from storage.workspace import Workspace
from tests.flows.conftest import nr


@pytest.fixture
def workspace(finished_study):
    return Workspace(finished_study / "workspace")


def run_ids(workspace):
    (_, table), *_ = result_tables(workspace)
    return {row["name"]: row["run_id"] for row in table.as_dicts()}


def test_results_show_learning_forgetting_and_tasks(workspace, finished_study, nr_here):
    (_, learning), (_, tasks) = result_tables(workspace)
    assert {row["name"] for row in learning.as_dicts()} == {"lora", "neutral_residues"}
    assert {(row["task"], row["role"], row["n"]) for row in tasks.as_dicts()} == {("vocabulary", "new", 24)}
    shown = nr_here("results", cwd=finished_study)
    assert shown.returncode == 0 and "neutral_residues" in shown.stdout and "vocabulary" in shown.stdout
    assert "Pareto" not in shown.stdout, "forgetting is known of all"


def test_runs_without_forgetting_are_on_no_front_and_it_is_said_why(tmp_path, nr_here):
    workspace = Workspace(tmp_path / "workspace")
    for model, value in {"base": 3.0, "lora": 2.0, "adapter": 2.5}.items():
        figure = {"model_id": model, "step": int(model != "base"), "eval_id": "new", "settings_hash": "s", "n": 9}
        write_records(workspace, "evaluations", model, [{**figure, "metric": "bits_per_byte", "value": value}])
        run = {
            "run_id": model,
            "base_model_id": "base",
            "model_id": model,
            "method": model,
            "seed": 0,
            "status": "done",
        }
        given = {"run_id": model, "role": "new", "language": "fra", "corpus_version": "v", "share": 1.0}
        if model != "base":
            write_records(workspace, "runs", model, [run])
            write_records(workspace, "run_inputs", model, [given])
    write_records(workspace, "eval_sets", "new", [{"eval_id": "new", "name": "new", "language": "fra"}])
    refresh_catalog(workspace)
    assert query(workspace, "FROM pareto_front").rows == []
    said = "forgetting is not known of 2 of 2 runs, which can therefore be on no Pareto front"
    assert said in nr_here("results", cwd=tmp_path).stdout
    answer = nr_here("results", "--json", cwd=tmp_path)
    assert len(json.loads(answer.stdout)[0]["rows"]) == 2 and said in answer.stderr


def test_runs_are_listed_and_tables_are_json_for_programs(workspace, finished_study, nr_here):
    [listed] = json.loads(nr_here("runs", "--json", cwd=finished_study).stdout)
    assert {row["run_id"] for row in listed["rows"]} == set(run_ids(workspace).values())
    assert all(row["status"] == "done" and row["language"] == "fra" for row in listed["rows"])
    learning, _ = json.loads(nr_here("results", "--json", cwd=finished_study).stdout)
    assert [row["learning"] for row in learning["rows"]] == [row[-2] for row in result_tables(workspace)[0][1].rows]


def test_report_and_data_cards_of_a_study_name_no_folder_of_the_machine(workspace, finished_study):
    pages = [workspace.reports / "study.html", *workspace.root.glob("corpora/*/[!.]*/README.md")]
    assert len(pages) == 4
    for page in pages:
        text = page.read_text(encoding="utf-8").replace("\\", "")
        assert str(finished_study.parent) not in text and str(Path.home()) + "/" not in text, page


def test_compare_shows_settings_and_paired_figures(workspace):
    ids = run_ids(workspace)
    (_, settings), (_, figures) = comparison_tables(workspace, ids["lora"], ids["neutral_residues"][:12])
    by_name = {row["setting"]: (row["a"], row["b"]) for row in settings.as_dicts()}
    assert by_name["method.method"] == ("lora", "neutral_residues")
    assert "training.steps" not in by_name
    assert {row["eval_set"] for row in figures.as_dicts()} == {"french", "how-to", "novel", "notice", "vocabulary"}
    with pytest.raises(InputError, match=r"no run of .* 'nothing'"):
        find_run(workspace, "nothing")
    with pytest.raises(InputError, match="2 runs of") as several:
        find_run(workspace, "")
    assert all(f"{run_id} ({name} seed 0)" in str(several.value) for name, run_id in ids.items())
    assert find_run(workspace, "lora") == ids["lora"] == find_run(workspace, ids["lora"])


def test_a_trimmed_vocabulary_is_a_difference(tmp_path):
    method, training = MethodSettings(method="lora"), TrainingSettings()
    for run_id, vocabulary in (("a", "full"), ("b", "trimmed")):
        settings = recorded_settings(method, training, vocabulary)
        row = {"run_id": run_id, "name": run_id, "method": "lora", "seed": 0, "status": "done", "settings": settings}
        write_records(Workspace(tmp_path), "runs", run_id, [row])
    refresh_catalog(Workspace(tmp_path))
    (_, settings), _ = comparison_tables(Workspace(tmp_path), "a", "b")
    assert settings.as_dicts() == [{"setting": "base.vocabulary", "a": "full", "b": "trimmed"}]


def test_a_run_is_taken_by_the_beginning_of_its_id_and_by_its_name(workspace, tmp_path, monkeypatch):
    ids = run_ids(workspace)
    for given in (ids["lora"], ids["lora"][:8], "lora", str(workspace.run(ids["lora"]))):
        assert run_folder(given, workspace.root) == workspace.run(ids["lora"])
    monkeypatch.setenv("HOME", str(workspace.root.parent))
    assert run_folder("lora", Path("~", workspace.root.name)) == workspace.run(ids["lora"])
    for given in ("lor", "../lora", "~/lora"):
        with pytest.raises(InputError, match=r"no run of|there is no folder"):
            run_folder(given, workspace.root)
    with pytest.raises(InputError, match="there is no folder lora"):
        run_folder("lora", tmp_path)


def test_export_writes_every_table_and_mlflows(workspace, tmp_path):
    written = {path.name for path in write_tables(workspace, tmp_path / "parquet", "parquet")}
    assert {"runs.parquet", "evaluations.parquet", "learning_vs_forgetting.parquet", "lineage.parquet"} <= written
    assert duckdb.sql(f"FROM '{tmp_path}/parquet/runs.parquet'").to_arrow_table().num_rows == 2
    write_tables(workspace, tmp_path / "csv", "csv")
    assert len((tmp_path / "csv" / "runs.csv").read_text().splitlines()) == 3
    write_tables(workspace, tmp_path / "mlflow", "mlflow")
    with open(tmp_path / "mlflow" / "metrics.csv") as file:
        metrics = list(csv.DictReader(file))
    assert set(metrics[0]) == {"key", "value", "timestamp", "run_uuid", "step", "is_nan"}
    assert {"novel/bits_per_byte", "vocabulary/acc", "lm_loss"} <= {row["key"] for row in metrics}
    with open(tmp_path / "mlflow" / "params.csv") as file:
        params = {(row["run_uuid"], row["key"]): row["value"] for row in csv.DictReader(file)}
    assert params[run_ids(workspace)["lora"], "method.learning_rate"] == "0.003"


def test_a_run_and_its_base_are_scored_on_tasks_by_either_scorer(own_study, nr_here):
    """lm_eval's own tasks need the hub: its part is tested in tests/nr_core/evaluation/test_tasks.py."""
    folder = own_study
    run = run_ids(Workspace(folder / "workspace"))["neutral_residues"]
    task = (folder / "vocabulary.yaml").read_text().replace("name: vocabulary", "name: again").replace("fra", "eng")
    (folder / "again.yaml").write_text(task)
    done = nr("evaluate", run[:10], "--tasks", "again.yaml", "--task-data", ".", "--items", "10", cwd=folder)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "temporary server" not in done.stdout + done.stderr
    sql = "SELECT e.step > 0, e.n FROM evaluations e JOIN eval_sets USING (eval_id) WHERE name = 'again' ORDER BY ALL"
    shown = nr_here("sql", sql, "--format", "csv", cwd=folder).stdout.splitlines()[1:]
    assert shown == ["false,10"] * 3 + ["true,10"] * 3
    refused = nr_here("evaluate", run, "--tasks", "no_such", "--harness", "lm_eval", cwd=folder)
    assert refused.returncode == 2 and "lm_eval" in refused.stderr
