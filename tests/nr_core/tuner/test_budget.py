"""Parameter accounting, against the counts of published models on the meta device."""

import copy

import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    RwkvConfig,
    RwkvForCausalLM,
)

from nr_core.errors import ModelError
from nr_core.methods.extend import extend
from nr_core.peft import NeutralResiduesConfig
from nr_core.settings import MethodSettings
from nr_core.tuner.budget import Backbone
from tests.nr_core.tiny import tiny_model

LLAMA_1B = {
    "hidden_size": 2048, "num_hidden_layers": 16, "intermediate_size": 8192, "num_attention_heads": 32,
    "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256, "tie_word_embeddings": True,
}  # fmt: skip
TINYLLAMA = {
    "hidden_size": 2048, "num_hidden_layers": 22, "intermediate_size": 5632, "num_attention_heads": 32,
    "num_key_value_heads": 4, "vocab_size": 32000, "tie_word_embeddings": False,
}  # fmt: skip
GEMMA_2B = {
    "hidden_size": 2048, "num_hidden_layers": 18, "intermediate_size": 16384, "num_attention_heads": 8,
    "num_key_value_heads": 1, "head_dim": 256, "vocab_size": 256000,
}  # fmt: skip
GEMMA_2_2B = {
    "hidden_size": 2304, "num_hidden_layers": 26, "intermediate_size": 9216, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256000,
}  # fmt: skip
QWEN3_06B = {
    "hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "sizes", "total", "embeddings", "width", "of_total", "extra", "share", "share_total"),
    [
        ("llama", LLAMA_1B, 1_235_814_400, 262_668_288, 1984, 2514, 195_067_904, 20.05, 15.78),
        ("llama", TINYLLAMA, 1_100_048_384, 131_072_000, 1408, 1627, 190_361_600, 19.65, 17.30),
        ("gemma", GEMMA_2B, 2_506_172_416, 524_288_000, 3584, 4532, 396_398_592, 20.00, 15.82),
        ("gemma2", GEMMA_2_2B, 2_614_341_888, 589_824_000, 2240, 2909, 402_614_784, 19.89, 15.40),
        ("qwen3", QWEN3_06B, 596_049_920, 155_582_464, 1024, 1386, 88_109_056, 20.00, 14.78),
    ],
)
def test_budgets_of_published_models(kind, sizes, total, embeddings, width, of_total, extra, share, share_total):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
        backbone = Backbone.of(model)
        assert (backbone.total, backbone.embeddings) == (total, embeddings)
        assert backbone.adapter_width(0.2, "non_embedding") == width
        assert round(backbone.exact_width(0.2, "total")) == of_total
        extension = extend(model, MethodSettings(method="neutral_residues", budget=0.2))
    assert extension.extra_parameters == extra
    shares = extension.shares()
    assert round(100 * shares["share_non_embedding"], 2) == share
    assert round(100 * shares["share_total"], 2) == share_total


def test_block_expansion_of_a_published_model_takes_the_nearest_whole_block():
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **LLAMA_1B))
        extension = extend(model, MethodSettings(method="llama_pro"))
    assert extension.model.config.num_hidden_layers == 19
    assert extension.shares()["share_non_embedding"] == pytest.approx(3 / 16, abs=1e-4)
    assert extension.trainable_parameters == extension.extra_parameters


@pytest.mark.parametrize("budget", [0.05, 0.1, 0.2, 0.5])
@pytest.mark.parametrize("budget_of", ["non_embedding", "total"])
def test_methods_have_an_equal_budget(budget, budget_of):
    extras = {}
    variants = {"attention": {"placement": "attention"}, "one layer": {"layers": [3]}, "ungated": {"gate": "none"}}
    for name in ("neutral_residues", "adapter", "lora", "dora", *variants):
        method = {"method": name} if name not in variants else {"method": "neutral_residues", **variants[name]}
        model = tiny_model("llama", hidden_size=128, intermediate_size=352, num_hidden_layers=4)
        extension = extend(model, MethodSettings(budget=budget, budget_of=budget_of, **method))
        extras[name] = extension.extra_parameters
        assert extension.trainable_parameters == extension.extra_parameters
        share = extension.shares()["share_total" if budget_of == "total" else "share_non_embedding"]
        assert share == pytest.approx(budget, rel=0.12), name
    assert extras["lora"] == pytest.approx(extras["neutral_residues"], rel=0.1)


