"""Held-out figures, against plain loops."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nr_core.base.head import Head
from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.evaluation.bits_per_byte import choose_documents, ratio
from nr_core.evaluation.evaluate import evaluate, score
from nr_core.progress import Progress
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec, EvaluationSettings
from nr_core.specs import EvaluateSpec
from nr_core.tokenization.tokenize_corpus import tokenize
from nr_core.tokenization.tokenizer import TokenStream, load_tokenizer
from tests.nr_core.tiny import tiny_model, write_shard


def evaluated(world, out, run=None, tasks=(), **settings):
    spec = {
        "out": out,
        "base": {"model": str(world.base)},
        "run": run,
        "sets": [{"eval_id": "new", "tokens": world.held_out}, {"eval_id": "old", "tokens": world.old}],
        "tasks": tasks,
        "settings": settings,
    }
    out.mkdir()
    evaluate(EvaluateSpec.model_validate(spec), Progress("evaluate", "base", "tokens"))
    return json.loads((out / "evaluation.json").read_text())


def metric(result, eval_id, name):
    return next(row for row in result["metrics"] if (row["eval_id"], row["metric"]) == (eval_id, name))


def test_bits_per_byte_equal_a_plain_loop(world, tmp_path):
    model, tokenizer = load_base(BaseSpec(model=str(world.base))).eval(), load_tokenizer(str(world.tokenizer))
    stream = TokenStream.open(world.held_out)
    nats, tokens, size = [], [], []
    for document in range(stream.documents):
        ids = stream.content(document).tolist()
        total = 0.0
        for start in range(0, len(ids), 24):
            window = torch.tensor([[tokenizer.eos_token_id, *ids[start : start + 24]]])
            with torch.no_grad():
                logits = model(window[:, :-1]).logits[0]
            total += F.cross_entropy(logits, window[0, 1:], reduction="sum").item()
        nats.append(total)
        tokens.append(len(ids))
        size.append(len(tokenizer.decode(ids).encode()))

    result = evaluated(world, tmp_path / "out", sequence_length=24, batch_size=4)
    bits = metric(result, "new", "bits_per_byte")
    assert bits["value"] == pytest.approx(sum(nats) / math.log(2) / sum(size), rel=1e-6)
    assert bits["n"] == stream.documents
    assert metric(result, "new", "nats_per_token")["value"] == pytest.approx(sum(nats) / sum(tokens), rel=1e-6)
    assert result["gate_activity"] == []


def test_standard_error_is_of_documents():
    pick = np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        sizes = pick.integers(50, 150, 40).astype(float)
        draws.append(ratio(sizes * pick.normal(2.0, 0.3, 40), sizes))
    values, errors = zip(*draws, strict=True)
    assert np.std(values) == pytest.approx(np.mean(errors), rel=0.1)
    assert ratio(np.array([2.0]), np.array([1.0])) == (2.0, None)


def test_a_run_is_scored_with_its_gates(world, run, tmp_path):
    trained = run(world.train_spec(tmp_path / "run"))
    result = evaluated(world, tmp_path / "out", run=trained, sequence_length=24)
    activity = result["gate_activity"]
    assert [(row["eval_id"], row["layer"]) for row in activity] == [(s, i) for s in ("new", "old") for i in (0, 1)]
    assert all(0 < row["open_rate"] <= 1 and row["residue_size"] > 0 for row in activity)
    base = evaluated(world, tmp_path / "base", sequence_length=24)
    assert metric(result, "new", "bits_per_byte")["value"] < metric(base, "new", "bits_per_byte")["value"]


@pytest.mark.parametrize("method", ["neutral_residues", "finetune"])
def test_in_bf16_all_figures_are_near_those_in_fp32(world, run, tmp_path, method):
    """Also those that need the base beside the run."""
    trained = run(world.train_spec(tmp_path / "run", method={"method": method, "learning_rate": 3e-3}))

    def figures(precision):
        metrics = evaluated(world, tmp_path / precision, run=trained, precision=precision)["metrics"]
        return {(row["eval_id"], row["metric"]): row["value"] for row in metrics}

    exact, near = figures("fp32"), figures("bf16")
    assert near == pytest.approx(exact, rel=0.02, abs=0.02)
    assert near != exact


def test_max_tokens_takes_whole_documents_and_the_same_for_every_model(world, run, tmp_path):
    few = evaluated(world, tmp_path / "few", sequence_length=24, max_tokens=300)
    documents = metric(few, "old", "bits_per_byte")["n"]
    assert 1 < documents < 60
    again = evaluated(world, tmp_path / "again", sequence_length=24, batch_size=3, max_tokens=300)
    assert metric(again, "old", "bits_per_byte")["value"] == pytest.approx(metric(few, "old", "bits_per_byte")["value"])


def test_windows_that_overlap_score_each_token_once_after_more_context(world, tmp_path):
    model, tokenizer = load_base(BaseSpec(model=str(world.base))).eval(), load_tokenizer(str(world.tokenizer))
    stream = TokenStream.open(world.held_out)
    nats, tokens = 0.0, 0
    for document in range(stream.documents):
        ids, done = stream.content(document).tolist(), 0
        for start in range(0, len(ids), 8):
            window = torch.tensor([[tokenizer.eos_token_id, *ids[start : start + 24]]])
            with torch.no_grad():
                each = F.cross_entropy(model(window[:, :-1]).logits[0], window[0, 1:], reduction="none")
            nats += each[done - start :].sum().item() if done < start + len(each) else 0.0
            done = max(done, start + len(each))
        tokens += done
    result = evaluated(world, tmp_path / "out", sequence_length=24, stride=8, batch_size=4)
    assert metric(result, "new", "nats_per_token")["value"] == pytest.approx(nats / tokens, rel=1e-6)
    with pytest.raises(ValueError, match="stride: 25 leaves tokens"):
        evaluated(world, tmp_path / "gap", sequence_length=24, stride=25)


def test_a_run_is_held_against_its_base_token_by_token(world, run, tmp_path):
    trained = run(world.train_spec(tmp_path / "run"))
    result = evaluated(world, tmp_path / "out", run=trained)
    base, model = load_base(BaseSpec(model=str(world.base))).eval(), load_run(BaseSpec(model=str(world.base)), trained)
    model.eval()
    stream = TokenStream.open(world.held_out)
    total, tokens = 0.0, 0
    texts = [stream.content(document).tolist() for document in range(stream.documents)]
    for window in [text[start : start + 32] for text in texts for start in range(0, len(text), 32)]:  # the context
        ids = torch.tensor([[stream.context_token, *window]])
        with torch.no_grad():
            p, q = (net(ids[:, :-1]).logits[0].log_softmax(-1) for net in (base, model))
        total += (p.exp() * (p - q)).sum().item()
        tokens += len(window)
    assert metric(result, "new", "kl_to_base")["value"] == pytest.approx(total / tokens, rel=1e-4)
    assert 0 < metric(result, "new", "greedy_agreement")["value"] <= 1
    alone = evaluated(world, tmp_path / "base", sequence_length=24)
    assert not [row for row in alone["metrics"] if row["metric"] in ("kl_to_base", "greedy_agreement")]


def test_windows_follow_the_models_context_and_never_exceed_it(world, run, tmp_path):
    fitting = evaluated(world, tmp_path / "default")
    asked = evaluated(world, tmp_path / "asked", sequence_length=32)  # what the base was pretrained with
    assert fitting["metrics"] == asked["metrics"]
    with pytest.raises(ModelError, match=r"evaluation: sequence_length is 33 tokens, and .* a context of 32; lower it"):
        evaluated(world, tmp_path / "longer", sequence_length=33)
    with pytest.raises(ModelError, match="a stride of 40 leaves tokens between windows of 32 unscored"):
        evaluated(world, tmp_path / "gap", stride=40)
    with pytest.raises(ModelError, match="training: sequence_length is 48 tokens"):
        run(world.train_spec(tmp_path / "run", training={"sequence_length": 48}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_is_not_finite_has_no_figures(world, run, tmp_path, value):
    model = load_base(BaseSpec(model=str(world.base)))
    model.model.norm.weight.data[3] = value
    model.save_pretrained(tmp_path / "base")
    load_tokenizer(str(world.tokenizer)).save_pretrained(tmp_path / "base")
    broken = replace(world, base=tmp_path / "base")
    with pytest.raises(ModelError, match=r"no bits per byte: the model .*base puts out numbers that are not finite"):
        evaluated(broken, tmp_path / "out")
    with pytest.raises(ModelError, match=r"before any weight was changed, the model .*base puts out numbers"):
        run(broken.train_spec(tmp_path / "run"))


def test_text_that_the_tokens_lose_is_refused_or_its_share_is_told(world, tmp_path):
    known = "ba ke mi so tu ran"
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["<end>", "<unk>", *known.split()])}
    rules = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    rules.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=rules, eos_token="<end>", unk_token="<unk>").save_pretrained(tmp_path)
    model = tiny_model("llama")
    texts = {"half": f"{known} хлеб", "hardly": f"{known} " * 40 + "ю", "whole": known}
    shares = {}
    for name, text in texts.items():
        tokenize([write_shard(tmp_path / "shard.parquet", [text, text])], str(tmp_path), tmp_path / name)
        stream = TokenStream.open(tmp_path / name)
        if name == "half":
            with pytest.raises(ModelError, match=r"loses 33.3% of the bytes of .*half"):
                score(Head(model), None, stream, [0, 1], EvaluationSettings())
        else:
            rows = score(model, None, stream, [0, 1], EvaluationSettings()).metrics(name)
            shares[name] = [row["value"] for row in rows if row["metric"] == "lost_text"]
    assert shares == {"hardly": [pytest.approx(3 / 762)], "whole": []}


def test_documents_of_which_no_token_is_left_count_as_lost(world, tmp_path):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    rules = Tokenizer(models.BPE())  # without a token for what it does not know, which it drops
    rules.pre_tokenizer, rules.decoder = pre_tokenizers.Split(" ", "isolated"), decoders.Fuse()
    rules.train_from_iterator(["ba ke mi so"], trainers.BpeTrainer(special_tokens=["<end>"], show_progress=False))
    PreTrainedTokenizerFast(tokenizer_object=rules, eos_token="<end>").save_pretrained(tmp_path)
    for name, texts, share in (("some", ["ba ke mi so", "привет"], "52.2%"), ("all", ["привет", "мир"], "100.0%")):
        tokenize([write_shard(tmp_path / "shard.parquet", texts)], str(tmp_path), tmp_path / name)
        stream = TokenStream.open(tmp_path / name)
        with pytest.raises(ModelError, match=f"loses {share} of the bytes"):
            score(tiny_model("llama"), None, stream, choose_documents(stream, None), EvaluationSettings())
    tokenize([write_shard(tmp_path / "shard.parquet", ["", ""])], str(tmp_path), tmp_path / "empty")
    with pytest.raises(ModelError, match="holds no text"):
        choose_documents(TokenStream.open(tmp_path / "empty"), None)


def test_time_left_counts_what_every_part_costs(world, run, tmp_path, monkeypatch, capsys):
    """Texts, what is read beside the base, and a task: in tokens that the model reads, known from the first line on."""
    monkeypatch.setattr("nr_core.progress.INTERVAL", -1.0)
    trained = run(world.train_spec(tmp_path / "run"))
    items = tmp_path / "items.jsonl"
    rows = [{"pairs": [["ba ke mi", " so"], ["ba ke mi", f" {'tu ' * n}"]], "gold": 0} for n in range(1, 9)]
    items.write_text("\n".join(map(json.dumps, rows)))
    tasks = [{"eval_id": "quiz", "called": "quiz", "kind": "multiple_choice", "items": str(items)}]
    capsys.readouterr()

    evaluated(world, tmp_path / "out", run=trained, tasks=tasks, sequence_length=24, batch_size=4)

    events = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    done, totals = [event["done"] for event in events], [event["total"] for event in events]
    assert done == sorted(done) and done[-1] == totals[-1] and events[-1]["seconds_left"] == 0
    assert {event["message"] for event in events} == {"", "beside the base", "quiz"}
    assert len({total for event, total in zip(events, totals, strict=True) if event["message"] != "quiz"}) == 1
    assert totals[0] == pytest.approx(totals[-1], rel=0.1), "of the task a guess, until it is tokenised"
    for event in events:
        assert event["seconds_left"] == pytest.approx((event["total"] - event["done"]) / event["rate"])
