"""Distillation from a finetuned run against whole logits and F.kl_div, and in training."""

import copy
import json

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from nr_core.base import head as heads
from nr_core.base.head import Head
from nr_core.errors import ModelError
from nr_core.methods.distillation import Teacher
from nr_core.methods.extend import extend
from nr_core.methods.kl_to_base import KLToBase, kl_to_base
from nr_core.settings import MethodSettings
from nr_core.training.loss import lm_loss
from tests.nr_core.tiny import tiny_model

TOKENS = torch.randint(3, 64, (4, 10), generator=torch.Generator().manual_seed(5))
ORIGINAL = torch.tensor([True, False, False, True])
TARGETS = 3 * TOKENS[:, 1:].numel()  # of a batch of three such micro-batches
PUPIL = {"method": "neutral_residues", "alpha": 1.0, "learning_rate": 1e-2, "distil_from": "full"}


@pytest.mark.parametrize("embeddings", ["frozen", "gated_rows"])
@pytest.mark.parametrize("weight", [None, 0.5])
def test_loss_and_gradients_equal_whole_logits(monkeypatch, embeddings, weight):
    monkeypatch.setattr(heads, "PIECE_BYTES", 4 * 64 * 7)
    monkeypatch.setattr(heads, "LEAST_PIECE", 1)
    base, finetuned = tiny_model("llama"), tiny_model("llama", seed=3)
    plain = copy.deepcopy(base)
    model = extend(base, MethodSettings(method="neutral_residues", embeddings=embeddings), [3, 9, 11, 40]).model
    torch.manual_seed(2)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)

    log_q = model(TOKENS[:, :-1], use_cache=False).logits.log_softmax(-1)
    log_p = finetuned(TOKENS[:, :-1], use_cache=False).logits.log_softmax(-1).detach()
    expected = F.kl_div(log_q[~ORIGINAL], log_p[~ORIGINAL], reduction="sum", log_target=True) / TARGETS
    if weight is not None:
        of_base = plain(TOKENS[:, :-1], use_cache=False).logits.log_softmax(-1).detach()[ORIGINAL]
        expected = expected + weight * F.kl_div(log_q[ORIGINAL], of_base, reduction="sum", log_target=True) / 20
    wanted = torch.autograd.grad(expected, trained)

    head = Head(model)
    taught = Teacher(KLToBase(1.0, "base_to_model", Head(finetuned)), 1, 1.0).on(TOKENS, ORIGINAL, TARGETS)
    kl = weight and kl_to_base(weight, "base_to_model", head, None, cut=False).on(TOKENS, ORIGINAL, 20.0)
    loss = lm_loss(head, TOKENS, TARGETS, kl, taught)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=1e-6)
    loss.backward()
    for parameter, gradient in zip(trained, wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)


def test_a_micro_batch_of_original_language_has_no_teacher():
    model = tiny_model("llama").requires_grad_(True)
    teacher = Teacher(KLToBase(1.0, "base_to_model", Head(tiny_model("llama", seed=3))), 1, 1.0)
    loss = lm_loss(Head(model), TOKENS, TARGETS, None, teacher.on(TOKENS, torch.ones(4, dtype=torch.bool), TARGETS))
    assert loss == 0
    loss.backward()
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in model.parameters())


@pytest.fixture(scope="module")
def teacher(world, run, tmp_path_factory):
    method = {"method": "finetune", "learning_rate": 1e-2}
    return run(world.train_spec(tmp_path_factory.mktemp("teacher") / "full", method=method))


def test_a_run_learns_from_its_teacher_and_counts_its_tokens(world, run, tmp_path, teacher):
    spec = world.train_spec(tmp_path / "pupil", method=PUPIL, distil_from=str(teacher))
    facts, of_teacher = (json.loads((out / "run.json").read_text()) for out in (run(spec), teacher))
    assert facts["teacher_tokens"] == of_teacher["tokens"] == 12 * 160
    assert facts["tokens"] == 2 * of_teacher["tokens"]
    assert facts["seconds"] > facts["teacher_seconds"] == of_teacher["seconds"]
    card = (tmp_path / "pupil" / "adapter" / "README.md").read_text()
    assert "| tokens | 3,840 |\n| of these, of the finetuned teacher | 1,920 |" in card


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"distil_from": None}, "give its folder here and its name in method.distil_from"),
        ({"method": {"method": "neutral_residues"}}, "give its folder here and its name in method.distil_from"),
        ({"add_to": "run"}, "the teacher is finetuned from the base alone"),
        ({"start_from": "run"}, "the teacher is finetuned from the base alone"),
        ({"method": {"method": "lora", "distil_from": "full"}}, "distil_from: lora learns from the text itself"),
    ],
)
def test_what_contradicts_is_refused(world, run, tmp_path, changes, message):
    spec = world.train_spec(tmp_path / "run", method=PUPIL, distil_from="full") | changes
    with pytest.raises(ValidationError, match=message):
        run(spec)


def test_a_trimmed_vocabulary_is_refused(world, run, tmp_path):
    spec = world.train_spec(tmp_path / "run", method=PUPIL, distil_from="full")
    spec["base"] = {**spec["base"], "vocabulary": "trimmed"}
    with pytest.raises(ValidationError, match="distributions are over the whole vocabulary"):
        run(spec)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"method": "lora"}, "was trained with lora; a teacher is a run of finetune"),
        ({"base": {"model": "other", "vocabulary": "trimmed"}}, "trained on a trimmed vocabulary"),
    ],
)
def test_another_teacher_is_refused(world, run, tmp_path, teacher, facts, message):
    report = json.loads((teacher / "run.json").read_text())
    if "base" in facts:
        facts = {"base": {**report["base"], "vocabulary": "trimmed"}}
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "run.json").write_text(json.dumps({**report, **facts}))
    with pytest.raises(ModelError, match=message):
        run(world.train_spec(tmp_path / "pupil", method=PUPIL, distil_from=str(wrong)))


def test_a_teacher_of_another_base_is_refused(world, run, tmp_path, teacher):
    tiny_model("llama").save_pretrained(tmp_path / "other")
    report = json.loads((teacher / "run.json").read_text())
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "run.json").write_text(
        json.dumps({**report, "base": {**report["base"], "model": str(tmp_path / "other")}})
    )
    with pytest.raises(ModelError, match="give a run of this base"):
        run(world.train_spec(tmp_path / "pupil", method=PUPIL, distil_from=str(wrong)))
