"""The FLOPs of a training step against those that torch counts while it computes them."""

import pytest
import torch
from peft import get_peft_model
from torch.utils.flop_counter import FlopCounterMode

from nr_core.errors import ModelError
from nr_core.methods.extend import extend
from nr_core.peft import NeutralResiduesConfig
from nr_core.settings import BaseSpec, MethodSettings, TrainingSettings
from nr_core.training.flops import peak_flops, peak_tokens, planned_flops, training_flops
from tests.nr_core.tiny import tiny_model

LENGTH = 16


def counted(model) -> float:
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.zeros(2, LENGTH, dtype=torch.long), use_cache=False).logits.sum().backward()
    return counter.get_total_flops() / (2 * LENGTH)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "opt"])
@pytest.mark.parametrize("method", ["finetune", "lora", "adapter", "neutral_residues"])
def test_the_formula_is_what_is_computed(architecture, method):
    base = tiny_model(architecture, attn_implementation="eager")
    base.set_attn_implementation("eager")  # the counter sees plain products only
    model = extend(base, MethodSettings(method=method)).model.train()
    assert training_flops(model, LENGTH) == counted(model)
    assert model.training


@pytest.mark.parametrize("method", ["finetune", "lora", "neutral_residues"])
def test_a_training_has_its_price_before_there_are_weights(method, tmp_path):
    base = tiny_model("llama")
    base.config.save_pretrained(tmp_path)  # and no weights
    settings = MethodSettings(method=method)
    training = TrainingSettings(steps=7, batch_size=3, sequence_length=LENGTH)
    price = planned_flops(BaseSpec(model=str(tmp_path)), settings, training)
    assert price == training_flops(extend(base, settings).model, LENGTH) * 7 * 3 * LENGTH


def test_of_a_base_that_sees_later_tokens_that_is_said_and_not_that_adapters_have_no_place_in_it(tmp_path):
    tiny_model("bert").config.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="from those behind it too"):
        planned_flops(BaseSpec(model=str(tmp_path)), MethodSettings(method="neutral_residues"), TrainingSettings())


def test_what_lies_below_the_first_adapter_gets_no_gradient():
    base = tiny_model("llama")
    base.set_attn_implementation("eager")
    model = get_peft_model(base, NeutralResiduesConfig(width=8, layers=[1])).train()
    assert training_flops(model, LENGTH) == counted(model)


def test_no_figure_is_better_than_a_wrong_one():
    assert training_flops(tiny_model("mixtral"), LENGTH) is None
    assert peak_flops(torch.device("cpu")) is None
    assert peak_tokens(tiny_model("llama"), LENGTH, 1) is None
