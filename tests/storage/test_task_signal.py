"""task_signal says which tasks tell something, by four criteria on the runs at hand."""

import math
from itertools import combinations
from statistics import correlation

import pytest

from storage.catalog import refresh_catalog
from storage.query import query
from storage.records import write_records
from storage.workspace import Workspace

# Bits per byte of French, and the scores of two seeds, by setting. The base stands at 3.0 bits.
SETTINGS = {"adapter": (2.7, 2.69), "lora": (2.6, 2.61), "finetune": (2.2, 2.21), "neutral": (2.5, 2.49)}
GOOD = {"adapter": (0.400, 0.403), "lora": (0.430, 0.433), "finetune": (0.500, 0.503), "neutral": (0.460, 0.458)}
CHANCE = {"adapter": (0.25, 0.27), "lora": (0.27, 0.24), "finetune": (0.24, 0.26), "neutral": (0.26, 0.25)}
FLAT = dict.fromkeys(SETTINGS, (0.25, 0.25))
TASKS = {"good": (0.31, GOOD), "guessed": (0.26, CHANCE), "flat": (0.25, FLAT)}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("signal"))
    sets = [{"eval_id": "text", "name": "text", "language": "fra", "text_domain": "web", "chance": None}]
    sets += [{"eval_id": t, "name": t, "language": "fra", "text_domain": "quiz", "chance": 0.25} for t in TASKS]
    write_records(workspace, "eval_sets", "sets", sets)
    record(workspace, "base", 0, 3.0, {task: base for task, (base, _) in TASKS.items()})
    for name, bits in SETTINGS.items():
        for seed in (0, 1):
            run = {"run_id": f"{name}-{seed}", "model_id": f"{name}-{seed}", "base_model_id": "base", "method": name}
            write_records(workspace, "runs", f"{name}-{seed}", [{**run, "seed": seed, "learning_rate": 1e-3}])
            scores = {task: values[name][seed] for task, (_, values) in TASKS.items()}
            record(workspace, f"{name}-{seed}", 10, bits[seed], scores)
    refresh_catalog(workspace)
    return workspace


def record(workspace, model, step, bits, scores):
    key = {"model_id": model, "step": step, "settings_hash": "s", "n": 500}
    rows = [{**key, "eval_id": "text", "metric": "bits_per_byte", "value": bits, "stderr": 0.01}]
    rows += [{**key, "eval_id": task, "metric": "acc", "value": s, "stderr": 0.02} for task, s in scores.items()]
    write_records(workspace, "evaluations", model, rows)


def ranks(values):
    return [sum(other < value for other in values) + sum(other == value for other in values) / 2 for value in values]


def signals(workspace):
    return {row["eval_set"]: row for row in query(workspace, "FROM task_signal").as_dicts()}


@pytest.mark.parametrize("task", ["good", "guessed"])
def test_the_four_criteria_are_those_of_a_plain_computation(workspace, task):
    row = signals(workspace)[task]
    base, values = TASKS[task]
    scores = [value for name in SETTINGS for value in values[name]]
    gained = [3.0 - bits for pair in SETTINGS.values() for bits in pair]
    assert row["monotonicity"] == pytest.approx(correlation(ranks([0.0, *gained]), ranks([base, *scores])))
    noise = sum(abs(a - b) / math.sqrt(2) for a, b in values.values()) / len(values)
    assert row["noise"] == pytest.approx(noise)
    assert row["signal_to_noise"] == pytest.approx(sum(scores) / len(scores) / noise)
    assert row["above_chance"] == pytest.approx((max(base, *scores) - 0.25) / max(noise, 0.02))
    agreed = [math.copysign(1, (a - c) * (b - d)) for (a, b), (c, d) in combinations(values.values(), 2)]  # no ties
    assert row["ordering"] == pytest.approx(sum(agreed) / len(agreed))
    assert (row["runs"], row["repeated"]) == (8, 4)


def test_a_task_has_signal_where_all_four_reach_their_limits(workspace):
    assert {task: row["has_signal"] for task, row in signals(workspace).items()} == {
        "good": True, "guessed": False, "flat": False
    }  # fmt: skip
    flat = signals(workspace)["flat"]
    assert (flat["monotonicity"], flat["signal_to_noise"], flat["ordering"]) == (0, math.inf, 0)
    limits = dict(query(workspace, "SELECT criterion, least FROM task_signal_limits").rows)
    assert limits == {"monotonicity": 0.5, "signal_to_noise": 20, "above_chance": 3, "ordering": 0.5}


def test_what_cannot_be_known_is_null_and_decides_nothing(tmp_path):
    workspace = Workspace(tmp_path)
    write_records(workspace, "eval_sets", "sets", [
        {"eval_id": task, "name": task, "language": "fra", "text_domain": "quiz", "chance": chance}
        for task, chance in (("high", 0.25), ("low", 0.5), ("unknown", None))
    ])  # fmt: skip
    for model, step in (("base", 0), ("lora", 10)):
        key = {"model_id": model, "step": step, "settings_hash": "s", "metric": "acc", "n": 9, "stderr": 0.02}
        rows = [{**key, "eval_id": task, "value": 0.5} for task in ("high", "low", "unknown")]
        write_records(workspace, "evaluations", model, rows)
    write_records(
        workspace, "runs", "lora", [{"run_id": "lora", "model_id": "lora", "base_model_id": "base", "seed": 0}]
    )
    refresh_catalog(workspace)
    found = signals(workspace)
    assert {task: row["has_signal"] for task, row in found.items()} == {"high": None, "low": False, "unknown": None}
    unknown = found["unknown"]
    assert all(unknown[name] is None for name in ("monotonicity", "signal_to_noise", "above_chance", "ordering"))
