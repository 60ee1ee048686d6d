"""Losses and scores by pieces of the head are those of whole logits, on every decoder of transformers."""

from __future__ import annotations

import weakref

import pytest
import torch
import torch.nn.functional as F
from peft import get_peft_model

from nr_core.base import head as heads
from nr_core.base.head import Head
from nr_core.base.precision import Choice, choose, choose_once, hold_frozen_in_bf16
from nr_core.peft import NeutralResiduesConfig
from nr_core.training.loss import cross_entropy, lm_loss
from tests.nr_core.architectures import tiny
from tests.nr_core.tiny import tiny_model
from tests.nr_core.tuner.test_architectures import ARCHITECTURES

TOKENS = torch.randint(3, 64, (2, 9), generator=torch.Generator().manual_seed(1))
TARGETS = TOKENS[:, 1:].numel()


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(heads, "PIECE_BYTES", 4 * 64 * 5)  # five tokens of a vocabulary of 64
    monkeypatch.setattr(heads, "LEAST_PIECE", 1)


def whole_loss(model):
    logits = model(TOKENS[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.flatten(0, 1).float(), TOKENS[:, 1:].flatten())


def gradients(model, loss):
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


# Reformer trains only in sequences of a length of its own.
@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "reformer"])
@pytest.mark.parametrize("extended", [True, False], ids=["adapter", "full"])
def test_pieces_equal_the_whole(architecture, extended):
    model = tiny(architecture).eval().requires_grad_(True)
    if extended:
        model = get_peft_model(model, NeutralResiduesConfig(width=4)).eval()
    expected = whole_loss(model)
    by_pieces = lm_loss(Head(model), TOKENS, TARGETS)
    torch.testing.assert_close(by_pieces, expected, rtol=1e-6, atol=1e-6)
    for found, wanted in zip(gradients(model, by_pieces), gradients(model, expected), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=2e-6)
    nats = Head(model).token_nats(TOKENS[:, :-1], TOKENS[:, 1:])
    torch.testing.assert_close(nats.mean(), expected.detach(), rtol=1e-6, atol=1e-6)


def test_no_tensor_of_all_logits_is_made():
    model = tiny_model("llama")
    largest = 0

    def note(module, args, output):
        nonlocal largest
        largest = max(largest, output.numel())

    model.lm_head.register_forward_hook(note)
    lm_loss(Head(model), TOKENS, TARGETS).backward()
    assert largest <= 5 * 64


def test_of_a_pieces_logits_nothing_is_left_when_the_next_come():
    head, left, one_piece = Head(tiny_model("llama")), [], cross_entropy(TOKENS[:, 1:], TARGETS)

    def criterion(logits, piece):
        assert not any(gradient() is not None for gradient in left)
        value, gradient = one_piece(logits, piece)
        left.append(weakref.ref(gradient))
        return value, gradient

    head.summed(criterion, TOKENS[:, :-1])
    assert len(left) == 4  # of 16 tokens, five at a time


def test_a_model_that_cannot_be_parted_gives_the_same():
    model = tiny_model("llama").requires_grad_(True)
    head = Head(model)
    head._decoder = None
    expected = whole_loss(model)
    by_pieces = lm_loss(head, TOKENS, TARGETS)
    assert abs(float(by_pieces - expected)) < 1e-6
    for found, wanted in zip(gradients(model, by_pieces), gradients(model, expected), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_bf16_is_near_fp32_and_frozen_weights_held_in_it_change_nothing():
    model = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=4)).eval()
    exact = float(lm_loss(Head(model), TOKENS, TARGETS))
    bf16 = Choice("bf16", "it is set so")
    cast = lm_loss(Head(model, bf16), TOKENS, TARGETS)
    expected = gradients(model, cast)
    hold_frozen_in_bf16(model)
    held = lm_loss(Head(model, bf16), TOKENS, TARGETS)
    assert cast.dtype == torch.float32 and 0 < abs(float(cast) - exact) < 0.02
    assert float(held) == float(cast)
    for found, wanted in zip(gradients(model, held), expected, strict=True):
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, wanted)
    assert model.get_input_embeddings().weight.dtype == torch.float32


def test_a_job_that_goes_on_computes_as_it_began(tmp_path, monkeypatch):
    model = tiny_model("llama")
    assert choose_once("bf16", model, tmp_path).precision == "bf16"
    assert choose_once("fp32", model, tmp_path).precision == "bf16"
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert choose("auto", model) == Choice("fp32", "the processor has neither AMX nor AVX512-BF16")
