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
from nr_core.base.head import Head
from nr_core.errors import ModelError
from nr_core.evaluation.bits_per_byte import cut
from nr_core.evaluation.evaluate import score
from nr_core.peft import NeutralResiduesConfig
from nr_core.runs.build_on_earlier import activate
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec, EvaluationSettings, LoopSettings
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.training.batches import Input
from nr_core.training.forgetting import ALPHA_RANGE, ForgettingBudget, Slice, reserve, without_the_new_adapter
from tests.nr_core.tiny import assert_same, tiny_model


def stream(lengths, start=0):
    offsets = np.cumsum([0, *lengths])
    tokens = np.arange(start, start + offsets[-1])
    return TokenStream(Path("stream"), tokens, offsets, np.array(lengths) * 4, 1 << 30, None, 0, 0)


@given(st.lists(st.integers(2, 900), min_size=1, max_size=40), st.integers(2, 12), st.sampled_from([None, 64]))
@settings(max_examples=40)
def test_the_last_twentieth_is_kept_out_whatever_the_documents_length(lengths, sequence_length, window):
    new, old = Input(stream([1000], 10**6), 0.5, "new"), Input(stream(lengths), 0.5, "original")
    try:
        kept, steering, measuring = reserve([new, old], sequence_length, window)
    except ModelError:
        assert sum(lengths) * 0.05 < 4 * sequence_length + 4 * len(lengths)
        return
    assert kept[0] is new
    trained = kept[1].stream
    reserved = len(old.stream) - len(trained)
    assert reserved == int(0.05 * len(old.stream))
    assert trained.offsets[-1] == len(trained) and trained.documents == len(trained.byte_lengths)
    assert len(trained.offsets) == trained.documents + 1 and (np.diff(trained.offsets) > 0).all()
    held = np.concatenate(steering.windows + measuring.windows)
    assert len(set(held.tolist())) == len(held) and held.min() >= len(trained)
    closings = set((old.stream.offsets[1:] - 1).tolist())
    assert set(held.tolist()) == set(range(len(trained), len(old.stream))) - closings  # no separator is measured
    whole = float((np.diff(old.stream.offsets) * 4).sum() / (np.diff(old.stream.offsets) - 1).sum())
    assert steering.bytes.sum() + measuring.bytes.sum() == pytest.approx(whole * len(held), rel=0.5)


def slice_of(rows):
    """Windows of tokens, four bytes each; the first of each row is its context."""
    return Slice([row[1:].numpy() for row in rows], np.full(len(rows), 4.0 * (rows.shape[1] - 1)), int(rows[0, 0]))


