"""The method on every decoder of transformers: tiny random models, one of each architecture."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel, get_peft_model
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from nr_core.base.head import Head
from nr_core.peft import NeutralResiduesConfig, find_taps
from nr_core.training.loss import lm_loss, local_loss
from tests.nr_core.architectures import EXCLUDED, REFERENCE, tiny
from tests.nr_core.tiny import assert_same

TOKENS = torch.randint(3, 64, (2, 9), generator=torch.Generator().manual_seed(0))
ARCHITECTURES = [*REFERENCE, *sorted(set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) - set(REFERENCE) - set(EXCLUDED))]


@torch.no_grad()
def logits(model):
    return model(TOKENS, use_cache=False).logits


def randomise(model, seed=0):
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)


def gradients(model, checkpointing):
    model = copy.deepcopy(model).train()
    torch.manual_seed(0)  # of dropout
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    with find_taps(model).collect() as taps:
        loss = lm_loss(Head(model), TOKENS, 16)
        (loss + local_loss(taps, torch.ones(16, dtype=torch.bool), 16)).backward()
    return [parameter.grad for parameter in model.parameters() if parameter.requires_grad]


def generated(model, use_cache):
    settings = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    return model.generate(TOKENS, use_cache=use_cache, **settings)


def test_every_architecture_is_tried_or_excluded_with_a_reason():
    assert set(EXCLUDED) <= set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert not set(EXCLUDED) & set(REFERENCE)
    assert len(REFERENCE) == 31


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_architecture(architecture, tmp_path):
    backbone = tiny(architecture)
    base = logits(backbone)
    model = get_peft_model(copy.deepcopy(backbone), NeutralResiduesConfig(width=4)).eval()
    assert_same(logits(model), base)  # training must start at the backbone exactly
    assert all(("neutral_residues_" in name) == p.requires_grad for name, p in model.named_parameters())

    randomise(model)
    extended = logits(model)
    assert extended.isfinite().all()
    assert not torch.allclose(extended, base)
    with model.disable_adapter():
        assert_same(logits(model), base)

    model.save_pretrained(tmp_path)
    assert_same(logits(PeftModel.from_pretrained(copy.deepcopy(backbone), tmp_path).eval()), extended)
    native = copy.deepcopy(backbone)
    native.load_adapter(str(tmp_path))
    assert_same(logits(native.eval()), extended)  # transformers' own load_adapter must read the same weights

    if model.supports_gradient_checkpointing:
        for plain, recomputed in zip(gradients(model, False), gradients(model, True), strict=True):
            torch.testing.assert_close(plain, recomputed, rtol=1e-4, atol=1e-5)
    assert torch.equal(generated(model, True), generated(model, False))

    model.add_adapter("second", NeutralResiduesConfig(width=4))
    model.set_adapter("second")
    assert_same(logits(model), base)
    model.base_model.set_adapter(["default", "second"])
    assert_same(logits(model), extended)
    randomise(model)
    assert not torch.equal(logits(model), extended)
    model.delete_adapter("second")
    assert_same(logits(model.unload()), base)
