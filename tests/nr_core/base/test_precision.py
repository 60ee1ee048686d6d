"""Adapters on bases held in 8 and 4 bits, with the packages that are installed (CI has none of them)."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from nr_core.base.load_base import load_base
from nr_core.base.precision import PACKAGE
from nr_core.errors import ModelError
from nr_core.methods.extend import extend
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec, MethodSettings
from tests.nr_core.tiny import tiny_model

KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed"))
    for kind, package in PACKAGE.items()
]
TOKENS = torch.arange(3, 13).unsqueeze(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("base")
    tiny_model("llama", hidden_size=64, intermediate_size=128, head_dim=32).save_pretrained(path)  # blocks of 64
    return path


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_training_starts_at_the_quantized_base(folder, kind):
    spec = BaseSpec(model=str(folder), quantize=kind)
    base = load_base(spec).eval()
    expected, whole = base(TOKENS).logits, AutoModelForCausalLM.from_pretrained(folder).eval()(TOKENS).logits
    assert not torch.equal(expected, whole)
    torch.testing.assert_close(expected, whole, rtol=0.2, atol=0.1)
    extension = extend(base, MethodSettings(method="neutral_residues"))
    assert torch.equal(extension.model.eval()(TOKENS).logits, expected)
    plain = extend(load_base(BaseSpec(model=str(folder))), MethodSettings(method="neutral_residues"))
    assert extension.extra_parameters == plain.extra_parameters
    assert {p.dtype for p in extension.model.parameters() if p.requires_grad} == {torch.float32}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["neutral_residues", "lora"])
def test_a_run_on_a_quantized_base_trains_and_loads(world, run, folder, tmp_path, kind, method):
    base = {"model": str(folder), "quantize": kind}
    inputs = world.train_spec(tmp_path)["inputs"]
    for source, stream in zip(inputs, (world.new, world.old), strict=True):
        source["tokens"] = str(narrow(stream, tmp_path / source["role"]))
    spec = world.train_spec(tmp_path / "run", base=base, inputs=inputs, method={"method": method})
    out = run({**spec, "training": {**spec["training"], "steps": 4}})
    trained = load_run(BaseSpec(**base), out).eval()
    with torch.no_grad():
        extended = trained(TOKENS).logits
        with trained.disable_adapter():
            assert not torch.allclose(trained(TOKENS).logits, extended, atol=1e-6)


def narrow(stream, out):
    """A token stream of 64 entries, for the tiny model."""
    out.mkdir()
    facts = json.loads((stream / "tokens.json").read_text())
    tokens = np.fromfile(stream / "stream.bin", facts["dtype"]) % 64
    tokens.tofile(out / "stream.bin")
    for name in ("offsets.npy", "byte_lengths.npy", "lost_bytes.npy"):
        (out / name).symlink_to(stream / name)
    (out / "tokens.json").write_text(json.dumps({**facts, "vocabulary_size": 64}))
    return out


def test_what_trains_the_base_itself_is_refused():
    model = tiny_model("llama")
    model.is_quantized = True
    for method in ("finetune", "llama_pro"):
        with pytest.raises(ModelError, match=f"{method} trains the base's own weights, and this base is quantized"):
            extend(model, MethodSettings(method=method))


def test_a_missing_package_is_named(monkeypatch, folder):
    monkeypatch.setattr("nr_core.base.precision.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs the package torchao: pip install 'neutral-residues\[quantized\]'"):
        load_base(BaseSpec(model=str(folder), quantize="torchao-int8"))


def test_the_base_of_before_keeps_its_identity():
    assert "quantize" not in BaseSpec(model="m").model_dump()