def test_alpha_rises_while_too_much_is_forgotten_and_falls_while_less_is():
    base = tiny_model("llama")
    openings = torch.full((12, 1), 3)
    torch.manual_seed(0)
    tokens = base.generate(openings, max_new_tokens=8, min_new_tokens=8, do_sample=True, top_k=2)
    text = slice_of(tokens)
    model = get_peft_model(tiny_model("llama"), NeutralResiduesConfig(width=8))
    loop = LoopSettings(steps=64, batch_size=3, sequence_length=8)
    silent = ForgettingBudget(Head(model), text, text, 0.01, loop)
    falling = [silent.after_step(step) for step in range(1, 65)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(falling))
    assert falling[-1] == pytest.approx(ALPHA_RANGE[0])
    assert silent.measured() == (0, 0)

    for name, parameter in model.named_parameters():
        if "neutral_residues" in name:
            torch.nn.init.normal_(parameter, std=1.0)
    loud = ForgettingBudget(Head(model), text, text, 1e-4, loop)
    rising = [loud.after_step(step) for step in range(1, 65)]
    assert rising[-1] == pytest.approx(ALPHA_RANGE[1])
    with torch.no_grad():
        lost = [
            torch.nn.functional.cross_entropy(m(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())
            for m in (model.eval(), base)
        ]
    expected = (lost[0] - lost[1]).item() / np.log(2) / 4
    assert loud.measured()[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("windows", [{}, {"sequence_length": 12}, {"sequence_length": 16, "stride": 10}])
def test_a_training_measures_forgetting_as_an_evaluation_does(world, run, tmp_path, windows):
    """On the same documents, in the same windows: to rounding."""
    trained = run(budgeted(world, tmp_path / "run", 0.01))
    settings = EvaluationSettings(**windows)
    stream = TokenStream.open(world.old)
    models = [load_run(BaseSpec(model=str(world.base)), folder).eval() for folder in (None, trained)]
    documents = list(range(stream.documents - 3, stream.documents))
    scores = [score(Head(model), None, stream, documents, settings) for model in models]
    bits = [figures.metrics("old")[0]["value"] for figures in scores]
    texts = [stream.content(document) for document in documents]
    cuts = cut(texts, settings.sequence_length or 32, settings.stride)  # 32: the base's context
    sizes = [(len(text) - known) * stream.byte_lengths[documents[i]] / len(texts[i]) for i, text, known in cuts]
    known = [known for _, _, known in cuts]
    measuring = Slice([text for _, text, _ in cuts], np.array(sizes), stream.context_token, known)
    budget = ForgettingBudget(Head(models[1]), measuring, measuring, 0.01, LoopSettings(batch_size=2))
    assert budget.measured()[0] == pytest.approx(bits[1] - bits[0], rel=1e-3)


@given(st.lists(st.integers(2, 900), min_size=1, max_size=40), st.integers(4, 64), st.data())
@settings(max_examples=40)
def test_windows_that_overlap_score_each_token_once(lengths, window, data):
    old = Input(stream([40 * window, *lengths, 900 * window]), 1.0, "original")
    stride = data.draw(st.integers(1, window))
    kept, steering, measuring = reserve([old], window, window, stride)
    scored = [
        token
        for part in (steering, measuring)
        for text, known in zip(part.windows, part.known, strict=True)
        for token in text[known:].tolist()
    ]
    closing = int(old.stream.offsets[-1]) - 1
    assert sorted(scored) == [token for token in range(len(kept[0].stream), len(old.stream)) if token != closing]


def test_a_run_measures_in_the_windows_of_its_evaluation(world, run, tmp_path):
    spec = {**budgeted(world, tmp_path / "run", 0.01), "forgetting_windows": {"sequence_length": 33}}
    with pytest.raises(ModelError, match=r"evaluation: sequence_length is 33 tokens, and .* a context of 32"):
        run(spec)


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
    measured = Slice.nats
    for step, at_the_end in (
        (9, False),
        (40, True),
    ):  # after a step, and of all windows
        taken = []

        def stop_within(text, head, chosen, *others, taken=taken, at_the_end=at_the_end):
            taken.append(chosen)
            if isinstance(chosen, range) if at_the_end else len(taken) == 10:
                stopping.requested.set()
            return measured(text, head, chosen, *others)

        with monkeypatch.context() as patch:
            patch.setattr(Slice, "nats", stop_within)
            with pytest.raises(stopping.Stopped):
                run(budgeted(world, tmp_path / "stopped", 0.01))
        stopping.requested.clear()
        assert [path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir()] == [f"step-000000{step:02}"]
    stopped = run(budgeted(world, tmp_path / "stopped", 0.01))
    one, other = (json.loads((out / "run.json").read_text()) for out in (undisturbed, stopped))
    assert one["forgetting_record"] == other["forgetting_record"]
    assert one["forgetting"] == other["forgetting"]


def test_without_original_text_there_is_nothing_to_measure_on(world, run, tmp_path):
    spec = budgeted(world, tmp_path / "run", 0.01)
    spec["inputs"] = [{**spec["inputs"][0], "share": 1.0}]
    with pytest.raises(ModelError, match="that gives 0 windows of 16 tokens; give more original-language text"):
        run(spec)
