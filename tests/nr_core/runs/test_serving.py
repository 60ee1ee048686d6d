"""What a trained adapter is used through: streaming generation, the wider Llama, the model card."""

import json
import shutil

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM

from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.generation.generate import stream
from nr_core.peft import NeutralResiduesConfig
from nr_core.runs.build_on_earlier import base_of_run, check_run
from nr_core.runs.load_run import load_finished, load_run, write_base_type
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenizer import load_tokenizer
from nr_core.tuner.wider_ffn import export_wider
from tests.nr_core.tiny import tiny_model

TOKENS = torch.randint(3, 64, (2, 9), generator=torch.Generator().manual_seed(0))


def extended(architecture, **config):
    model = get_peft_model(tiny_model(architecture), NeutralResiduesConfig(width=8, **config)).eval()
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "neutral_residues" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@torch.no_grad()
def test_the_vanilla_adapter_is_a_wider_llama(tmp_path):
    model = extended("llama", gate="none", initialisation="he")
    expected = model(TOKENS).logits
    export_wider(model, tmp_path / "wider")
    wider = AutoModelForCausalLM.from_pretrained(tmp_path / "wider").eval()
    assert wider.config.intermediate_size == 48 + 8
    torch.testing.assert_close(wider(TOKENS).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "config", "message"),
    [("llama", {}, "Only adapters without a gate"), ("gpt2", {"gate": "none"}, "GPT2MLP is not Llama's FFN"),
     ("olmo2", {"gate": "none"}, "not Llama's FFN"), ("llama", {"gate": "none", "layers": [0]}, "1 of 2 layers")],
)  # fmt: skip
def test_what_cannot_be_a_wider_llama_is_refused(tmp_path, architecture, config, message):
    with pytest.raises(ModelError, match=message):
        export_wider(extended(architecture, **config), tmp_path / "wider")
    assert not (tmp_path / "wider").exists()


def test_streaming_gives_what_generate_gives(world):
    model, tokenizer = load_base(BaseSpec(model=str(world.base))), load_tokenizer(str(world.tokenizer))
    prompt = "çégni bakemi"
    ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
    whole = model.eval().generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
    pieces = list(stream(model, tokenizer, prompt, max_new_tokens=20))
    assert "".join(pieces) == tokenizer.decode(whole, skip_special_tokens=True)
    drawn = ["".join(stream(model, tokenizer, prompt, 20, temperature=1.0, seed=seed)) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    with pytest.raises(ModelError, match="The prompt is empty"):
        list(stream(model, tokenizer, ""))


def test_an_adapter_folder_says_what_it_is(world, run, tmp_path):
    out = run(world.train_spec(tmp_path / "run"))
    card = (out / "adapter" / "README.md").read_text()
    for line in (
        f"base_model: {world.base}",
        "- fra",
        "| method | neutral_residues |",
        f"| tokenizer | {world.base} |",
    ):
        assert line in card
    assert load_run(BaseSpec(model=str(world.base)), out) is not None


def test_a_run_finds_its_base_beside_it_where_both_were_moved(world, run, tmp_path):
    base = shutil.copytree(world.base, tmp_path / "here" / "models" / "b1")
    out = run(world.train_spec(tmp_path / "here" / "runs" / "r1", base={"model": str(base)}))
    spec = BaseSpec(model=str(base))
    assert base_of_run(out, json.loads((out / "run.json").read_text())).model == str(base)
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there" / "runs" / "r1"
    assert load_finished(moved)[0] is not None and load_finished(moved / "adapter")[0] is not None
    check_run(moved, spec.model_copy(update={"model": str(tmp_path / "there" / "models" / "b1")}))


def test_an_adapter_taken_out_of_its_run_finds_its_base_as_it_was_held(world, run, tmp_path):
    for dtype in ("float32", "bfloat16"):
        out = run(world.train_spec(tmp_path / dtype, base={"model": str(world.base), "dtype": dtype}))
        alone = shutil.copytree(out / "adapter", tmp_path / f"pulled-{dtype}")
        assert load_finished(alone)[0].get_input_embeddings().weight.dtype == getattr(torch, dtype)
    assert not (tmp_path / "pulled-float32" / "base.json").exists()
    held = alone / "base.json"
    assert json.loads(held.read_text()) == {"dtype": "bfloat16"}
    held.write_text('{"dtype": "float32", "model": "elsewhere", "trust_remote_code": true}')
    assert load_finished(alone)[0].get_input_embeddings().weight.dtype == torch.float32
    held.write_text('{"dtype": "float7"}')
    with pytest.raises(ModelError, match=r"base\.json could not be read"):
        load_finished(alone)
    write_base_type(BaseSpec(model="m", quantize="torchao-int8"), tmp_path)
    assert json.loads((tmp_path / "base.json").read_text()) == {"quantize": "torchao-int8"}