def test_a_block_that_was_added_is_silent_and_alone_trained():
    base = tiny_model("gemma2", num_hidden_layers=4)
    tokens = torch.arange(3, 12).unsqueeze(0)
    expected = base(tokens).logits
    extension = extend(base, MethodSettings(method="llama_pro", budget=0.5))
    model = extension.model
    assert torch.allclose(model(tokens).logits, expected, atol=1e-6)
    trained = {name.split(".")[2] for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {"2", "5"}
    assert model.config.num_hidden_layers == len(model.config.layer_types) == 6


def test_block_expansion_needs_blocks_it_knows():
    with pytest.raises(ModelError, match="no feed-forward block"):
        extend(tiny_model("mamba", state_size=4, time_step_rank=2, conv_kernel=2), MethodSettings(method="llama_pro"))


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        (
            "qwen2_moe",
            {"mlp_only_layers": [0], "num_experts": 4, "moe_intermediate_size": 16},
        ),  # experts from layer 1 on
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    ],
)
def test_a_deeper_model_that_would_load_otherwise_is_refused(kind, sizes):
    model = tiny_model(kind, initializer_range=0.5, **sizes)
    with pytest.raises(ModelError, match=rf"of this kind \({kind}\) would not load as it is trained"):
        extend(model, MethodSettings(method="llama_pro", budget=4))


def test_layers_that_were_added_have_places_of_their_own_in_the_cache():
    """GPT-Neo's attention calls its place by another name."""
    base = tiny_model("gpt_neo", num_layers=2, hidden_size=32, num_heads=2, attention_types=[[["global", "local"], 1]])
    tokens = torch.arange(3, 12).unsqueeze(0)
    expected = base(tokens).logits
    model = extend(base, MethodSettings(method="llama_pro", budget=0.5)).model
    assert torch.allclose(model(tokens, use_cache=True).logits, expected, atol=1e-6)


@pytest.mark.parametrize("given", [{"budget": float("inf")}, {"budget": float("nan")}, {"budget": 0}, {"width": 0}])
def test_a_size_that_is_none_is_refused(given):
    with pytest.raises(ModelError, match=f"NeutralResiduesConfig.{next(iter(given))} is "):
        NeutralResiduesConfig(**given)


def test_layers_that_are_not_there_are_refused():
    with pytest.raises(ModelError, match="no layer 2: its 2 layers are 0 to 1"):
        extend(tiny_model("llama"), MethodSettings(method="adapter", layers=[0, 2]))


def test_lora_is_on_all_linear_layers_with_scale_two():
    model = extend(tiny_model("gpt2"), MethodSettings(method="lora")).model
    layers = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert {name.rsplit("h.0.", 1)[1] for name in layers if "h.0." in name} == {
        "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"
    }  # fmt: skip
    assert not any("lm_head" in name for name in layers)
    assert not any(m.use_dora["default"] for m in model.modules() if hasattr(m, "lora_A"))
    assert {scale for m in model.modules() if hasattr(m, "lora_A") for scale in m.scaling.values()} == {2}


def test_finetuning_trains_everything_and_adds_nothing():
    model = tiny_model("llama")
    extension = extend(model, MethodSettings(method="finetune"))
    assert extension.trainable_parameters == sum(p.numel() for p in model.parameters())
    assert extension.extra_parameters == 0
    frozen = extend(tiny_model("llama"), MethodSettings(method="finetune", embeddings="frozen"))
    assert extension.trainable_parameters - frozen.trainable_parameters == frozen.backbone.embeddings


