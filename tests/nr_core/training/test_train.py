"""Training: what is left on the disk, resuming, being killed, and the guards."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from nr_core import stopping
from nr_core.base.head import Head
from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.methods.extend import extend
from nr_core.progress import Progress
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec, MethodSettings, TrainingSettings
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.training import checkpoints
from nr_core.training.batches import Batches, Input
from nr_core.training.checkpoints import LoopState
from nr_core.training.loop import Loop
from nr_core.training.optimiser import adamw
from nr_core.tuner.adapter import GatedAdapter
from tests.nr_core.tiny import assert_same

COLUMNS = [
    "step", "tokens", "lm_loss", "local_loss", "kl_loss", "alpha", "learning_rate", "tokens_per_second", "mfu",
    "grad_norm", "open_rate_new", "open_rate_original",
]  # fmt: skip


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "adapter" / "adapter_model.safetensors")


def figures(run: Path) -> list[dict]:
    rows = pq.read_table(run / "steps.parquet").to_pylist()
    return [
        {name: value for name, value in row.items() if name not in ("tokens_per_second", "mfu", "kl_loss")}
        for row in rows
    ]


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return (
        one.keys() == other.keys()
        and all(torch.equal(one[k], other[k]) for k in one)
        and figures(first) == figures(second)
    )


@pytest.mark.parametrize("method", ["finetune", "lora", "dora", "adapter", "neutral_residues", "llama_pro"])
def test_every_method_learns_and_leaves_a_run(world, run, tmp_path, method):
    settings = {"method": method, "learning_rate": 1e-2}
    out = run(world.train_spec(tmp_path / method, method=settings, training={"steps": 20}))
    rows = pq.read_table(out / "steps.parquet").to_pylist()
    assert list(rows[0]) == COLUMNS
    assert [row["step"] for row in rows] == list(range(1, 21))
    assert sum(row["lm_loss"] for row in rows[-3:]) < sum(row["lm_loss"] for row in rows[:3])
    gated = method == "neutral_residues"
    assert all((row["local_loss"] is not None) == gated for row in rows)
    assert all((row["open_rate_new"] is not None) == gated for row in rows)
    report = json.loads((out / "run.json").read_text())
    assert report["method"] == method
    assert report["learning_rate"] == 1e-2
    assert (report["steps"], report["tokens"]) == (20, 20 * 10 * 16)
    assert report["peak_memory"] > 0
    assert (report["extra_parameters"] == 0) == (method == "finetune")
    assert not (out / "checkpoints").exists()
    tokens = torch.arange(3, 13).unsqueeze(0)
    trained, base = load_run(BaseSpec(model=str(world.base)), out), load_base(BaseSpec(model=str(world.base)))
    assert not torch.allclose(trained(tokens).logits, base(tokens).logits)
    if method in ("finetune", "llama_pro"):
        assert (out / "model" / "tokenizer.json").is_file()
    else:
        reloaded = PeftModel.from_pretrained(base, out / "adapter")
        assert_same(reloaded(tokens).logits, trained(tokens).logits)


def test_resuming_is_bitwise_and_the_micro_batch_is_not_seen(world, run, tmp_path, monkeypatch):
    undisturbed = run(world.train_spec(tmp_path / "undisturbed"))
    spec = world.train_spec(tmp_path / "stopped", training={"checkpoint_every": 5})
    rows = []

    def stop_after_seven(*arguments, **options):
        rows.append(arguments)
        if len(rows) == 7:
            stopping.requested.set()

    with monkeypatch.context() as patch:
        patch.setattr("nr_core.progress.Progress.report", stop_after_seven)
        with pytest.raises(stopping.Stopped) as stopped:
            run(spec)
    stopping.requested.clear()
    assert stopped.value.code == 143
    assert [path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir()] == ["step-00000007"]
    assert same(run(spec), undisturbed)

    micro = run(world.train_spec(tmp_path / "micro", training={"micro_batch_size": 5}))
    for row, other in zip(figures(micro), figures(undisturbed), strict=True):
        assert row == pytest.approx(other, rel=1e-3)


@pytest.mark.parametrize("file", ["trainable.safetensors", "optimiser.safetensors", "state.json"])
@pytest.mark.parametrize("kept", [0, 40])
def test_a_torn_checkpoint_is_passed_over(tmp_path, capfd, file, kept):
    parameters = {"w": torch.nn.Parameter(torch.ones(4, 4))}
    optimiser = adamw(parameters.values(), TrainingSettings())
    parameters["w"].grad = torch.ones(4, 4)
    optimiser.step()
    checkpoints.save(tmp_path, LoopState(step=3), parameters, optimiser)
    shutil.copytree(tmp_path / "step-00000003", tmp_path / "step-00000005")
    torn = tmp_path / "step-00000005" / file
    torn.write_bytes(torn.read_bytes()[:kept])
    fresh = {"w": torch.nn.Parameter(torch.zeros(4, 4))}
    assert checkpoints.restore(tmp_path, fresh, adamw(fresh.values(), TrainingSettings())).step == 3
    assert fresh["w"].equal(parameters["w"])
    (tmp_path / "step-00000003" / file).unlink()
    unread = {"w": torch.nn.Parameter(torch.zeros(4, 4))}
    assert checkpoints.restore(tmp_path, unread, adamw(unread.values(), TrainingSettings())) == LoopState()
    assert not unread["w"].any()
    assert "step-00000005 is damaged" in capfd.readouterr().err


@pytest.mark.parametrize("micro_batch", [3, 23, 53])
def test_a_stop_in_the_middle_of_a_step_is_bitwise_too(world, run, tmp_path, monkeypatch, micro_batch):
    """SIGTERM arrives between two micro-batches: in warm-up, in mid-schedule, in the last step but one (of 12 x 5).

    That step, which may take minutes, is taken again.
    """
    from nr_core.training import loop

    training = {"micro_batch_size": 2}
    undisturbed = run(world.train_spec(tmp_path / "undisturbed", training=training))
    lm_loss, calls = loop.lm_loss, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == micro_batch:
            stopping.requested.set()
        return lm_loss(*arguments)

    spec = world.train_spec(tmp_path / "stopped", training=training)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "lm_loss", interrupted)
        with pytest.raises(stopping.Stopped):
            run(spec)
    stopping.requested.clear()
    done = (micro_batch - 1) // 5
    assert [path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir()] == [f"step-{done:08d}"]
    assert same(run(spec), undisturbed)


def test_seeds_differ(world, run, tmp_path):
    assert not same(run(world.train_spec(tmp_path / "0")), run(world.train_spec(tmp_path / "1", seed=1)))


@pytest.mark.slow
def test_killed_training_goes_on_to_the_same_result(world, run, tmp_path):
    """Ended at random moments after its first checkpoint; NR_KILLS sets how many times."""
    training = {"steps": 150, "checkpoint_every": 10}
    undisturbed = run(world.train_spec(tmp_path / "undisturbed", training=training))
    out = tmp_path / "killed"
    spec = tmp_path / "killed.json"
    spec.write_text(json.dumps(world.train_spec(out, training=training)))
    command = [sys.executable, "-m", "nr_core", "train", str(spec)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    chance = random.Random(int(os.environ.get("NR_SEED", "0")))
    codes = []
    for _ in range(int(os.environ.get("NR_KILLS", "2"))):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
            assert process.stdout is not None
            process.stdout.readline()  # of its first step
            while not list(out.glob("checkpoints/step-*")) and process.poll() is None:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.3))
            process.send_signal(chance.choice([signal.SIGKILL, signal.SIGTERM]))
        codes.append(process.returncode)
    assert {-signal.SIGKILL, 128 + signal.SIGTERM} & set(codes), "the run ended before it could be killed"
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert same(out, undisturbed)
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"event"')]
    assert events[-1]["event"] == "progress"
    assert (events[-1]["job"], events[-1]["label"], events[-1]["done"], events[-1]["total"]) == (
        "train", "killed", 150, 150
    )  # fmt: skip


def test_gates_that_hardly_open_stop_the_run(world, run, tmp_path):
    with pytest.raises(ModelError, match="after warm-up, fewer than 99% of the new language's tokens open a gate"):
        run(world.train_spec(tmp_path / "dead", training={"dead_gate_share": 0.99}))
    assert not (tmp_path / "dead" / "run.json").exists()


def test_a_tensor_without_gradient_stops_the_run(world, run, tmp_path, monkeypatch):
    initialise = GatedAdapter.__init__

    def with_zero_gate(self, *arguments, **options):
        initialise(self, *arguments, **options)
        torch.nn.init.zeros_(self.neutral_residues_block_gate.weight)

    monkeypatch.setattr(GatedAdapter, "__init__", with_zero_gate)
    with pytest.raises(ModelError, match="in step 2 8 of 8 tensors of the adapters got no gradient"):
        run(world.train_spec(tmp_path / "dead", label="dead"))
    assert not (tmp_path / "dead" / "run.json").exists()

    from nr_core.training import loop

    lm_loss, factors = loop.lm_loss, iter([1.0, float("nan"), 1.0])
    monkeypatch.setattr(loop, "lm_loss", lambda *given: lm_loss(*given) * next(factors))
    with pytest.raises(ModelError, match="in step 3 8 of 8 tensors of the adapters got no gradient"):
        run(world.train_spec(tmp_path / "skipped", training={"not_finite": "skip"}))


def test_a_layer_that_is_shut_for_a_batch_does_not_stop_the_run(world, run, tmp_path, monkeypatch):
    """One of the two layers has a gate of zeros, which is shut for every token; then one whose graph is cut."""
    initialise, made = GatedAdapter.__init__, []

    def with_one_zero_gate(self, *arguments, **options):
        initialise(self, *arguments, **options)
        made.append(self)
        if len(made) == 2:
            torch.nn.init.zeros_(self.neutral_residues_block_gate.weight)

    monkeypatch.setattr(GatedAdapter, "__init__", with_one_zero_gate)
    run(world.train_spec(tmp_path / "shut", training={"steps": 3}))

    from nr_core.tuner import layer

    gated_residue = layer.gated_residue

    def cut(x, w_in, w_glu, *others):
        return gated_residue(x, w_in, lambda values: w_glu(values).detach(), *others)

    monkeypatch.setattr(layer, "gated_residue", cut)
    with pytest.raises(ModelError, match="in step 2 2 of 8 tensors of the adapters got no gradient"):
        run(world.train_spec(tmp_path / "cut", training={"steps": 3}))


def test_settings_of_how_a_run_is_computed_leave_its_identity():
    names = {"not_finite", "fsdp_from", "compile_layers", "recompute_layers"}
    assert not names & set(TrainingSettings().identity())
    changed = TrainingSettings(not_finite="skip", fsdp_from=0, recompute_layers=True).identity()
    assert changed.keys() & names == {"not_finite"}


def test_a_loss_that_is_not_finite_is_never_saved(world, run, tmp_path):
    settings = {"method": "finetune", "learning_rate": 1e30}
    with pytest.raises(
        ModelError, match=r"the loss or its gradient is no longer finite \(it was .* lower learning_rate"
    ):
        run(world.train_spec(tmp_path / "run", method=settings, training={"checkpoint_every": 1}))
    for checkpoint in (tmp_path / "run" / "checkpoints").glob("*/trainable.safetensors"):
        assert all(tensor.isfinite().all() for tensor in load_file(checkpoint).values())
    assert not (tmp_path / "run" / "run.json").exists()


def test_steps_that_are_not_finite_can_be_skipped(world, run, tmp_path, monkeypatch):
    """One bad step leaves no trace in the weights; one after the other is refused."""
    from nr_core.training import loop

    lm_loss, calls = loop.lm_loss, []

    def poisoned(*arguments):
        calls.append(1)
        return lm_loss(*arguments) * (float("nan") if len(calls) in bad else 1.0)

    monkeypatch.setattr(loop, "lm_loss", poisoned)
    bad = {4}
    out = run(world.train_spec(tmp_path / "one", training={"not_finite": "skip"}))
    assert json.loads((out / "run.json").read_text())["skipped_steps"] == 1
    assert [row["step"] for row in figures(out)] == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
    assert all(tensor.isfinite().all() for tensor in weights(out).values())
    calls.clear()
    bad = set(range(2, 100))
    with pytest.raises(ModelError, match="the last 10 steps, to step 11, were not finite"):
        run(world.train_spec(tmp_path / "all", training={"not_finite": "skip"}))


INDUCTOR = pytest.param(
    "inductor", marks=pytest.mark.skipif("NR_SLOW" not in os.environ, reason="compiles C++ for a minute: set NR_SLOW=1")
)


@pytest.mark.parametrize("backend", ["aot_eager", INDUCTOR])
@pytest.mark.slow
def test_compiled_and_recomputed_layers_train_alike(world, run, tmp_path, monkeypatch, backend):
    monkeypatch.setattr("torch.compile", partial(torch.compile, backend=backend))
    plain = figures(run(world.train_spec(tmp_path / "plain", training={"steps": 4})))
    passes = [{"recompute_layers": True}, {"compile_layers": True}, {"recompute_layers": True, "compile_layers": True}]
    for number, changes in enumerate(passes):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        out = run(world.train_spec(tmp_path / str(number), training={"steps": 4, **changes}))
        compiled = torch._dynamo.utils.counters["frames"]["ok"]
        assert (compiled > 0) == ("compile_layers" in changes)
        for row, other in zip(figures(out), plain, strict=True):
            assert row == pytest.approx(other, rel=1e-4)
        for name, tensor in weights(out).items():
            torch.testing.assert_close(tensor, weights(tmp_path / "plain")[name], rtol=1e-2, atol=1e-5)


def test_without_replay(world, run, tmp_path):
    spec = world.train_spec(tmp_path / "run")
    spec["inputs"] = [{**source, "share": share} for source, share in zip(spec["inputs"], (1.0, 0.0), strict=True)]
    assert {(row["local_loss"], row["open_rate_original"]) for row in figures(run(spec))} == {(0.0, None)}


def test_the_local_loss_weighs_the_same_in_batches_of_any_size(world, tmp_path):
    """The same sequences in batches of 1 (most without original text), 2 and 8: the same mean over the steps."""
    inputs = [Input(TokenStream.open(world.new), 0.75, "new"), Input(TokenStream.open(world.old), 0.25, "original")]
    torch.manual_seed(0)
    extension = extend(load_base(BaseSpec(model=str(world.base))), MethodSettings(method="neutral_residues", alpha=1))
    for name, parameter in extension.model.named_parameters():
        if "neutral_residues" in name:
            torch.nn.init.normal_(parameter)
    means = []
    for size in (1, 2, 8):
        loop = Loop(
            head=Head(extension.model),
            batches=Batches(inputs, 16, size, seed=0),
            settings=TrainingSettings(batch_size=size, sequence_length=16),
            peak_rate=1e-3,
            seed=0,
            folder=tmp_path,
            progress=Progress("train", "run", "steps"),
            taps=extension.taps,
            alpha=1.0,
        )
        means.append(np.mean([loop.forward_backward(step, log=False).local_loss for step in range(16 // size)]))
    assert means[0] > 0 and means == pytest.approx([means[0]] * 3, rel=1e-5)


def test_the_optimisers_state_comes_back_onto_the_device_of_its_parameter(tmp_path):
    """The meta device stands for one that is not the CPU."""
    parameters = {"w": torch.nn.Parameter(torch.zeros(4, 4)), "v": torch.nn.Parameter(torch.zeros(4))}
    optimiser = adamw(parameters.values(), TrainingSettings())
    for parameter in parameters.values():
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    checkpoints.save(tmp_path, LoopState(step=1), parameters, optimiser)
    elsewhere = {name: torch.nn.Parameter(p.detach().to("meta")) for name, p in parameters.items()}
    restored = adamw(elsewhere.values(), TrainingSettings())
    checkpoints.restore(tmp_path, elsewhere, restored)
    expected = adamw(elsewhere.values(), TrainingSettings())
    expected.load_state_dict(optimiser.state_dict())
    for parameter in elsewhere.values():
        found, wanted = restored.state[parameter], expected.state[parameter]
        assert {name: (v.device, v.dtype) for name, v in found.items()} == {
            name: (v.device, v.dtype) for name, v in wanted.items()
        }


def test_a_stream_of_another_tokenizer_is_refused(world, run, tmp_path):
    facts = json.loads((world.new / "tokens.json").read_text())
    other = tmp_path / "tokens"
    other.mkdir()
    for name in ("stream.bin", "offsets.npy", "byte_lengths.npy", "lost_bytes.npy"):
        (other / name).symlink_to(world.new / name)
    (other / "tokens.json").write_text(json.dumps({**facts, "vocabulary_size": 5000}))
    spec = world.train_spec(tmp_path / "run")
    spec["inputs"][0]["tokens"] = str(other)
    with pytest.raises(ModelError, match="holds the token 4999, the model has rows for 300"):
        run(spec)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["neutral_residues", "lora"])
def test_a_base_held_in_bf16_is_extended_in_fp32_adapters(world, run, tmp_path, method, precision):
    spec = world.train_spec(tmp_path / "run", method={"method": method}, training={"steps": 3, "precision": precision})
    spec["base"]["dtype"] = "bfloat16"
    out = run(spec)
    weights = load_file(out / "adapter" / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    facts = json.loads((out / "run.json").read_text())
    assert (facts["precision"], facts["precision_reason"]) == (precision, "it is set so")


def test_a_base_held_in_bf16_is_not_finetuned(world, run, tmp_path):
    spec = world.train_spec(tmp_path / "run", method={"method": "finetune"})
    spec["base"]["dtype"] = "bfloat16"
    with pytest.raises(ValueError, match=r"base\.dtype: finetune trains the base's own weights"):
        run(spec)
