"""Runs that build on runs: several languages, apart and together, and going on after a refresh."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.peft import find_taps
from nr_core.runs import build_on_earlier
from nr_core.runs.build_on_earlier import load_together
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec
from tests.nr_core.tiny import assert_same, tiny_model

TOKENS = torch.arange(3, 23).unsqueeze(0)


def base(world):
    return BaseSpec(model=str(world.base))


def logits(model):
    with torch.no_grad():
        return model.eval()(TOKENS).logits


def adapter(run):
    return load_file(run / "adapter" / "adapter_model.safetensors")


def test_several_new_languages_share_one_adapter(world, run, tmp_path):
    spec = world.train_spec(tmp_path / "run")
    spec["inputs"] = [
        {"role": "new", "language": "fra", "tokens": str(world.new), "share": 0.45},
        {"role": "new", "language": "hun", "tokens": str(world.held_out), "share": 0.45},
        {"role": "original", "language": "eng", "tokens": str(world.old), "share": 0.1},
    ]
    assert logits(load_run(base(world), run(spec))).isfinite().all()


def test_a_run_added_to_another_is_whole_and_leaves_the_other_as_it_was(world, run, tmp_path):
    first = run(world.train_spec(tmp_path / "first"))
    second = run(world.train_spec(tmp_path / "second", add_to=str(first), seed=1))
    third = run(world.train_spec(tmp_path / "third", add_to=str(second), seed=2))
    taught = logits(load_run(base(world), third))
    report = [json.loads((folder / "run.json").read_text()) for folder in (first, second, third)]
    assert len({entry["extra_parameters"] for entry in report}) == 1, "each counts its own adapter"
    for earlier, name in ((first, "0"), (second, "1")):
        kept = load_file(third / "earlier" / name / "adapter_model.safetensors")
        assert all(torch.equal(kept[key], value) for key, value in adapter(earlier).items())
    shutil.rmtree(first)
    shutil.rmtree(second)
    model = load_run(base(world), third)
    assert_same(logits(model), taught)
    with find_taps(model).collect() as taps:
        model(TOKENS)
        assert {name for name, _ in taps.slots} == {"default"}


def test_the_adapter_of_before_is_frozen_and_counts_in_the_new_ones_loss(world, run, tmp_path):
    first = run(world.train_spec(tmp_path / "first"))
    alone = run(world.train_spec(tmp_path / "alone", seed=1))
    added = run(world.train_spec(tmp_path / "added", add_to=str(first), seed=1))
    kept = load_file(added / "earlier" / "0" / "adapter_model.safetensors")
    assert all(torch.equal(kept[key], value) for key, value in adapter(first).items())
    assert not all(torch.equal(adapter(added)[key], value) for key, value in adapter(alone).items())


def test_runs_that_were_trained_apart_are_loaded_together_and_their_residues_summed(world, run, tmp_path):
    runs = [run(world.train_spec(tmp_path / str(seed), training={"steps": 2}, seed=seed)) for seed in (0, 1)]
    backbone = load_base(base(world))

    def first_ffn(model):
        seen = []
        layer = model.get_submodule("model.layers.0.mlp")
        handle = layer.register_forward_hook(lambda module, args, output: seen.append(output))
        logits(model)
        handle.remove()
        return seen[0]

    plain = first_ffn(backbone)
    residues = [first_ffn(load_run(base(world), folder).base_model.model) - plain for folder in runs]
    together = first_ffn(load_together(load_base(base(world)), runs).base_model.model) - plain
    torch.testing.assert_close(together, sum(residues), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["finetune", "lora", "neutral_residues", "llama_pro"])
def test_going_on_starts_from_the_weights_of_before(world, run, tmp_path, method):
    settings = {"method": method, "learning_rate": 1e-2}
    first = run(world.train_spec(tmp_path / "first", method=settings))
    # A rate of next to nothing: what comes out is what went in.
    still = {"method": method, "learning_rate": 1e-12}
    second = run(world.train_spec(tmp_path / "second", method=still, start_from=str(first), training={"steps": 1}))
    one, other = (logits(load_run(base(world), folder)) for folder in (first, second))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(one, logits(load_base(base(world))), atol=1e-3)


def test_going_on_with_a_model_that_brings_its_own_code_trusts_it_as_the_base_was_trusted(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    loaded = []
    monkeypatch.setattr(build_on_earlier, "load_base", lambda spec: loaded.append(spec) or tiny_model("llama"))
    build_on_earlier.start_from(tiny_model("llama", seed=1), tmp_path, trust_remote_code=True)
    assert [spec.trust_remote_code for spec in loaded] == [True]


def test_rows_of_before_are_gone_on_with(world, run, tmp_path):
    settings = {"method": "neutral_residues", "embeddings": "new_rows", "alpha": 1.0}
    first = run(world.train_spec(tmp_path / "first", method=settings))
    second = world.train_spec(tmp_path / "second", method=settings, start_from=str(first))
    second["inputs"][0]["tokens"] = str(world.held_out)
    configs = [json.loads((out / "adapter" / "adapter_config.json").read_text()) for out in (first, run(second))]
    assert configs[0]["new_rows"] == configs[1]["new_rows"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_from": "nowhere"}, "holds no finished run"),
        ({"add_to": "nowhere"}, "holds no finished run"),
        ({"start_from": "first", "method": {"method": "adapter"}}, "was trained with neutral_residues, not adapter"),
        (
            {"start_from": "first", "method": {"method": "neutral_residues", "gate": "elu"}},
            r"with other settings \(gate\); go on with the same",
        ),
        (
            {"start_from": "first", "method": {"method": "neutral_residues", "budget": 0.9}},
            r"with other settings \(width\); go on with the same",
        ),
        ({"add_to": "lora"}, "of the kind LORA, whose residues cannot be added up"),
        ({"add_to": "finetune"}, "holds no adapter; a run can be added to adapters only"),
        ({"add_to": "first", "base": "other"}, "was trained on .*, not on .*; give a run of this base"),
    ],
)
def test_runs_that_do_not_fit_are_refused(world, run, tmp_path, changes, message):
    for name in ("start_from", "add_to"):
        if name in changes:
            kind = changes[name] if changes[name] in ("lora", "finetune") else "neutral_residues"
            if changes[name] != "nowhere":
                run(world.train_spec(tmp_path / changes[name], method={"method": kind}, training={"steps": 1}))
            changes = {**changes, name: str(tmp_path / changes[name])}
    if changes.get("base") == "other":
        shutil.copytree(world.base, tmp_path / "other")
        weights = tmp_path / "other" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
        changes = {**changes, "base": {"model": str(tmp_path / "other")}}
    with pytest.raises(ModelError, match=message):
        run(world.train_spec(tmp_path / "run", **changes))


def test_methods_without_adapters_are_not_added(world, tmp_path):
    from nr_core.specs import TrainSpec

    for changes, message in (
        ({"method": {"method": "lora"}, "add_to": "run"}, "lora leaves no adapter whose residues"),
        ({"add_to": "run", "start_from": "run"}, "give add_to or start_from"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainSpec.model_validate(world.train_spec(tmp_path / "run", **changes))
    identity = TrainSpec.model_validate(world.train_spec(tmp_path / "run")).identity()
    assert not {"add_to", "start_from"} & set(identity), "runs of before keep their identity"
