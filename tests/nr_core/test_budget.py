"""Parameter accounting, against the counts of published models on the meta device."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from nr_core.budget import Backbone
from nr_core.methods import extend
from nr_core.settings import MethodSettings
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
QWEN3_06B = {
    "hidden_size": 1024, "num_hidden_layers": 28, "intermediate_size": 3072, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "tie_word_embeddings": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "sizes", "total", "embeddings", "width", "extra", "share", "share_total"),
    [
        ("llama", LLAMA_1B, 1_235_814_400, 262_668_288, 1984, 195_067_904, 20.05, 15.78),
        ("llama", TINYLLAMA, 1_100_048_384, 131_072_000, 1408, 190_361_600, 19.65, 17.30),
        ("gemma", GEMMA_2B, 2_506_172_416, 524_288_000, 3584, 396_398_592, 20.00, 15.82),
        ("qwen3", QWEN3_06B, 596_049_920, 155_582_464, 1024, 88_109_056, 20.00, 14.78),
    ],
)
def test_budgets_of_published_models(kind, sizes, total, embeddings, width, extra, share, share_total):
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
        backbone = Backbone.of(model)
        assert (backbone.total, backbone.embeddings) == (total, embeddings)
        assert backbone.adapter_width(0.2, "non_embedding") == width
        extension = extend(model, MethodSettings(method="neutral_residues", budget=0.2))
    assert extension.extra_parameters == extra
    shares = extension.shares()
    assert round(100 * shares["share_non_embedding"], 2) == share
    assert round(100 * shares["share_total"], 2) == share_total


def test_methods_have_an_equal_budget():
    extras = {}
    for method in ("neutral_residues", "adapter", "lora"):
        extension = extend(tiny_model("llama", hidden_size=64), MethodSettings(method=method, budget=0.3))
        extras[method] = extension.extra_parameters
        assert extension.trainable_parameters == extension.extra_parameters
    assert max(extras.values()) < 1.1 * min(extras.values()), extras


def test_lora_is_on_all_linear_layers_with_scale_two():
    model = extend(tiny_model("gpt2"), MethodSettings(method="lora")).model
    layers = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert {name.rsplit("h.0.", 1)[1] for name in layers if "h.0." in name} == {
        "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"
    }  # fmt: skip
    assert not any("lm_head" in name for name in layers)
    assert {scale for m in model.modules() if hasattr(m, "lora_A") for scale in m.scaling.values()} == {2}


def test_finetuning_trains_everything_and_adds_nothing():
    model = tiny_model("llama")
    extension = extend(model, MethodSettings(method="finetune"))
    assert extension.trainable_parameters == sum(p.numel() for p in model.parameters())
    assert extension.extra_parameters == 0


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
