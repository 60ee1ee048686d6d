"""A vision model: adapters, passes and cuts go to its text decoder, however deep its image tower is."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from peft import get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from nr_core.base.language_model import decoder_layers, decoder_stack, language_model, set_layer_passes
from nr_core.errors import ModelError
from nr_core.peft import NeutralResiduesConfig
from nr_core.tuner.adapter_sites import find_sites
from nr_core.tuner.layer import find_taps
from tests.nr_core.tiny import SIZES, tiny_model

VISION = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "image_size": 8, "patch_size": 4}
BUILDS = {
    "llava": ("llama", {"model_type": "clip_vision_model", **VISION}),
    "gemma3": ("gemma3_text", {"model_type": "siglip_vision_model", **VISION}),
    "qwen2_vl": ("qwen2_vl_text", {"depth": 2, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "patch_size": 4}),
    "mllama": ("mllama_text_model", VISION),
}


def vision_model(architecture, image_layers=2):
    kind, vision = BUILDS[architecture]
    text = {"model_type": kind, **SIZES}
    if architecture == "qwen2_vl":
        text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    if architecture == "mllama":
        text["cross_attention_layers"] = [1]
    layers = dict.fromkeys(("num_hidden_layers", "depth", "num_global_layers"), image_layers)
    config = AutoConfig.for_model(architecture, text_config=text, vision_config={**layers, **vision})
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


@pytest.mark.parametrize("image_layers", [2, 3])
@pytest.mark.parametrize("architecture", BUILDS)
def test_the_text_decoder_is_found_beside_an_image_tower(architecture, image_layers):
    model = vision_model(architecture, image_layers)
    assert [site.source for site in find_sites(model)] == [f"model.language_model.layers.{i}.mlp" for i in (0, 1)]
    assert decoder_layers(model) is model.model.language_model.layers
    assert language_model(model) is model.model.language_model
    extended = get_peft_model(model, NeutralResiduesConfig(width=8))
    assert decoder_layers(extended) is model.model.language_model.layers


def test_layers_of_a_vision_model_are_recomputed():
    model = tiny_model("llama")
    assert language_model(model) is model
    assert decoder_stack(model).name == "model.layers"
    text, vision = {"model_type": "llama", **SIZES}, BUILDS["llava"][1]
    config = AutoConfig.for_model("llava", text_config=text, vision_config=vision)
    model = AutoModelForImageTextToText.from_config(config)
    tokens = torch.tensor([[3, 4, 5]])
    plain = torch.autograd.grad(model(input_ids=tokens).logits.sum(), model.lm_head.weight)[0]
    set_layer_passes(model, compile_layers=False, recompute_layers=True)
    again = torch.autograd.grad(model(input_ids=tokens).logits.sum(), model.lm_head.weight)[0]
    torch.testing.assert_close(again, plain)


def graphs_of_compiled_layers(count, monkeypatch):
    monkeypatch.setattr("torch.compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model = get_peft_model(tiny_model("llama", num_hidden_layers=count), NeutralResiduesConfig(width=8))
    set_layer_passes(model, compile_layers=True, recompute_layers=False)
    for _ in range(2):
        with find_taps(model).collect() as taps:
            model(input_ids=torch.tensor([[3, 4, 5]]), use_cache=False).logits.sum().backward()
            assert [layer for _, layer in taps.slots] == list(range(count))
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def test_compiled_layers_are_compiled_once_for_all(monkeypatch):
    """torch.compile gives up after eight versions of a layer: a model of ten would be compiled in part."""
    with monkeypatch.context() as within:
        assert graphs_of_compiled_layers(10, within) == graphs_of_compiled_layers(3, within) > 0


class Twins(nn.Module):
    """Two stacks as near to the token embedding as each other."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(4, 4)
        self.left, self.right = (nn.ModuleList([nn.Linear(4, 4)]) for _ in range(2))
        self.config = SimpleNamespace(model_type="twins", num_hidden_layers=1)
        self.config.get_text_config = lambda: self.config

    def get_input_embeddings(self):
        return self.embedding


def test_what_does_not_tell_its_decoder_is_refused_with_the_true_reason():
    model = Twins()
    with pytest.raises(ModelError, match=r"\(twins\) has several stacks of layers: left, right\. .*sites=\[\.\.\.\]"):
        find_sites(model)
    with pytest.raises(ModelError, match=r"several stacks.*leave compile_layers"):
        decoder_layers(model)
    model.config.num_hidden_layers = 3
    with pytest.raises(ModelError, match="no stack of 3 layers"):
        find_sites(model)
    model.get_input_embeddings = lambda: None
    with pytest.raises(ModelError, match="does not tell which module embeds its tokens"):
        find_sites(model)
    hybrid = AutoModelForCausalLM.from_config(AutoConfig.for_model("mamba", hidden_size=16, num_hidden_layers=1))
    with pytest.raises(ModelError, match=r"no feed-forward block known here in its layer 0.*NeutralResiduesConfig"):
        find_sites(hybrid)
