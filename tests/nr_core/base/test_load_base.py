"""Loading models, what identifies them, and what is said of those that cannot be had."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from nr_core.base.load_base import check_files, context_length, load_base, load_shape, weights_hash, window_length
from nr_core.errors import ModelError
from nr_core.runs.build_on_earlier import load_together
from nr_core.runs.load_run import load_finished, load_run
from nr_core.settings import BaseSpec
from tests.nr_core.tiny import tiny_model


def test_the_hash_is_of_the_weights(world, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(world.base, copy)
    (copy / "README.md").write_text("another file")
    assert weights_hash(str(copy)) == weights_hash(str(world.base))
    tensors = load_file(copy / "model.safetensors")
    tensors["model.norm.weight"][0] += 1
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    assert weights_hash(str(copy)) != weights_hash(str(world.base))


def test_missing_models_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for call in (weights_hash, lambda name: load_base(BaseSpec(model=name))):
        with pytest.raises(
            ModelError, match=r"No causal language model could be loaded from nobody/nothing .*; give a"
        ):
            call("nobody/nothing")
    with pytest.raises(ModelError, match="has no such weights"):
        weights_hash(str(tmp_path))
    with pytest.raises(ModelError, match="could be loaded from"):
        load_base(BaseSpec(model=str(tmp_path)))


YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 48}
LLAMA_3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


@pytest.mark.parametrize(
    ("rope", "longest", "context"),
    [
        (None, 48, 48),
        (YARN, 48, 192),  # set by hand, as cards say
        (YARN, 192, 192),  # as models are published that were trained so
        (YARN | {"factor": 2.5}, 48, 120),
        ({"type": "yarn", "factor": 4.0}, 48, 192),
        ({"full_attention": YARN | {"rope_theta": 1e4}, "sliding_attention": {"rope_type": "default"}}, 48, 192),
        ({"rope_type": "linear", "factor": 8.0}, 48, 48),  # Gemma 3: the context is told with the factor in it
        (LLAMA_3 | {"original_max_position_embeddings": 12}, 48, 48),
    ],
)
def test_a_context_is_what_rotary_positions_are_scaled_to(rope, longest, context):
    family = "gemma3_text" if rope and "full_attention" in rope else "qwen2"
    scaled = {} if rope is None else {"rope_parameters": dict(rope)}
    config = type(AutoConfig.for_model(family))(max_position_embeddings=longest, **scaled)
    assert context_length(config) == context


@pytest.mark.parametrize(
    ("architecture", "name"), [("mpt", "max_seq_len"), ("gpt2", "n_positions"), ("opt", "max_position_embeddings")]
)
def test_a_context_is_known_by_each_architectures_name(architecture, name):
    config = AutoConfig.for_model(architecture, **{name: 24})
    assert context_length(config) == 24


@pytest.mark.parametrize("architecture", ["roberta", "xlm-roberta", "camembert", "xmod", "data2vec-text"])
def test_positions_before_the_padding_tokens_are_no_context(architecture):
    """RoBERTa's family: a window of all that the config counts would ask for positions that are not there."""
    kinds = {"languages": ["en"], "default_language": "en"} if architecture == "xmod" else {}
    model = tiny_model(architecture, max_position_embeddings=20, pad_token_id=1, is_decoder=True, **kinds)
    longest = context_length(model.config)
    assert longest == 18
    assert model(torch.full((1, longest), 5)).logits.shape[1] == 18
    with pytest.raises((IndexError, RuntimeError)):
        model(torch.full((1, longest + 1), 5))


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra", "roformer"])
def test_a_model_that_sees_what_comes_later_is_no_base(architecture, tmp_path):
    """transformers loads it as a causal one, and its bits per byte would be those of a model that was told the text."""
    tiny_model(architecture, initializer_range=0.3).save_pretrained(tmp_path / "both")
    tiny_model(architecture, initializer_range=0.3, is_decoder=True).save_pretrained(tmp_path / "one")
    for load in (load_shape, load_base):  # the first without weights, before anything is read or trained
        with pytest.raises(ModelError, match="from those behind it too"):
            load(BaseSpec(model=str(tmp_path / "both")))
        load(BaseSpec(model=str(tmp_path / "one")))


@pytest.mark.parametrize("architecture", ["gpt_neox", "bart", "xlm"])
def test_a_decoder_of_a_kind_that_may_see_later_is_a_base(architecture, tmp_path):
    tiny_model(architecture, initializer_range=0.3, causal=True, d_model=32, emb_dim=32).save_pretrained(tmp_path)
    assert load_base(BaseSpec(model=str(tmp_path))).config.model_type == architecture


