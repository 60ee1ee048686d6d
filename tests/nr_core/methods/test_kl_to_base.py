"""The divergence from the base against whole logits and F.kl_div, and in training."""

import copy
import json
from typing import get_args

import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from nr_core.base import head as heads
from nr_core.base.head import Head
from nr_core.base.precision import Choice
from nr_core.errors import ModelError
from nr_core.methods.extend import extend
from nr_core.methods.kl_to_base import copy_of_base, kl_to_base
from nr_core.settings import KLDirection, MethodSettings
from nr_core.settings.method_table import METHODS
from nr_core.training.loss import lm_loss
from tests.nr_core.tiny import tiny_model

WEIGHT, EXPECTED = 0.7, 20.0
TOKENS = torch.randint(3, 64, (4, 10), generator=torch.Generator().manual_seed(1))
ORIGINAL = torch.tensor([False, True, False, True])
TARGETS = TOKENS[:, 1:].numel()
CASES = [
    ("finetune", {}),
    ("llama_pro", {}),
    ("lora", {}),
    ("neutral_residues", {}),
    ("neutral_residues", {"embeddings": "new_rows"}),
]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(heads, "PIECE_BYTES", 4 * 64 * 5)
    monkeypatch.setattr(heads, "LEAST_PIECE", 1)


def extended(method, changes, tied):
    """A base, the model that a method makes of it with some weights changed, and the copy where it is trained."""
    base = tiny_model("llama", tie_word_embeddings=tied)
    settings = MethodSettings(method=method, kl_to_base=WEIGHT, **changes)
    frozen = copy_of_base(base) if METHODS[method].trains_base else None
    plain = copy.deepcopy(base)
    model = extend(base, settings, [3, 9, 11, 40]).model
    torch.manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return plain, model, frozen


@pytest.mark.parametrize(("method", "changes"), CASES)
@pytest.mark.parametrize("direction", get_args(KLDirection))
@pytest.mark.parametrize("tied", [True, False])
def test_loss_and_gradients_equal_whole_logits(method, changes, direction, tied):
    plain, model, frozen = extended(method, changes, tied)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]

    logits = model(TOKENS[:, :-1], use_cache=False).logits
    log_q, log_p = (
        scores[ORIGINAL].flatten(0, 1).log_softmax(-1)
        for scores in (logits, plain(TOKENS[:, :-1], use_cache=False).logits.detach())
    )
    pair = (log_q, log_p) if direction == "base_to_model" else (log_p, log_q)
    expected_kl = F.kl_div(*pair, reduction="sum", log_target=True) / EXPECTED
    expected = F.cross_entropy(logits.flatten(0, 1), TOKENS[:, 1:].flatten()) + WEIGHT * expected_kl
    wanted = torch.autograd.grad(expected, trained)

    head = Head(model)
    criterion = kl_to_base(WEIGHT, direction, head, frozen, cut=False).on(TOKENS, ORIGINAL, EXPECTED)
    loss = lm_loss(head, TOKENS, TARGETS, criterion)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    assert criterion.value == pytest.approx(float(expected_kl.detach()), rel=1e-4)
    assert criterion.value > 1e-4
    loss.backward()
    for parameter, gradient in zip(trained, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    assert [p for p in model.parameters() if p.requires_grad] == trained


def test_no_original_row_costs_nothing_and_bf16_is_near():
    plain, model, frozen = extended("finetune", {}, tied=True)
    term = kl_to_base(WEIGHT, "base_to_model", Head(model), frozen, cut=False)
    assert term.on(TOKENS, torch.zeros(4, dtype=torch.bool), EXPECTED) is None
    exact = term.on(TOKENS, ORIGINAL, EXPECTED)
    lm_loss(Head(model), TOKENS, TARGETS, exact)
    head = Head(model, Choice("bf16", "it is set so"))
    cast = kl_to_base(WEIGHT, "base_to_model", head, copy_of_base(plain), cut=False).on(TOKENS, ORIGINAL, EXPECTED)
    lm_loss(head, TOKENS, TARGETS, cast)
    assert cast.value == pytest.approx(exact.value, rel=0.05)
    with pytest.raises(ModelError, match="raise fsdp_from"):
        kl_to_base(WEIGHT, "base_to_model", head, None, cut=True)


@pytest.mark.parametrize(
    "method",
    [
        {"method": "finetune"},
        {"method": "lora"},
        {"method": "neutral_residues", "local_loss": "none", "kl_direction": "model_to_base"},
        {"method": "neutral_residues", "alpha": 0.1},
    ],
)
@pytest.mark.slow
def test_a_run_stays_nearer(world, run, tmp_path, method):
    def course(name, **more):
        spec = world.train_spec(tmp_path / name, method={**method, "learning_rate": 1e-2, **more})
        return pq.read_table(run({**spec, "training": {**spec["training"], "steps": 8}}) / "steps.parquet").to_pylist()

    loose, near = course("loose", kl_to_base=1e-9), course("near", kl_to_base=30.0)
    assert loose[0]["kl_loss"] == pytest.approx(0, abs=1e-6)
    assert 0 < near[-1]["kl_loss"] < 0.5 * loose[-1]["kl_loss"]
    assert near[0]["lm_loss"] == pytest.approx(loose[0]["lm_loss"], rel=1e-5)
    assert json.loads((tmp_path / "near" / "run.json").read_text())["tokens"] > 0


def test_what_contradicts_is_refused(world, run, tmp_path):
    with pytest.raises(ValidationError, match="kl_direction: there is no divergence"):
        MethodSettings(method="finetune", kl_direction="model_to_base")
    spec = world.train_spec(tmp_path / "run", method={"method": "finetune", "kl_to_base": 1.0})
    spec["inputs"] = [{**spec["inputs"][0], "share": 1.0}]
    with pytest.raises(ValidationError, match="no input has the role original"):
        run(spec)
