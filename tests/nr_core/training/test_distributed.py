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

from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec

pytestmark = pytest.mark.slow

TOGETHER = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "nr_core", "train"),
]
CUT, COPIED = 0, 10**9


def start(spec: Path, **options):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*TOGETHER, str(spec)], env=environment, stdout=subprocess.PIPE, text=True, **options)


def execute(spec):
    with start(spec) as process:
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
def alone(world, run, tmp_path_factory):
    return run(world.train_spec(tmp_path_factory.mktemp("alone") / "run", training={"steps": 6}))


@pytest.mark.parametrize("fsdp_from", [CUT, COPIED], ids=["fsdp2", "copies"])
def test_two_processes_train_as_one(world, alone, tmp_path, fsdp_from):
    out = tmp_path / "run"
    spec = world.train_spec(out, training={"steps": 6, "fsdp_from": fsdp_from, "micro_batch_size": 5})
    events = execute(write(tmp_path / "run.json", spec))
    assert events[-1]["done"] == 6
    assert json.loads((out / "run.json").read_text())["devices"] == 2
    assert_alike(out, alone)
    if fsdp_from == CUT:
        assert execute(tmp_path / "run.json") == [], "a finished job returns at once"


def test_a_full_model_is_saved_whole(world, run, tmp_path):
    """Finetuning trains every tensor, and FSDP2 has cut each of them."""
    changes = {"method": {"method": "finetune", "learning_rate": 1e-3}, "training": {"steps": 3, "fsdp_from": CUT}}
    out = tmp_path / "cut"
    execute(write(tmp_path / "cut.json", world.train_spec(out, **changes)))
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
    spec = world.train_spec(out, training=training)
    with start(write(tmp_path / "run.json", spec), start_new_session=True) as process:
        while not list(out.glob("checkpoints/step-*")) and process.poll() is None:
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert not (out / "run.json").exists(), "the run ended before it could be killed"
    run(spec)
    assert_alike(out, run(world.train_spec(tmp_path / "alone", training=training)))


PART = """
import sys
from pathlib import Path
import torch
from nr_core.training.distributed import leave, ranks, shard
from nr_core.base.language_model import decoder_layers
from nr_core.methods.extend import extend
from nr_core.base.load_base import load_base
from nr_core.settings import BaseSpec, MethodSettings

def of_file(tensor):
    ranges = [line.split()[0].split("-") for line in Path("/proc/self/maps").read_text().splitlines() if file in line]
    return any(int(first, 16) <= tensor.data_ptr() < int(last, 16) for first, last in ranges)

folder, file = sys.argv[1], sys.argv[1] + "/model.safetensors"
joined = ranks()
base = load_base(BaseSpec(model=folder), torch.device("cpu"))
weights = [p for p in base.parameters() if p.data_ptr()]
assert all(map(of_file, weights)), "a weight was copied"
whole = sum(p.numel() for p in weights)
model = extend(base, MethodSettings(method="neutral_residues")).model
shard(model, decoder_layers(model))
frozen = [p for p in model.parameters() if not p.requires_grad]
assert not any(of_file(p.to_local()) for p in frozen)
assert sum(p.to_local().numel() for p in frozen) == whole // 2 and sum(p.numel() for p in frozen) == whole
del base, weights
assert file not in Path("/proc/self/maps").read_text(), "something whole is held still"
print("rank", joined.rank, "holds its part", flush=True)
leave()
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="Linux tells what is mapped")
def test_a_process_copies_its_own_part_of_the_base_alone(world, tmp_path):
    (tmp_path / "part.py").write_text(PART)
    command = [*TOGETHER[:-3], str(tmp_path / "part.py"), str(world.base)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert sorted(line for line in done.stdout.splitlines() if "holds" in line) == [
        f"rank {rank} holds its part" for rank in (0, 1)
    ]