def test_a_model_whose_biases_end_is_given_no_more():
    """MPT breaks beyond them, in the middle of a text."""
    model = tiny_model("mpt", max_seq_len=64)
    with pytest.raises(ModelError, match="made for a context of 64"):
        window_length(model, 128, "evaluation")
    assert window_length(model, None, "evaluation") == 64


def test_a_window_of_the_scaled_context_is_taken():
    model = tiny_model("qwen2", max_position_embeddings=48, rope_parameters={**YARN, "rope_theta": 1e4})
    assert window_length(model, 192, "evaluation") == window_length(model, None, "evaluation") == 192
    with pytest.raises(ModelError, match=r"sequence_length is 193 tokens, and .* a context of 192"):
        window_length(model, 193, "evaluation")


def test_pickled_weights_are_not_read(world, tmp_path):
    copy = tmp_path / "pickled"
    shutil.copytree(world.base, copy)
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"with config\.json and safetensors"):
        load_base(BaseSpec(model=str(copy)))


def test_an_adapter_alone_knows_its_base_and_the_revision(world, run, tmp_path, monkeypatch):
    spec = world.train_spec(tmp_path / "run", training={"steps": 2})
    base = BaseSpec(model=str(world.base), revision="v2")
    out = run({**spec, "base": base.model_dump(mode="json")})
    shutil.copytree(out / "adapter", tmp_path / "alone")
    loaded = []
    monkeypatch.setattr("nr_core.runs.load_run.load_base", lambda base: loaded.append(base) or load_base(base))
    for folder in (out / "adapter", tmp_path / "alone"):
        assert load_finished(folder)[1].eos_token == load_finished(out)[1].eos_token
    assert loaded == [base] * 4  # the adapter alone, and the whole run, twice


def test_a_folder_does_not_switch_on_code_of_its_own(world, run, tmp_path):
    out = run(world.train_spec(tmp_path / "run", training={"steps": 2}))
    report = json.loads((out / "run.json").read_text())
    report["base"]["trust_remote_code"] = True
    (out / "run.json").write_text(json.dumps(report))
    for folder in (out, out / "adapter"):
        with pytest.raises(ModelError, match="say so with --trust-remote-code"):
            load_finished(folder)
    load_finished(out, trust_remote_code=True)


def test_a_pickled_adapter_is_not_read(world, run, tmp_path):
    out = run(world.train_spec(tmp_path / "run", training={"steps": 2}))
    base = BaseSpec(model=str(world.base))
    weights = out / "adapter" / "adapter_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    for read in (
        lambda: load_run(base, out),
        lambda: load_finished(out / "adapter"),
        lambda: load_together(base, [out]),
    ):
        with pytest.raises(ModelError, match=r"pickled weights \(adapter_model\.bin\) are not read"):
            read()
    with pytest.raises(ModelError, match=r"holds no run \(run\.json\), no adapter"):
        load_finished(tmp_path)


def test_incomplete_weights_are_refused_rather_than_filled_at_random(world, tmp_path):
    copy = tmp_path / "incomplete"
    shutil.copytree(world.base, copy)
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 of the model's weights, model\.layers\.0\.mlp\.up_proj\.weight"):
        load_base(BaseSpec(model=str(copy)))
    whole = (world.base / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="could be loaded from"):
        load_base(BaseSpec(model=str(copy)))


def test_an_adapter_is_no_base(world, tmp_path):
    """transformers would load it into the model, and of a finetuned one save the adapter alone."""
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    shutil.copytree(world.base, beside)
    adapter = get_peft_model(load_base(BaseSpec(model=str(world.base))), LoraConfig(target_modules=["v_proj"]))
    for folder in (alone, beside):
        adapter.save_pretrained(folder)
        for refuse in (load_base, check_files):
            with pytest.raises(ModelError, match=r"holds an adapter of PEFT .* merge the adapter into its base"):
                refuse(BaseSpec(model=str(folder)))


def test_a_gguf_file_is_split_into_folder_and_name(tmp_path):
    spec = BaseSpec(model=str(tmp_path / "base.Q8_0.gguf"))
    assert (spec.model, spec.gguf_file) == (str(tmp_path), "base.Q8_0.gguf")
    (tmp_path / "base.Q8_0.gguf").write_bytes(b"GGUF")
    assert len(weights_hash(spec.model, gguf_file=spec.gguf_file)) == 64
    with pytest.raises(ModelError, match=r"gguf"):
        load_base(spec)


def test_a_folder_without_a_run_is_refused(world, tmp_path):
    with pytest.raises(ModelError, match="holds no trained run"):
        load_run(BaseSpec(model=str(world.base)), tmp_path)