def test_initialisations():
    low = extend(tiny_model("llama", hidden_size=64), MethodSettings(method="neutral_residues", budget=4.0)).model
    he = extend(tiny_model("llama", hidden_size=64), MethodSettings(method="adapter", budget=4.0)).model

    def deviation(model, part):
        return torch.cat([p.flatten() for n, p in model.named_parameters() if f"residues_{part}." in n]).std().item()

    for part in ("in", "glu"):
        assert deviation(low, part) == pytest.approx((64 * 2) ** -0.5, rel=0.05)
        assert deviation(he, part) == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    assert deviation(low, "out") == deviation(he, "out") == 0
    assert deviation(low, "block_gate") == pytest.approx((64 * 2) ** -0.5, rel=0.3)
    assert not [name for name, _ in he.named_parameters() if "block_gate" in name]


def test_what_is_looked_up_is_no_backbone():
    """Gemma 3n's embedding of each layer, and GPT-2's positions."""
    per_layer = {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 64, "vocab_size": 64}
    sizes = {"num_kv_shared_layers": 0, "layer_types": ["full_attention"] * 2, "laurel_rank": 4, "altup_num_inputs": 2}
    gemma = tiny_model("gemma3n_text", activation_sparsity_pattern=[0.0, 0.0], **per_layer, **sizes)
    tables = {id(p): p.numel() for n, p in gemma.named_parameters() if "embed_tokens" in n or "lm_head" in n}
    assert Backbone.of(gemma).embeddings == sum(tables.values()) >= 64 * 32 + 64 * 2 * 8
    gpt2 = Backbone.of(tiny_model("gpt2"))
    assert gpt2.embeddings == 2 * 64 * 32


@pytest.mark.parametrize("tower", [2, 3])
def test_the_budget_is_of_the_language_model_inside_a_vision_model(tower):
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = LlamaConfig(**sizes, vocab_size=64, num_key_value_heads=2)
    vision = CLIPVisionConfig(**{**sizes, "num_hidden_layers": tower}, image_size=16, patch_size=8)
    config = LlavaConfig(text_config=text, vision_config=vision, image_token_index=63)
    model = LlavaForConditionalGeneration(config)
    alone = LlamaForCausalLM(text)
    assert Backbone.of(model) == Backbone.of(alone)
    lora = extend(model, MethodSettings(method="lora"))
    assert lora.extra_parameters == extend(alone, MethodSettings(method="lora")).extra_parameters
    assert not [n for n, p in lora.model.named_parameters() if p.requires_grad and "vision" in n]


@pytest.mark.parametrize("architecture", ["mixtral", "qwen3_moe"])
def test_lora_covers_the_experts_of_a_mixture_and_dora_is_refused(architecture, tmp_path):
    sizes = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
    sizes |= {"hidden_size": 64, "intermediate_size": 96, "vocab_size": 64}
    model = tiny_model(architecture, **sizes)
    tokens = torch.arange(3, 12).unsqueeze(0)
    expected = model(tokens).logits
    extension = extend(model, MethodSettings(method="lora", budget=0.3))
    assert extension.shares()["share_non_embedding"] == pytest.approx(0.3, rel=0.1)
    trained = [name for name, p in extension.model.named_parameters() if p.requires_grad]
    assert any("experts" in name for name in trained) and any("q_proj" in name for name in trained)
    torch.testing.assert_close(extension.model(tokens).logits, expected)
    for name, parameter in extension.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    changed = extension.model.eval()(tokens).logits
    assert not torch.allclose(changed, expected, atol=1e-3)
    extension.model.save_pretrained(tmp_path)
    loaded = PeftModel.from_pretrained(tiny_model(architecture, **sizes), tmp_path).eval()
    torch.testing.assert_close(loaded(tokens).logits, changed)
    with pytest.raises(ModelError, match=r"dora: the model is a mixture of experts .* choose lora"):
        extend(tiny_model(architecture, **sizes), MethodSettings(method="dora"))


def test_mixing_weights_of_one_row_are_no_experts():
    model = RwkvForCausalLM(RwkvConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, context_length=16))
    for method in ("lora", "dora"):
        extended = extend(copy.deepcopy(model), MethodSettings(method=method)).model
        assert not [n for n, p in extended.named_parameters() if p.requires_grad and "time_mix" in n]
