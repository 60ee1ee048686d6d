"""The loss and its gradient, against the paper's formulas written out plainly."""

import math

import torch
import torch.nn.functional as F
from peft import get_peft_model

from nr_core.loss import lm_loss, local_loss
from nr_core.peft import NeutralResiduesConfig, find_taps
from tests.nr_core.tiny import tiny_model

ALPHA = 0.7


def reference(model, weights, tokens, original):
    """FFN'(x) = FFN(x) + ReLU(w·x) · W_o(SiLU(W_g x) ⊙ (W_i x)); LM + α · mean over layers of L1 on original tokens."""
    sizes = []

    def extended(ffn, w_i, w_g, w_o, w):
        def forward(x):
            residue = F.relu(x @ w.T) * ((F.silu(x @ w_g.T) * (x @ w_i.T)) @ w_o.T)
            sizes.append(residue.abs().sum(-1) / x.shape[-1])
            return ffn(x) + residue

        return forward

    for layer, tensors in zip(model.model.layers, weights, strict=True):
        layer.mlp.forward = extended(layer.mlp.forward, *tensors)
    logits = model(tokens[:, :-1]).logits
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
    of_original = [size[row] for size in sizes for row in range(len(tokens)) if original[row]]
    return loss + ALPHA * torch.cat(of_original).mean()


def test_loss_and_gradients_equal_the_formulas():
    tokens, original = torch.randint(3, 64, (4, 10)), torch.tensor([False, True, True, False])
    model = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=8)).double().train()
    torch.manual_seed(1)
    tensors = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for tensor in tensors.values():
        torch.nn.init.normal_(tensor, std=0.3)
    parts = ("in", "glu", "out", "block_gate")
    names = [[n for part in parts for n in tensors if f"layers.{i}." in n and f"residues_{part}." in n] for i in (0, 1)]

    with find_taps(model).collect() as taps:
        loss = lm_loss(model(tokens[:, :-1]).logits, tokens[:, 1:], 36)
        loss = loss + ALPHA * local_loss(taps, original.repeat_interleave(9), 18)
        loss.backward()

    copies = [[tensors[name].detach().clone().requires_grad_() for name in layer] for layer in names]
    expected = reference(tiny_model("llama").double(), copies, tokens, original)
    expected.backward()
    assert math.isclose(loss.item(), expected.item(), rel_tol=1e-6)
    for layer, plain in zip(names, copies, strict=True):
        for name, copy in zip(layer, plain, strict=True):
            assert copy.grad.abs().max() > 0
            torch.testing.assert_close(tensors[name].grad, copy.grad, rtol=1e-6, atol=1e-9)


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
            loss = lm_loss(model(tokens[:, :-1], use_cache=False).logits, tokens[:, 1:], 18)
            (loss + local_loss(taps, torch.ones(18, dtype=torch.bool), 18)).backward()
        gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed, rtol=1e-4, atol=1e-6)
