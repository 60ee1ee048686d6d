"""The adapter as a PEFT method, on decoders of several builds."""

import copy
import json
import pickle

import pytest
import torch
from peft import PeftModel, get_peft_model
from peft.utils import PeftType

from nr_core.errors import ModelError
from nr_core.peft import NeutralResiduesConfig, find_taps
from nr_core.tuner.adapter_sites import find_sites
from nr_core.tuner.config import _extend_peft_type
from tests.nr_core.tiny import assert_same, tiny_model

# One FFN module (llama, gpt_neox, gpt2 with Conv1D), a norm after the FFN (gemma2, olmo2), fc1 and fc2 (opt).
ARCHITECTURES = ["llama", "gpt2", "gemma2", "olmo2", "opt", "gpt_neox"]
TOKENS = torch.randint(3, 64, (2, 9), generator=torch.Generator().manual_seed(0))


def logits(model):
    with torch.no_grad():
        return model(TOKENS).logits


def randomise(model, seed=0):
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)


def test_the_method_is_a_member_of_pefts_closed_enum():
    """What peft and transformers do with it, on any version of Python (seen: 3.11, 3.12, 3.13)."""
    member = PeftType.NEUTRAL_RESIDUES
    assert isinstance(member, PeftType) and isinstance(member, str)
    assert PeftType("NEUTRAL_RESIDUES") is PeftType["NEUTRAL_RESIDUES"] is member
    assert member == "NEUTRAL_RESIDUES" == member.value == member.name
    assert list(PeftType).count(member) == 1 and member in PeftType and len(PeftType) == len(set(PeftType))
    assert copy.deepcopy(member) is member and pickle.loads(pickle.dumps(member)) is member
    assert json.dumps({"peft_type": member}) == '{"peft_type": "NEUTRAL_RESIDUES"}'
    assert {member: 1}[PeftType("NEUTRAL_RESIDUES")] == 1 and member != PeftType.LORA
    _extend_peft_type("NEUTRAL_RESIDUES")
    assert PeftType.NEUTRAL_RESIDUES is member, "imported twice, it stays one member"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lives_as_a_peft_method(architecture, tmp_path):
    base = logits(tiny_model(architecture))
    model = get_peft_model(tiny_model(architecture), NeutralResiduesConfig(width=8)).eval()
    assert_same(logits(model), base)  # training must start at the backbone exactly
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert len(trainable) == 2 * 4
    assert all("neutral_residues_" in name for name in trainable)

    randomise(model)
    extended = logits(model)
    assert not torch.allclose(extended, base)
    with model.disable_adapter():
        assert_same(logits(model), base)
    assert_same(logits(copy.deepcopy(model)), extended)

    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (saved["peft_type"], saved["format_version"], saved["layers"]) == ("NEUTRAL_RESIDUES", 1, [0, 1])
    assert_same(logits(PeftModel.from_pretrained(tiny_model(architecture), tmp_path).eval()), extended)
    native = tiny_model(architecture)
    native.load_adapter(str(tmp_path))
    assert_same(logits(native.eval()), extended)  # transformers' own load_adapter must read the same weights

    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    cached = model.generate(TOKENS, use_cache=True, **settings)
    assert torch.equal(cached, model.generate(TOKENS, use_cache=False, **settings))
    assert_same(logits(model.unload()), base)


def test_two_adapters_add_their_residues():
    model = get_peft_model(tiny_model("gemma2"), NeutralResiduesConfig(width=8), adapter_name="first").eval()
    randomise(model)
    first = logits(model)
    model.add_adapter("second", NeutralResiduesConfig(width=4))
    assert_same(logits(model), first)
    model.set_adapter("second")
    assert_same(logits(model), logits(tiny_model("gemma2")))
    model.base_model.set_adapter(["first", "second"])
    with find_taps(model).collect() as taps:
        assert_same(logits(model), first)
        assert set(taps.slots) == {(name, layer) for name in ("first", "second") for layer in (0, 1)}
    model.delete_adapter("second")
    assert_same(logits(model), first)


def test_taps_measure_each_token_and_are_dropped():
    model = get_peft_model(tiny_model("opt"), NeutralResiduesConfig(width=8)).eval()
    randomise(model)
    taps = find_taps(model)
    logits(model)
    assert not taps.slots
    with taps.collect():
        logits(model)
        assert [(tap.size.shape, tap.gate.shape) for tap in taps.slots.values()] == [((18,), (18,))] * 2
        assert all(((tap.size > 0) == (tap.gate > 0)).all() for tap in taps.slots.values())
    assert not taps.slots


