"""The forgetting budget: what it keeps out of training, and which way it moves alpha."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import get_peft_model

from nr_core import stopping
from nr_core.batches import Input
from nr_core.earlier_runs import activate
from nr_core.errors import ModelError
from nr_core.forgetting import ALPHA_RANGE, ForgettingBudget, Slice, reserve, without_the_new_adapter
from nr_core.peft import NeutralResiduesConfig
from nr_core.settings import LoopSettings
from nr_core.tokens import TokenStream
from tests.nr_core.tiny import assert_same, tiny_model


def stream(lengths, start=0):
    offsets = np.cumsum([0, *lengths])
    tokens = np.arange(start, start + offsets[-1])
    return TokenStream(Path("stream"), tokens, offsets, np.array(lengths) * 4, 1 << 30, None, 0, 0)


@given(st.lists(st.integers(5, 400), min_size=40, max_size=80), st.integers(2, 12))
@settings(max_examples=60, deadline=None)
def test_what_is_measured_on_is_whole_documents_that_no_step_trains_on(lengths, sequence_length):
    new, old = Input(stream([1000], 10**6), 0.5, "new"), Input(stream(lengths), 0.5, "original")
    try:
        kept, steering, measuring = reserve([new, old], sequence_length)
    except ModelError:
        assert sum(lengths) * 0.05 < 4 * sequence_length + max(lengths)
        return
    assert kept[0] is new
    trained = kept[1].stream
    assert len(trained) in old.stream.offsets and trained.offsets[-1] == len(trained)
    assert trained.documents == len(trained.byte_lengths) < old.stream.documents
    reserved = len(old.stream) - len(trained)
    assert 0.05 * len(old.stream) <= reserved < 0.05 * len(old.stream) + max(lengths)
    first, second = (text.windows[:, :-1] for text in (steering, measuring))
    assert min(first.min(), second.min()) >= len(trained)
    assert not set(first.flatten().tolist()) & set(second.flatten().tolist())
    assert steering.bytes_per_token == measuring.bytes_per_token == pytest.approx(4)


def test_alpha_rises_while_too_much_is_forgotten_and_falls_while_less_is():
    base = tiny_model("llama")
    openings = torch.arange(3, 15).unsqueeze(1)
    tokens = base.generate(openings, max_new_tokens=8, min_new_tokens=8, do_sample=False)  # what the base finds likely
    model = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=8))
    silent = ForgettingBudget(model, Slice(tokens, 4.0), Slice(tokens, 4.0), 0.01, LoopSettings(steps=64, batch_size=3))
    falling = [silent.after_step(step) for step in range(1, 65)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(falling))
    assert falling[-1] == pytest.approx(ALPHA_RANGE[0])
    assert silent.measured() == (0, 0)

    for name, parameter in model.named_parameters():
        if "neutral_residues" in name:
            torch.nn.init.normal_(parameter, std=1.0)
    loud = ForgettingBudget(model, Slice(tokens, 4.0), Slice(tokens, 4.0), 1e-4, LoopSettings(steps=64, batch_size=3))
    rising = [loud.after_step(step) for step in range(1, 65)]
    assert rising[-1] == pytest.approx(ALPHA_RANGE[1])
    with torch.no_grad():
        lost = [
            torch.nn.functional.cross_entropy(m(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())
            for m in (model.eval(), base)
        ]
    expected = (lost[0] - lost[1]).item() / np.log(2) / 4
    assert loud.measured()[0] == pytest.approx(expected, rel=1e-4)


def test_what_is_frozen_stays_frozen_when_the_new_adapter_is_switched_off_for_a_while():
    tokens = torch.arange(3, 12).unsqueeze(0)
    model = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=8), adapter_name="earlier_0")
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    first = model(tokens).logits
    model.add_adapter("default", NeutralResiduesConfig(width=4))
    activate(model, trainable=True)
    for name, parameter in model.named_parameters():
        if "out.default" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert sum(before.values()) == 8
    both = model(tokens).logits
    with without_the_new_adapter(model):
        assert_same(model(tokens).logits, first)
    assert_same(model(tokens).logits, both)
    assert not torch.equal(first, both)
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == before


def budgeted(world, out, bound, **training):
    method = {"method": "neutral_residues", "max_forgetting": bound, "learning_rate": 1e-2}
    return world.train_spec(out, method=method, training={"steps": 40, **training})


def test_a_tight_budget_ends_with_a_higher_alpha_and_less_forgotten(world, run, tmp_path):
    reports = {}
    for bound in (0.001, 1.0):
        out = run(budgeted(world, tmp_path / str(bound), bound))
        reports[bound] = json.loads((out / "run.json").read_text())
        assert [row["step"] for row in reports[bound]["forgetting_record"]] == list(range(1, 41))
        assert reports[bound]["forgetting_stderr"] > 0
    assert reports[0.001]["alpha"] > reports[1.0]["alpha"]
    assert reports[0.001]["forgetting"] < reports[1.0]["forgetting"]


def test_resuming_goes_on_with_the_same_alpha(world, run, tmp_path, monkeypatch):
    undisturbed = run(budgeted(world, tmp_path / "undisturbed", 0.01))
    seen = []

    def stop_after_seven(*arguments, **options):
        seen.append(arguments)
        if len(seen) == 7:
            stopping.requested.set()

    with monkeypatch.context() as patch:
        patch.setattr("nr_core.progress.Progress.report", stop_after_seven)
        with pytest.raises(stopping.Stopped):
            run(budgeted(world, tmp_path / "stopped", 0.01))
    stopping.requested.clear()
    stopped = run(budgeted(world, tmp_path / "stopped", 0.01))
    one, other = (json.loads((out / "run.json").read_text()) for out in (undisturbed, stopped))
    assert one["forgetting_record"] == other["forgetting_record"]
    assert one["forgetting"] == other["forgetting"]


def test_without_original_text_there_is_nothing_to_measure_on(world, run, tmp_path):
    spec = budgeted(world, tmp_path / "run", 0.01)
    spec["inputs"] = [{**spec["inputs"][0], "share": 1.0}]
    with pytest.raises(ModelError, match="that gives 0 windows of 16 tokens; give more original-language text"):
        run(spec)
