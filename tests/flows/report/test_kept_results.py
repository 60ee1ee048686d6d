"""Results that are kept beside the documentation: written from a workspace, asked without it."""

import json
from pathlib import Path

import pytest

from flows.report.paper_plots import draw_results
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.kept_results import KeptResults, keep_results
from storage.query import query
from storage.records import write_records
from storage.workspace import Workspace

MADE_BY = {"config": "configs/a.yaml", "command": "nr run configs/a.yaml", "commit": "abc", "machine": "2 cores"}
BASE = {"french": 2.5, "novel": 2.0}
MEASURED = {"tuned": (1.9, 2.3), "silent": (2.1, 2.001), "beaten": (2.2, 2.2)}


@pytest.fixture
def workspace(tmp_path):
    """Three runs on one base, as a flow records them."""
    workspace = Workspace(tmp_path / "workspace")
    sets = [
        {"eval_id": name, "name": name, "language": language, "text_domain": name}
        for name, language in (("french", "fra"), ("novel", "eng"))
    ]
    write_records(workspace, "eval_sets", "all", sets)
    write_records(
        workspace, "corpora", "all", [{"version": "v", "name": "french", "language": "fra", "text_domain": "w"}]
    )
    write_records(workspace, "models", "base", [{"model_id": "base", "source": "here", "parameters": 9}])
    figures = {"base": BASE} | {name: dict(zip(BASE, values, strict=True)) for name, values in MEASURED.items()}
    for model, values in figures.items():
        rows = [
            {"model_id": model, "step": int(model != "base"), "eval_id": name, "settings_hash": "s",
             "metric": "bits_per_byte", "value": value, "n": 3, "stderr": 0.01}
            for name, value in values.items()
        ]  # fmt: skip
        write_records(workspace, "evaluations", model, rows)
        if model == "base":
            continue
        run = {"run_id": model, "name": model, "base_model_id": "base", "model_id": model, "method": "lora", "seed": 0,
               "status": "done", "seconds": 90.0, "precision": "fp32", "learning_rate": 0.001}  # fmt: skip
        write_records(workspace, "runs", model, [run])
        read = [
            {"run_id": model, "corpus_version": "v", "role": "new", "language": "fra", "share": 1.0},
            {"run_id": model, "corpus_version": "w", "role": "original", "language": "eng", "share": 0.0},
        ]
        write_records(workspace, "run_inputs", model, read)
        asked = [{"run_id": model, "eval_id": name, "settings_hash": "s"} for name in values]
        write_records(workspace, "run_eval_sets", model, asked)
    refresh_catalog(workspace)
    return workspace


def test_rows_say_what_was_measured_and_how_it_was_made(workspace, tmp_path):
    assert keep_results(workspace, tmp_path / "docs" / "study.parquet", MADE_BY) == 3
    kept = KeptResults(tmp_path / "docs")
    rows = {row["name"]: row for row in query(kept, "FROM results").as_dicts()}
    for name, (french, novel) in MEASURED.items():
        assert rows[name]["learning"] == pytest.approx(BASE["french"] - french)
        assert rows[name]["forgetting"] == pytest.approx(novel - BASE["novel"])
        assert {key: rows[name][key] for key in MADE_BY} == MADE_BY
        assert (rows[name]["study"], rows[name]["minutes"], rows[name]["precision"]) == ("study", 1.5, "fp32")
    assert {name for (name,) in query(kept, "SELECT name FROM results_front").rows} == {"tuned", "silent"}


def test_of_a_workspace_with_several_studies_one_is_kept(workspace, tmp_path):
    file = tmp_path / "docs" / "tuned.parquet"
    assert keep_results(workspace, file, MADE_BY, "name = 'tuned'") == 1
    assert query(KeptResults(file.parent), "SELECT name FROM results").rows == [("tuned",)]
    with pytest.raises(InputError, match="no measured run where name = 'x'"):
        keep_results(workspace, file, MADE_BY, "name = 'x'")
    for no_condition in ("nam = 'x'", "true) UNION SELECT (1", "true; DROP TABLE runs"):
        with pytest.raises(InputError, match=r"--where .* Error"):
            keep_results(workspace, file, MADE_BY, no_condition)


def test_studies_stand_side_by_side_and_are_drawn(workspace, tmp_path):
    folder = tmp_path / "docs"
    for name in ("one", "two"):
        keep_results(workspace, folder / f"{name}.parquet", MADE_BY)
    kept = KeptResults(folder)
    assert query(kept, "SELECT study, count(*) FROM results GROUP BY 1 ORDER BY 1").rows == [("one", 3), ("two", 3)]
    assert draw_results(kept) == [folder / "one.svg", folder / "two.svg"]
    assert "silent" in (folder / "one.svg").read_text()
    before = {path.name: path.read_bytes() for path in folder.glob("*.svg")}
    draw_results(kept)
    assert before == {path.name: path.read_bytes() for path in folder.glob("*.svg")}, "the same results, the same bytes"


def test_kl_over_all_studies_names_by_method_what_one_study_alone_has(workspace, tmp_path):
    kl = [{"model_id": name, "step": 1, "eval_id": "french", "settings_hash": "s", "metric": "kl_to_base",
           "value": 0.2, "n": 3, "stderr": 0.01} for name in MEASURED]  # fmt: skip
    write_records(workspace, "evaluations", "kl", kl)
    refresh_catalog(workspace)
    folder = tmp_path / "docs"
    keep_results(workspace, folder / "one.parquet", MADE_BY)
    keep_results(workspace, folder / "two.parquet", MADE_BY, "name = 'tuned'")
    assert folder / "kl-forgetting.svg" in draw_results(KeptResults(folder))
    drawn = (folder / "kl-forgetting.svg").read_text()
    assert {name: f">{name}<" in drawn for name in ("lora", *MEASURED)} == {
        "tuned": True, "lora": True, "silent": False, "beaten": False
    }  # fmt: skip


def test_what_is_no_result_is_refused_in_a_sentence(workspace, tmp_path):
    with pytest.raises(InputError, match="holds no results"):
        query(KeptResults(tmp_path), "FROM results")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 but not whole")
    with pytest.raises(OSError, match=r"/proc/|nowhere"):  # of the system: DuckDB's words are as of a damaged file
        keep_results(workspace, Path("/proc/nowhere.parquet"), MADE_BY)
    with pytest.raises(InputError, match="no results of `nr keep`"):
        query(KeptResults(tmp_path), "FROM results")
    empty = Workspace(tmp_path / "empty")
    refresh_catalog(empty)
    with pytest.raises(InputError, match="no measured run"):
        keep_results(empty, tmp_path / "none.parquet", MADE_BY)
    assert not (tmp_path / "none.parquet").exists()


def test_what_ships_is_read_by_the_command(nr_here):
    repository = Path(__file__).parents[3]
    asked = nr_here(
        "sql",
        "SELECT config, commit, machine FROM results",
        "--results",
        "docs/results",
        "--format",
        "json",
        cwd=repository,
    )
    assert asked.returncode == 0, asked.stderr
    assert all(
        (repository / row["config"]).is_file() and row["commit"] and row["machine"] for row in json.loads(asked.stdout)
    )
