"""The benchmarks run at toy size and end with a line of JSON; their figures are not looked at here."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nr_core.evaluation.evaluate import evaluate
from nr_core.progress import Progress
from nr_core.specs import EvaluateSpec

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def last_line(capsys, monkeypatch):
    """Run a benchmark in this process, which has imported torch already; return what its last line says."""
    threads = torch.get_num_threads()

    def run(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        monkeypatch.syspath_prepend(PROJECT / "benchmarks")  # as a script's own folder is
        runpy.run_path(str(PROJECT / "benchmarks" / script), run_name="__main__")
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    yield run
    torch.set_num_threads(threads)


INFERENCE = ("--hidden-size", "64", "--layers", "2", "--tokens-in-prefill", "32", "--pairs", "1")


@pytest.mark.parametrize(
    ("script", "arguments", "keys"),
    [
        ("training", ["--toy"], {"step_vs_finetune", "step_vs_lora", "taps_overhead", "mfu"}),
        (
            "tokens",
            ["--megabytes", "0.2", "--rounds", "1", "--vocabulary-size", "500"],
            {"ratio", "workers_mb_per_second"},
        ),
    ],
)
def test_the_last_line_is_json(script, arguments, keys):
    """Of those that start processes, or themselves again."""
    call = [sys.executable, "-W", "ignore", f"benchmarks/{script}.py", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(call, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert keys <= json.loads(done.stdout.splitlines()[-1]).keys()


def test_inference_by_itself_and_at_the_closed_share_of_a_trained_run(world, run, tmp_path, last_line):
    keys = {"closed_share", "dense_overhead", "sparse_overhead", "max_abs_difference", "trained"}
    assert keys <= last_line("inference.py", *INFERENCE).keys()
    folder = run(world.train_spec(tmp_path / "run", training={"steps": 3}))
    found = last_line("inference.py", *INFERENCE, "--run", folder, "--tokens", world.old)
    assert 0 < found["trained"]["closed_share"] < 1


def test_gates_are_closed_by_variants_of_a_run(world, run, tmp_path, last_line):
    folder = run(world.train_spec(tmp_path / "run", training={"steps": 3}))
    (folder / "spec.json").write_text(json.dumps(world.train_spec(folder, training={"steps": 3})))
    streams = ["--new", world.held_out, "--replay", world.old, "--other", world.old]
    variants = ["as published", "threshold 0.5", "closing term 0.3", "hard concrete, L0 0.3"]
    found = last_line("closing_gates.py", folder, *streams, "--out", tmp_path / "variants", "--variants", *variants)
    rows = {row["variant"]: row for row in found}
    assert set(rows) == {*variants, *(f"as published, cut at {at:g}" for at in (0.03, 0.1, 0.2, 0.4))}
    closed = {name: row["closed_other"] for name, row in rows.items() if "stopped" not in row}
    assert 0 < closed["as published"] < closed["as published, cut at 0.03"] < closed["as published, cut at 0.1"] <= 1
    assert closed["as published"] < closed["closing term 0.3"] < 1
    assert "stopped" not in rows["threshold 0.5"]  # its gates, all shut at first, take the other sign
    assert 0 < closed["threshold 0.5"] < 1


def held_out_bits(world, out, run):
    """Return bits per byte of the new language's held-out text, by the library's own evaluation."""
    sets = [{"eval_id": "new", "tokens": world.held_out}]
    settings = {"sequence_length": 16, "behaviour_tokens": 1}
    out.mkdir()
    spec = EvaluateSpec.model_validate(
        {"out": out, "base": {"model": str(world.base)}, "run": run, "sets": sets, "settings": settings}
    )
    evaluate(spec, Progress("evaluate", "run", "tokens"))
    metrics = json.loads((out / "evaluation.json").read_text())["metrics"]
    return next(row["value"] for row in metrics if row["metric"] == "bits_per_byte")


def test_a_variant_is_trained_once_and_as_the_library_trains_it(world, run, tmp_path, last_line):
    folder, file = tmp_path / "workspace" / "runs" / "run", tmp_path / "variants.jsonl"
    folder.mkdir(parents=True)
    spec = world.train_spec(folder, training={"steps": 3})
    for source, held_out in zip(spec["inputs"], (world.held_out, world.old), strict=True):
        streams = tmp_path / "workspace" / source["role"]
        streams.mkdir()
        (streams / "train").symlink_to(source["tokens"])
        (streams / "held_out").symlink_to(held_out)
        source["tokens"] = f"{source['role']}/train"
    (folder / "spec.json").write_text(json.dumps(spec))
    call = ("learning_more.py", folder, "--other", world.old, "--out", file)
    rows = {row["variant"]: row for row in last_line(*call, "--seeds", "1")}
    stopped = [name for name, row in rows.items() if "stopped" in row]
    assert stopped == [f"neutral residues 6e-3, layers {i} and 3 alone, twice as wide" for i in (0, 2)]  # it has two
    share = {name: row.get("new_parameters") for name, row in rows.items()}
    assert share["gated rows 3e-3"] > share["gated rows 3e-3, one matrix for both"] > share["neutral residues 6e-3"]
    assert share["gated rows 6e-3"] < share["gated rows 6e-3, and gated LoRA of rank 16 beside attention"]
    learned = [row["learning"] for name, row in rows.items() if name not in stopped]
    assert all(learned)
    assert len(set(learned)) > len(learned) / 2
    method = {"method": "neutral_residues", "alpha": 1.0, "learning_rate": 6e-3, "embeddings": "gated_rows"}
    of_library = run(world.train_spec(tmp_path / "library", training={"steps": 3}, method=method, seed=1))
    bits = [held_out_bits(world, tmp_path / f"scored-{i}", trained) for i, trained in enumerate((None, of_library))]
    assert rows["gated rows 6e-3"]["learning"] == pytest.approx(bits[0] - bits[1], abs=1e-4)
    written = file.read_text()
    assert len(last_line(*call, "--seeds", "1", "0", "--variants", "gated rows 6e-3")) == len(rows) + 1
    assert file.read_text().startswith(written)
