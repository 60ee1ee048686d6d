"""Gates that are drawn shut learn all the same, and the head's rows at a rate that suits the states they read."""

from types import SimpleNamespace

import pytest
import torch
from peft import get_peft_model

from nr_core.base.head import Head
from nr_core.peft import NeutralResiduesConfig, find_taps
from nr_core.settings import TrainingSettings
from nr_core.training.distributed import Ranks
from nr_core.training.optimiser import adamw, rate_shares, set_rate
from nr_core.training.shut_gates import turn_shut_gates
from tests.nr_core.tiny import tiny_model

NEW = torch.tensor([[3, 40, 5, 50, 9, 63, 4], [41, 8, 4, 63, 4, 7, 30]])
OLD = torch.tensor([[12, 13, 14, 15, 16, 17, 18]])


def gates(model):
    return {name: p for name, p in model.named_parameters() if name.endswith("gate.default.weight")}


def logits_of_gates(model, rows):
    with torch.no_grad(), find_taps(model).collect() as taps:
        Head(model).run(lambda hidden, to_logits: None, rows[:, :-1])
        return {layer: tap.gate.clone() for (_, layer), tap in taps.slots.items()}


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_gates_that_are_shut_on_the_new_language_take_the_other_sign(micro_batch):
    torch.manual_seed(0)
    model = get_peft_model(
        tiny_model("llama"), NeutralResiduesConfig(width=8, embeddings="gated_rows", new_rows=[4, 9])
    )
    tokens, original = torch.cat([NEW, OLD]), torch.tensor([False, False, True])
    batches = SimpleNamespace(batch=lambda step: (tokens, original), sequence_length=6)
    for gate in gates(model).values():  # all tokens share a direction now, as they do in deep layers
        gate.data.zero_()
    last_states = []
    with torch.no_grad():
        Head(model).run(lambda hidden, to_logits: last_states.append(hidden), NEW[:, :-1])
    head = next(name for name in gates(model) if "gated_head_gate" in name)
    h = last_states[0].flatten(0, 1)
    shut = -torch.linalg.lstsq(h, torch.ones(len(h), 1)).solution.T
    gates(model)[head].data.copy_(shut)
    for name, gate in gates(model).items():
        if name != head:
            gate.data.normal_()
    before = {name: gate.detach().clone() for name, gate in gates(model).items()}
    open_before = {layer: float((logit > 0).float().mean()) for layer, logit in logits_of_gates(model, NEW).items()}

    turned = turn_shut_gates(Head(model), find_taps(model), batches, micro_batch, Ranks())

    assert turned == [layer for layer, share in open_before.items() if share < 0.05]
    assert torch.equal(gates(model)[head], -before[head])
    assert max(turned) == max(open_before)  # the head's, which stands behind the last layer
    after = logits_of_gates(model, NEW)
    assert all(float((after[layer] > 0).float().mean()) > 0.9 for layer in turned)
    changed = [name for name, gate in gates(model).items() if not torch.equal(gate, before[name])]
    assert len(changed) == len(turned)
    assert turn_shut_gates(Head(model), find_taps(model), batches, micro_batch, Ranks()) == []


def test_the_heads_rows_are_trained_at_a_rate_that_suits_the_states_they_read():
    config = NeutralResiduesConfig(width=8, embeddings="gated_rows", new_rows=[4, 9])
    model = get_peft_model(tiny_model("llama"), config)
    batches = SimpleNamespace(batch=lambda step: (NEW, torch.tensor([False, False])), sequence_length=6)
    plain = tiny_model("llama")
    with torch.no_grad():
        plain.model.norm.weight.mul_(30)
        model.base_model.model.model.norm.weight.mul_(30)
        first = []
        plain.model.layers[0].mlp.register_forward_pre_hook(lambda module, args: first.append(args[0]))
        last = plain.model(NEW[:1, :-1]).last_hidden_state
    expected = float(first[0].abs().sum(-1).mean() / last.abs().sum(-1).mean())

    shares = rate_shares(Head(model), batches, Ranks())

    assert len(shares) == 2 and all("gated_head" in name for name in shares)
    assert list(shares.values()) == pytest.approx([expected] * 2, rel=1e-5) and expected < 0.5
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimiser = adamw(parameters.values(), TrainingSettings(), {parameters[name]: s for name, s in shares.items()})
    set_rate(optimiser, 0.01)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert {name for name, p in parameters.items() if rates[id(p)] != 0.01} == set(shares)
    assert all(rates[id(parameters[name])] == pytest.approx(0.01 * expected, rel=1e-5) for name in shares)


def test_a_model_without_gated_rows_is_trained_at_one_rate():
    model = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=8))
    batches = SimpleNamespace(batch=lambda step: (NEW, torch.tensor([False, False])), sequence_length=6)
    assert rate_shares(Head(model), batches, Ranks()) == {}
