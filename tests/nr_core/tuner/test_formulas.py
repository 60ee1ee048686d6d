"""The loss and its gradient, against the paper's formulas written out plainly."""

import math
from itertools import product
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from peft import get_peft_model
from pydantic import ValidationError

from nr_core.base.head import Head
from nr_core.peft import NeutralResiduesConfig, find_taps
from nr_core.settings import Gate, LocalLoss, MethodSettings, Placement
from nr_core.training.loss import lm_loss, local_loss
from tests.nr_core.tiny import tiny_model

ALPHA = 0.7
PARTS = ("in", "glu", "out", "block_gate")
GATES = {"relu": F.relu, "elu": F.elu, "sigmoid": torch.sigmoid, "none": lambda z: 1}


def is_allowed(gate, local):
    try:
        return bool(MethodSettings(method="neutral_residues", gate=gate, local_loss=local))
    except ValidationError:
        return False


# Every gate with every local loss it may have, and a subset of layers, beside the FFN and beside the attention.
VARIANTS = [
    (gate, local, placement, layers)
    for gate, local, placement, layers in product(
        get_args(Gate), get_args(LocalLoss), get_args(Placement), ((0, 1), (1,))
    )
    if is_allowed(gate, local)
]


def reference(model, weights, tokens, original, gate, local, placement):
    """block'(x) = block(x) + φ(w·x) · W_o(SiLU(W_g x) ⊙ (W_i x)); LM + α · local loss, all written out plainly.

    weights: by layer, (W_i, W_g, W_o, w).
    """
    terms = []

    def extended(block, w_i, w_g, w_o, w=None):
        def forward(*args, **kwargs):
            x = args[0] if args else kwargs["hidden_states"]
            logit = None if w is None else x @ w.T
            residue = GATES[gate](logit) * ((F.silu(x @ w_g.T) * (x @ w_i.T)) @ w_o.T)
            output = block(*args, **kwargs)
            out = output[0] if isinstance(output, tuple) else output
            size = residue.abs().sum(-1) / x.shape[-1]
            if local == "relative_l1":
                size = residue.abs().sum(-1) / out.detach().abs().sum(-1)
            if local == "cross_entropy":
                is_new = ~original[:, None].expand(x.shape[:2])
                terms.append(-torch.where(is_new, logit.sigmoid()[..., 0], 1 - logit.sigmoid()[..., 0]).log().flatten())
            else:
                terms.append(size[original].flatten())
            return (out + residue, *output[1:]) if isinstance(output, tuple) else out + residue

        return forward

    for i, tensors in weights.items():
        block = model.model.layers[i].mlp if placement == "ffn" else model.model.layers[i].self_attn
        block.forward = extended(block.forward, *tensors)
    logits = model(tokens[:, :-1]).logits
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    return loss if local == "none" else loss + ALPHA * torch.stack([term.mean() for term in terms]).mean()


@pytest.mark.parametrize(("gate", "local", "placement", "layers"), VARIANTS)
def test_loss_and_gradients_equal_the_formulas(gate, local, placement, layers):
    tokens = torch.randint(3, 64, (4, 10), generator=torch.Generator().manual_seed(2))
    original = torch.tensor([False, True, True, False])
    config = NeutralResiduesConfig(width=8, gate=gate, placement=placement, layers=list(layers))
    model = get_peft_model(tiny_model("llama"), config).double().train()
    torch.manual_seed(1)
    tensors = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for tensor in tensors.values():
        torch.nn.init.normal_(tensor, std=0.3)
    names = {i: [n for p in PARTS for n in tensors if f"layers.{i}." in n and f"residues_{p}." in n] for i in layers}
    assert sum(map(len, names.values())) == len(tensors) == len(layers) * (3 if gate == "none" else 4)

    find_taps(model).with_blocks = local == "relative_l1"
    with find_taps(model).collect() as taps:
        loss = lm_loss(Head(model), tokens, 36)
        if local != "none":
            loss = loss + ALPHA * local_loss(taps, original.repeat_interleave(9), 18, local, 36)
        loss.backward()

    copies = {i: [tensors[name].detach().clone().requires_grad_() for name in names[i]] for i in layers}
    expected = reference(tiny_model("llama").double(), copies, tokens, original, gate, local, placement)
    expected.backward()
    assert math.isclose(loss.item(), expected.item(), rel_tol=1e-6)
    for i in layers:
        for name, plain in zip(names[i], copies[i], strict=True):
            assert plain.grad.abs().max() > 0
            torch.testing.assert_close(tensors[name].grad, plain.grad, rtol=1e-6, atol=1e-9)


def test_local_loss_ignores_new_tokens_and_is_zero_without_original_ones():
    model = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=8)).train()
    for name, parameter in model.named_parameters():
        if "neutral_residues" in name:
            torch.nn.init.normal_(parameter)
    tokens = torch.randint(3, 64, (2, 5))
    with find_taps(model).collect() as taps:
        model(tokens)
        first_row = local_loss(taps, torch.tensor([True] * 5 + [False] * 5), 5).item()
        none = local_loss(taps, torch.zeros(10, dtype=torch.bool), 0).item()
        sizes = torch.stack([tap.size[:5] for tap in taps.slots.values()])
    assert none == 0
    assert math.isclose(first_row, sizes.mean().item(), rel_tol=1e-6)


def test_gradients_equal_with_gradient_checkpointing():
    gradients = []
    for checkpointing in (False, True):
        model = get_peft_model(tiny_model("gemma2"), NeutralResiduesConfig(width=8)).train()
        torch.manual_seed(1)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.3)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        tokens = torch.arange(3, 23).view(2, 10)
        with find_taps(model).collect() as taps:
            loss = lm_loss(Head(model), tokens, 18)
            (loss + local_loss(taps, torch.ones(18, dtype=torch.bool), 18)).backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=1e-4, atol=1e-6)
