"""The code in a card is run as it stands, and gives the logits of the run."""

import re
import shutil

import pytest
import torch
import yaml

from flows.cli.push import fill
from nr_core.runs.build_on_earlier import ADAPTER_FOLDER, MODEL_FOLDER
from nr_core.runs.load_run import load_finished, load_run
from nr_core.runs.model_card import model_card
from nr_core.settings import BaseSpec
from tests.nr_core.tiny import assert_same

TOKENS = torch.tensor([[5, 90, 30, 77, 140]])
FAST = {"learning_rate": 0.05}  # in a few steps, so that an adapter that is missing is seen


def code_of(card, address, folder):
    return re.search(r"```python\n(.*?)```", card, re.S)[1].replace(address, str(folder))


@torch.no_grad()
def assert_code_loads(code, run, base):
    loaded = {}
    exec(code, loaded)  # noqa: S102  (what is tested)
    expected = load_run(base, run).eval()(TOKENS).logits
    assert_same(loaded["model"].eval()(TOKENS).logits, expected)
    assert loaded["tokenizer"]("bakemi")["input_ids"]


@pytest.mark.parametrize(
    "method", ["neutral_residues", "adapter", "lora", "finetune", "llama_pro", "added", "gated_rows", "bfloat16"]
)
def test_the_code_of_a_card_loads_the_run(world, run, tmp_path, method):
    base = BaseSpec(model=str(world.base))
    steps = {"training": {"steps": 3}}
    if method == "added":
        first = run(world.train_spec(tmp_path / "first", method={"method": "neutral_residues", **FAST}, **steps))
        spec = world.train_spec(tmp_path / "run", method={"method": "neutral_residues", **FAST}, **steps)
        out = run(spec | {"add_to": str(first)})
    elif method == "gated_rows":
        rows = {"method": "neutral_residues", "embeddings": method, **FAST}
        out = run(world.train_spec(tmp_path / "run", method=rows, **steps))
    elif method == "bfloat16":  # what the base is held in
        base = BaseSpec(model=str(world.base), dtype=method)
        spec = world.train_spec(tmp_path / "run", method={"method": "adapter", **FAST}, **steps)
        out = run(spec | {"base": base.model_dump()})
    else:
        out = run(world.train_spec(tmp_path / "run", method={"method": method, **FAST}, **steps))
    folder = out / (MODEL_FOLDER if (out / MODEL_FOLDER).is_dir() else ADAPTER_FOLDER)
    card = (folder / "README.md").read_text()
    assert_code_loads(code_of(card, "this folder", folder), out, base)
    assert ("weight of the local loss" in card) == (method in ("neutral_residues", "added", "gated_rows"))
    assert ("nr_core" in card) == (method not in ("lora", "finetune", "llama_pro"))
    assert ("library_name: transformers" in card) == (folder.name == MODEL_FOLDER)

    pushed = fill(tmp_path / "pushed", out, "somebody/run", "org/base", tmp_path)
    assert not [file for file in pushed.rglob("*") if file.is_file() and str(world.root).encode() in file.read_bytes()]
    code = code_of((pushed / "README.md").read_text(), "somebody/run", pushed).replace("org/base", str(world.base))
    assert_code_loads(code, out, base)

    model, _ = load_finished(folder)  # of an adapter's own folder: with those that were active beside it
    with torch.no_grad():
        assert_same(model.eval()(TOKENS).logits, load_run(base, out).eval()(TOKENS).logits)


@pytest.mark.parametrize("method", ["neutral_residues", "lora"])
def test_the_code_of_a_card_loads_a_run_on_a_gguf_file(world, run, tmp_path, method):
    pytest.importorskip("gguf")
    from tests.nr_core.gguf_file import write_gguf

    base = BaseSpec(model=str(write_gguf(world.base, tmp_path / "small.F32.gguf")))
    spec = world.train_spec(tmp_path / "run", method={"method": method, **FAST}, training={"steps": 3})
    out = run(spec | {"base": base.model_dump()})
    folder = out / ADAPTER_FOLDER
    assert_code_loads(code_of((folder / "README.md").read_text(), "this folder", folder), out, base)

    pushed = fill(tmp_path / "pushed", out, "somebody/run", "org/base/small.F32.gguf", tmp_path)
    code = code_of((pushed / "README.md").read_text(), "somebody/run", pushed).replace("org/base", str(tmp_path))
    assert_code_loads(code, out, base)

    config = pushed / "adapter_config.json"
    config.write_text(config.read_text().replace("org/base", str(tmp_path)))
    for place in (folder, pushed):
        model, _ = load_finished(place)
        with torch.no_grad():
            assert_same(model.eval()(TOKENS).logits, load_run(base, out).eval()(TOKENS).logits)