def test_sites_of_a_model_with_a_norm_after_the_ffn():
    assert [(site.source, site.sink) for site in find_sites(tiny_model("gemma2"))] == [
        (f"model.layers.{i}.mlp", f"model.layers.{i}.post_feedforward_layernorm") for i in (0, 1)
    ]


def test_a_model_without_ffn_is_refused():
    model = tiny_model("mamba", state_size=4, time_step_rank=2, conv_kernel=2)
    with pytest.raises(ModelError, match=r"\(mamba\) has no feed-forward block"):
        get_peft_model(model, NeutralResiduesConfig(width=8))


@pytest.mark.parametrize("config", [None, {"model_type": "custom", "hidden_size": 8}])
def test_a_module_without_a_config_of_transformers_is_refused(config):
    """PEFT asks such models for a dict, or takes none; LoRA works on them."""
    plain = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU())
    if config is not None:
        plain.config = config
    for placed in ({}, {"sites": ["0"]}, {"placement": "attention"}):
        with pytest.raises(ModelError, match="Sequential has no `config` of transformers"):
            get_peft_model(plain, NeutralResiduesConfig(width=4, **placed))


def test_sites_can_be_given(tmp_path):
    """A sink inside its source, and an adapter in parallel to attention: places that only the user can ask for."""
    sites = [
        "transformer.h.0.mlp:transformer.h.0.mlp.c_proj",
        "transformer.h.1.attn.c_attn:transformer.h.1.attn.c_proj",
    ]
    model = get_peft_model(tiny_model("gpt2"), NeutralResiduesConfig(width=8, sites=sites)).eval()
    assert_same(logits(model), logits(tiny_model("gpt2")))
    randomise(model)
    model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model("gpt2"), tmp_path).eval()
    assert_same(logits(loaded), logits(model))
    assert find_taps(model) is not None
    mamba = tiny_model("mamba", state_size=4, time_step_rank=2, conv_kernel=2)
    found = NeutralResiduesConfig(width=8, sites=["backbone.layers.0.mixer", "backbone.layers.1.mixer"])
    assert len([n for n, p in get_peft_model(mamba, found).named_parameters() if p.requires_grad]) == 8
    with pytest.raises(ModelError, match=r"no module 'transformer\.h\.9'; give names"):
        get_peft_model(tiny_model("gpt2"), NeutralResiduesConfig(width=8, sites=["transformer.h.9"]))
    with pytest.raises(ModelError, match="and so does placement; give one"):
        NeutralResiduesConfig(width=8, sites=sites, placement="attention")


def test_merging_and_unknown_values_are_refused():
    model = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=8))
    with pytest.raises(ModelError, match="cannot be merged"):
        model.merge_and_unload()
    with pytest.raises(ModelError, match="gate is 'tanh'"):
        NeutralResiduesConfig(gate="tanh")
    with pytest.raises(ModelError, match="newer neutral-residues"):
        NeutralResiduesConfig(format_version=4)


def test_an_adapter_of_a_model_built_otherwise_is_refused(tmp_path):
    """PEFT would leave its weights as they were drawn, and only warn."""
    extended = get_peft_model(tiny_model("opt"), NeutralResiduesConfig(embeddings="residue"))
    extended.save_pretrained(tmp_path)
    PeftModel.from_pretrained(tiny_model("opt"), tmp_path)
    for other in ("qwen2", "bloom"):
        with pytest.raises(ModelError, match="load the adapter on the base that it was made for"):
            PeftModel.from_pretrained(tiny_model(other), tmp_path)
    for given in (["gate_proj"], ["q_proj", "mlp"], "all-linear"):
        with pytest.raises(ModelError, match="leave target_modules out"):
            get_peft_model(tiny_model("llama"), NeutralResiduesConfig(target_modules=given))
    with pytest.raises(ModelError, match=r"exclude_modules has no sense here: .* as layers="):
        NeutralResiduesConfig(exclude_modules=["model.layers.1.mlp"])


def test_adapters_of_the_first_format_load(tmp_path):
    model = get_peft_model(tiny_model("gemma2"), NeutralResiduesConfig(width=8)).eval()
    randomise(model)
    model.save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    config = json.loads(path.read_text())
    assert config["format_version"] == 1
    path.write_text(json.dumps({k: v for k, v in config.items() if k not in ("placement", "embeddings", "new_rows")}))
    loaded = PeftModel.from_pretrained(tiny_model("gemma2"), tmp_path).eval()
    assert_same(logits(loaded), logits(model))


def test_adapters_of_a_bf16_base_stay_in_fp32():
    model = get_peft_model(tiny_model("llama").to(torch.bfloat16), NeutralResiduesConfig(width=8)).eval()
    randomise(model)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    assert logits(model).dtype == torch.bfloat16
