"""What a study's evaluation leaves in the catalog: texts and tasks of base and runs, each once."""

import duckdb
import pytest
import yaml

from flows.steps.tasks import all_tasks, find_tasks
from storage.errors import InputError
from tests.flows.conftest import nr


@pytest.fixture
def sql(finished_study):
    with duckdb.connect(finished_study / "workspace" / "catalog.duckdb", read_only=True) as connection:
        yield lambda query: connection.execute(query).fetchall()


def test_texts_and_tasks_are_scored_for_base_and_runs(sql):
    counts = sql(
        "SELECT s.name, e.metric, count(*) FROM evaluations e JOIN eval_sets s USING (eval_id) "
        "WHERE s.name IN ('vocabulary', 'notice', 'french') GROUP BY ALL ORDER BY ALL"
    )
    # Of base and two runs; what holds a run against its base, of the runs.
    on_text = [
        ("bits_per_byte", 3),
        ("greedy_agreement", 2),
        ("kl_to_base", 2),
        ("nats_per_token", 3),
        ("perplexity", 3),
    ]
    assert counts == [
        *(("french", *metric) for metric in on_text),
        *(("notice", *metric) for metric in on_text),
        *(("vocabulary", metric, 3) for metric in ("acc", "acc_bytes", "acc_norm")),
    ]


def test_the_role_of_a_task_follows_from_the_runs_inputs(sql):
    assert sql(
        "SELECT DISTINCT eval_set, role FROM run_evaluations WHERE eval_set IN ('vocabulary', 'notice') ORDER BY 1"
    ) == [
        ("notice", "original"),
        ("vocabulary", "new"),
    ]


def test_rows_say_how_they_were_taken(sql):
    settings = [yaml.safe_load(row) for (row,) in sql("SELECT settings FROM evaluation_settings ORDER BY settings")]
    text = next(one for one in settings if one["kind"] == "text")
    assert text["sequence_length"] == 32 and "not scored" in text["windows"]
    assert next(one for one in settings if one["kind"] == "multiple_choice")["few_shot"] == 0
    assert sql("SELECT count(*) FROM evaluations ANTI JOIN evaluation_settings USING (settings_hash)") == [(0,)]


def test_a_repeated_evaluation_doubles_no_rows(own_study):
    def rows():
        with duckdb.connect(own_study / "workspace" / "catalog.duckdb", read_only=True) as connection:
            return [
                connection.execute(f"SELECT count(*) FROM {table}").fetchone()
                for table in ("evaluations", "evaluation_items", "eval_sets", "gate_activity", "evaluation_settings")
            ]

    before = rows()
    again = nr("evaluate", "study.yaml", cwd=own_study)
    assert again.returncode == 0, again.stderr[-2000:]
    assert rows() == before
    assert "0 models to score" in again.stdout + again.stderr


def test_items_add_up_to_the_figures(sql):
    apart = sql(
        "SELECT e.metric, e.value, list_sum(i.numerators) / list_sum(i.denominators) FROM evaluations e "
        "JOIN evaluation_items i USING (model_id, step, eval_id, settings_hash, metric)"
    )
    ratios = {"bits_per_byte", "nats_per_token", "acc", "acc_norm", "acc_bytes", "kl_to_base", "greedy_agreement"}
    assert {metric for metric, _, _ in apart} == ratios
    assert all(value == pytest.approx(of_items, rel=1e-9) for _, value, of_items in apart)


def test_every_task_of_the_project_is_whole_and_named_once():
    names = [task.name for task in all_tasks()]
    assert len(names) == len(set(names)) > 40
    assert {task.language for task in all_tasks()} == {"dan", "deu", "eng", "fra", "hun", "slk", "zxx"}
    with pytest.raises(InputError, match="there is no task 'arc_xx'"):
        find_tasks(["arc_xx"])


@pytest.mark.parametrize("variants", ["mine", "[]", "[mine]", "{name: mine}"])
def test_variants_of_another_form_are_refused_with_a_sentence(variants, tmp_path):
    (tmp_path / "task.yaml").write_text(f"kind: last_word\nvariants: {variants}\n")
    with pytest.raises(InputError, match=r"task\.yaml: variants: give a list of mappings"):
        find_tasks([str(tmp_path / "task.yaml")])


def test_a_run_is_held_against_its_base(sql):
    rows = sql("SELECT method, role, kl_to_base, greedy_agreement, open_share FROM model_behaviour ORDER BY ALL")
    assert {(method, role) for method, role, *_ in rows} == {
        (method, role) for method in ("lora", "neutral_residues") for role in ("new", "original")
    }
    assert all(kl >= 0 and 0 <= agreement <= 1 for _, _, kl, agreement, _ in rows)
    assert all((open_share is None) == (method == "lora") for method, *_, open_share in rows)