@pytest.mark.slow
def test_nr_generate_from_a_gguf_file_says_its_text_alone(world, run, tmp_path):
    pytest.importorskip("gguf")
    from tests.flows.conftest import nr
    from tests.nr_core.gguf_file import write_gguf

    base = BaseSpec(model=str(write_gguf(world.base, tmp_path / "small.F32.gguf")))
    out = run(world.train_spec(tmp_path / "run", training={"steps": 1}) | {"base": base.model_dump()})
    said = nr("generate", out, "ba ke", "--max-tokens", 2, cwd=tmp_path)
    assert said.returncode == 0 and said.stdout.startswith("ba ke") and said.stderr == ""


def test_a_pushed_folder_is_whole(world, run, tmp_path):
    spec = world.train_spec(tmp_path / "one", method={"method": "neutral_residues", **FAST})
    first = run(spec)
    out = run({**spec, "out": str(tmp_path / "two"), "add_to": str(first)})
    pushed = fill(tmp_path / "pushed", out, "somebody/run", "org/base", tmp_path)
    shutil.move(pushed, tmp_path / "pulled")
    config = tmp_path / "pulled" / "adapter_config.json"
    config.write_text(config.read_text().replace("org/base", str(world.base)))
    with torch.no_grad():
        model, _ = load_finished(tmp_path / "pulled")
        assert_same(model.eval()(TOKENS).logits, load_run(BaseSpec(model=str(world.base)), out).eval()(TOKENS).logits)


REPORT = {"method": "neutral_residues", "extra_parameters": 1, "share_non_embedding": 0.2, "share_total": 0.1,
          "learning_rate": 1e-4, "alpha": 0.01, "steps": 1, "tokens": 1, "seconds": 1}  # fmt: skip


@pytest.mark.parametrize(
    ("base", "argument"),
    [({"model": "org/base", "revision": "v2"}, 'revision="v2"'),
     ({"model": "/models/small.gguf"}, '"/models", gguf_file="small.gguf"'),
     ({"model": "/models/kicsi 🐎"}, '"/models/kicsi 🐎"'),
     ({"model": "org/base", "trust_remote_code": True}, "trust_remote_code=True"),
     ({"model": "org/base", "dtype": "bfloat16"}, 'dtype="bfloat16"'),
     ({"model": "org/base", "quantize": "bitsandbytes-int8"}, "BitsAndBytesConfig(load_in_8bit=True)"),
     ({"model": "org/base", "quantize": "torchao-int8"}, "TorchAoConfig(Int8WeightOnlyConfig())")],
)  # fmt: skip
def test_the_code_loads_the_base_as_the_run_did(base, argument):
    card = model_card(BaseSpec.model_validate(base), ["fra"], REPORT)
    code = code_of(card, "this folder", "x")
    compile(code, "card", "exec")
    assert argument in code
    assert ("reads no GGUF file" in card) == ("gguf_file" in code)


@pytest.mark.parametrize("model", ["someone/base", "/models/mine: the third", "#2/base", "no", 'a "b"'])
def test_the_front_of_a_card_is_yaml_that_names_the_base(model):
    figures = {
        "extra_parameters": 1,
        "share_non_embedding": 0.1,
        "share_total": 0.1,
        "learning_rate": 1e-3,
        "alpha": 0.1,
    }
    report = {"method": "lora", "steps": 1, "tokens": 1, "seconds": 1.0, **figures}
    front = model_card(BaseSpec(model=model), ["hun"], report).split("---")[1]
    assert yaml.safe_load(front)["base_model"] == model
