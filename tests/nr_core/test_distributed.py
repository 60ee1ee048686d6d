"""Two processes under torchrun (gloo): the gradients of one, and the batches of one on any number."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from nr_core.settings import BaseSpec
from nr_core.trained_run import load_run

ALONE = [sys.executable, "-m", "nr_core", "train"]
TOGETHER = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "nr_core", "train"),
]
CUT, COPIED = 0, 10**9


def start(command, spec: Path, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, str(spec)], env=environment, stdout=subprocess.PIPE, text=True, **options)


def execute(command, spec):
    with start(command, spec) as process:
        lines = process.communicate()[0].splitlines()
    assert process.returncode == 0, lines
    return [json.loads(line) for line in lines if line.startswith('{"event"')]


def write(path, spec):
    path.write_text(json.dumps(spec))
    return path


def figures(out):
    rows = pq.read_table(out / "steps.parquet").to_pylist()
    return [
        {key: value for key, value in row.items() if key not in ("tokens_per_second", "mfu", "kl_loss")} for row in rows
    ]


def assert_alike(out, other):
    for row, expected in zip(figures(out), figures(other), strict=True):
        assert row == pytest.approx(expected, rel=1e-3)
    name = "adapter/adapter_model.safetensors"
    weights, expected_weights = load_file(out / name), load_file(other / name)
    assert weights.keys() == expected_weights.keys()
    for key, tensor in weights.items():
        torch.testing.assert_close(tensor, expected_weights[key], rtol=1e-2, atol=1e-4)


@pytest.fixture(scope="module")
def alone(world, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "run"
    execute(ALONE, write(out.with_suffix(".json"), world.train_spec(out, training={"steps": 6})))
    return out


@pytest.mark.parametrize("fsdp_from", [CUT, COPIED], ids=["fsdp2", "copies"])
def test_two_processes_train_as_one(world, alone, tmp_path, fsdp_from):
    out = tmp_path / "run"
    spec = world.train_spec(out, training={"steps": 6, "fsdp_from": fsdp_from, "micro_batch_size": 5})
    events = execute(TOGETHER, write(tmp_path / "run.json", spec))
    assert events[-1]["done"] == 6
    assert json.loads((out / "run.json").read_text())["devices"] == 2
    assert_alike(out, alone)
    assert execute(TOGETHER, tmp_path / "run.json") == [], "a finished job returns at once"


def test_a_full_model_is_saved_whole(world, run, tmp_path):
    """Finetuning trains every tensor, and FSDP2 has cut each of them."""
    changes = {"method": {"method": "finetune", "learning_rate": 1e-3}, "training": {"steps": 3, "fsdp_from": CUT}}
    out = tmp_path / "cut"
    execute(TOGETHER, write(tmp_path / "cut.json", world.train_spec(out, **changes)))
    expected = load_file(run(world.train_spec(tmp_path / "alone", **changes)) / "model" / "model.safetensors")
    weights = load_file(out / "model" / "model.safetensors")
    assert weights.keys() == expected.keys()
    for key, tensor in weights.items():
        torch.testing.assert_close(tensor, expected[key], rtol=1e-2, atol=1e-4)
    tokens = torch.arange(3, 13).unsqueeze(0)
    assert load_run(BaseSpec(model=str(world.base)), out)(tokens).logits.isfinite().all()


def test_a_run_goes_on_at_another_number_of_processes(world, run, tmp_path):
    """Begun by two with FSDP2 and killed, finished by one."""
    out = tmp_path / "run"
    training = {"steps": 40, "fsdp_from": CUT, "checkpoint_every": 2}
    spec = write(tmp_path / "run.json", world.train_spec(out, training=training))
    with start(TOGETHER, spec, start_new_session=True) as process:
        while not list(out.glob("checkpoints/step-*")) and process.poll() is None:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert not (out / "run.json").exists(), "the run ended before it could be killed"
    execute(ALONE, spec)
    assert_alike(out, run(world.train_spec(tmp_path / "alone", training=training)))
