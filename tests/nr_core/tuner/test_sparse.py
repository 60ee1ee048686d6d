"""Skipping closed gates: the same outputs, whatever share of them is open."""

import pytest
import torch
from peft import get_peft_model

from nr_core.peft import NeutralResiduesConfig, find_taps, skip_closed_gates
from nr_core.tuner.adapter import OpenRows
from nr_core.tuner.layer import NeutralResidueLayer
from tests.nr_core.tiny import assert_same, tiny_model

TOKENS = torch.randint(3, 64, (3, 20), generator=torch.Generator().manual_seed(0))


def extended(architecture, names=("default",)):
    model = get_peft_model(tiny_model(architecture), NeutralResiduesConfig(width=8), adapter_name=names[0]).eval()
    for name in names[1:]:
        model.add_adapter(name, NeutralResiduesConfig(width=4))
    model.base_model.set_adapter(list(names))
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "neutral_residues" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@torch.no_grad()
def logits(model, mode):
    skip_closed_gates(model, mode)
    return model(TOKENS).logits


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "opt", "mixtral", "bloom"])
@pytest.mark.parametrize("names", [("default",), ("first", "second")])
def test_sparse_equals_dense(architecture, names):
    model = extended(architecture, names)
    dense = logits(model, "never")
    torch.testing.assert_close(logits(model, "always"), dense, rtol=1e-5, atol=1e-5)
    settings = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
    sparse = model.generate(TOKENS, **settings)
    skip_closed_gates(model, "never")
    assert torch.equal(model.generate(TOKENS, **settings), sparse)


@pytest.mark.parametrize("gate", ["relu", "elu", "sigmoid", "none"])
@pytest.mark.parametrize("placement", ["ffn", "attention"])
def test_only_relu_gates_are_skipped(gate, placement, monkeypatch):
    """An ELU or a sigmoid that is called closed puts out something too."""
    model = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=8, gate=gate, placement=placement)).eval()
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "neutral_residues" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    calls = []
    add_to = OpenRows.add_to
    monkeypatch.setattr(OpenRows, "add_to", lambda rows, output: calls.append(1) or add_to(rows, output))
    dense = logits(model, "never")
    torch.testing.assert_close(logits(model, "always"), dense, rtol=1e-5, atol=1e-5)
    assert bool(calls) == (gate == "relu")


@pytest.mark.parametrize("openness", [-1.0, 1.0])
def test_all_closed_and_all_open(openness, monkeypatch):
    """Inputs of one sign, so that the gate's weight of one sign shuts or opens it for every token."""
    model = extended("llama")
    calls = []
    add_to = OpenRows.add_to
    monkeypatch.setattr(OpenRows, "add_to", lambda rows, output: calls.append(len(rows.rows)) or add_to(rows, output))
    for module in model.modules():
        if isinstance(module, NeutralResidueLayer):
            module.register_forward_pre_hook(lambda layer, args: (args[0].abs(),))
            torch.nn.init.constant_(module.neutral_residues_block_gate["default"].weight, openness)
    dense = logits(model, "never")
    torch.testing.assert_close(logits(model, "always"), dense, rtol=1e-5, atol=1e-5)
    assert calls == ([] if openness < 0 else [TOKENS.numel()] * 2)


def test_training_taps_and_ungated_adapters_see_every_token():
    model = extended("llama")
    skip_closed_gates(model, "always")
    with torch.no_grad(), find_taps(model).collect() as taps:
        model(TOKENS)
        assert {tap.size.shape for tap in taps.slots.values()} == {(TOKENS.numel(),)}
    model(TOKENS).logits.sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    ungated = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=8, gate="none")).eval()
    assert_same(logits(ungated, "always"), logits(ungated, "never"))
