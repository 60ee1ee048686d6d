"""Tasks: log-likelihoods against a plain loop and against lm-evaluation-harness, figures against their definitions."""

import copy
import itertools
import json
import random
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nr_core.base.load_base import load_base
from nr_core.base.precision import Choice, to_read_from
from nr_core.errors import ModelError
from nr_core.evaluation.tasks.items import Item, as_lines, content_hash, read_items
from nr_core.evaluation.tasks.kinds import KINDS, ask, chance, make_items, pseudo_values, rows_of
from nr_core.evaluation.tasks.loglikelihood import Scorer
from nr_core.evaluation.tasks.ratio import Ratio, Scored, bootstrap_error, mean_of
from nr_core.evaluation.tasks.settings import TaskSettings, variants_of
from nr_core.evaluation.tasks.token_tree import batches_of, trees_of
from nr_core.evaluation.tasks.word_order import corrupt
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenizer import load_tokenizer
from tests.nr_core.architectures import tiny
from tests.nr_core.tiny import invented_text, tiny_model

REPOSITORY = Path(__file__).parents[3]

TASK = {
    "name": "own",
    "kind": "multiple_choice",
    "language": "fra",
    "text_domain": "quiz",
    "data": {"files": ["*.jsonl"]},
}
SEQUENCES = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model(world):
    return load_base(BaseSpec(model=str(world.base))).eval(), load_tokenizer(str(world.tokenizer))


def questions(count):
    """Items with four continuations of one context, some of which are contexts of others, or empty."""
    texts = [text.split() for text in invented_text("old", count, seed=3)]
    return [
        Item([(" ".join(words[: i % 7]), " " + " ".join(words[start : start + 5])) for start in (7, 20, 30, 40)], i % 4)
        for i, words in enumerate(texts)
    ]


@torch.no_grad()
def plainly(model, tokenizer, context, continuation):
    head = tokenizer(context)["input_ids"] if context else [tokenizer.bos_token_id]
    ids = tokenizer(context + continuation)["input_ids"] if context else head + tokenizer(continuation)["input_ids"]
    logits = model(torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
    wanted = range(len(head), len(ids))
    return (
        sum(logits[i - 1, ids[i]].item() for i in wanted),
        all(logits[i - 1].argmax().item() == ids[i] for i in wanted),
        len(wanted),
    )


def test_loglikelihoods_equal_a_plain_loop(model):
    pairs = [pair for item in questions(12) for pair in item.pairs]
    scorer = Scorer(*model, batch_tokens=200)
    scored = scorer.score(pairs)
    assert scorer.shares([[1, 2, 3], [1, 2, 4]]), "contexts are shared on this model"
    for pair, got in zip(pairs, scored, strict=True):
        loglikelihood, greedy, tokens = plainly(*model, *pair)
        assert got.loglikelihood == pytest.approx(loglikelihood, abs=1e-4)
        assert (got.greedy, got.tokens) == (greedy, tokens)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma2", "mistral", "opt", "gpt_neox", "bloom", "qwen3"])
def test_shared_contexts_change_nothing_on_any_architecture(architecture):
    net = tiny_model(architecture)
    draw = random.Random(0)
    stem = [draw.randrange(3, 60) for _ in range(9)]
    inputs = [[*stem, *(draw.randrange(3, 60) for _ in range(k))] for k in (2, 3, 4)]

    class Ids:
        bos_token_id = eos_token_id = 1

    scorer = Scorer(net, Ids(), 100)
    scorer.encode = lambda pairs: (inputs, [9] * 3)
    together = scorer.score([("", "")] * 3)
    scorer._sharing = False
    for one, other in zip(together, scorer.score([("", "")] * 3), strict=True):
        assert one.loglikelihood == pytest.approx(other.loglikelihood, abs=1e-3) and one.greedy == other.greedy


@pytest.mark.parametrize("architecture", ["jamba", "falcon_h1", "lfm2_moe", "minimax", "recurrent_gemma", "qwen3_next"])
def test_no_trees_where_layers_mix_tokens_without_a_mask(architecture):
    """However little these do at random weights: a trial by figures alone would let them pass."""
    scorer = Scorer(tiny(architecture), SimpleNamespace(bos_token_id=1, eos_token_id=1), 100)
    assert not scorer.shares([[3, 4, 5, 6], [3, 4, 5, 7]])


@given(SEQUENCES)
def test_a_tree_holds_each_sequence_once_and_nodes_see_their_own(sequences):
    trees = trees_of(sequences)
    assert sorted(number for tree in trees for number in tree.paths) == list(range(len(sequences)))
    for tree in trees:
        seen = tree.ancestors(len(tree.tokens) + 1)
        for number, path in tree.paths.items():
            assert [tree.tokens[node] for node in path] == sequences[number]
            assert [tree.depths[node] for node in path] == list(range(len(path)))
            assert np.flatnonzero(seen[path[-1]]).tolist() == sorted(path)
    batches = list(batches_of(trees, 20))
    order = sorted(trees, key=lambda tree: (not tree.branches, -len(tree.tokens)))
    assert [tree for batch in batches for tree in batch] == order
    assert all(len({tree.branches for tree in batch}) == 1 for batch in batches)
    assert sum(len(tree.tokens) for tree in trees) <= sum(map(len, sequences))


def test_what_is_longer_than_the_context_loses_its_beginning(model):
    scorer = Scorer(*model)
    scorer._longest = 8
    (ids,), (begin,) = scorer.encode([("ba ke mi so tu ran " * 5, " ke mi")])
    whole = model[1]("ba ke mi so tu ran " * 5 + " ke mi")["input_ids"]
    assert ids == whole[-9:] and 0 < begin < 9


SLIDING = {
    "gemma2": {"layer_types": ["sliding_attention", "full_attention"]},
    "gemma3_text": {"layer_types": ["sliding_attention", "full_attention"]},
    "mistral": {},
    "phi3": {},
    "qwen2": {"use_sliding_window": True, "max_window_layers": 1},
}


@pytest.mark.parametrize("architecture", SLIDING)
def test_long_items_score_alike_on_models_that_see_no_further_than_a_window(architecture):
    """Contexts shorter and longer than the window of 8, the short ones first and in a batch of their own."""
    net = tiny_model(architecture, sliding_window=8, **SLIDING[architecture])
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)  # so that what attention sees is seen in the outcome
    draw = random.Random(1)
    stems = [[draw.randrange(3, 60) for _ in range(length)] for length in (4, 12, 30, 40)]
    inputs = [[*stem, *(draw.randrange(3, 60) for _ in range(3))] for stem in stems for _ in range(3)]

    class Ids:
        bos_token_id = eos_token_id = 1

    scorer, plain = Scorer(net, Ids(), 200), Scorer(net, Ids(), 200)
    plain._sharing = False
    for chosen in (range(3), range(12)):
        for one in (scorer, plain):
            one.encode = lambda pairs, chosen=chosen: (
                [inputs[i] for i in chosen],
                [len(inputs[i]) - 3 for i in chosen],
            )
        pairs = [("", "")] * len(chosen)
        for got, expected in zip(scorer.score(pairs), plain.score(pairs), strict=True):
            assert got.loglikelihood == pytest.approx(expected.loglikelihood, abs=2e-3)
            assert got.greedy == expected.greedy


def test_sharing_is_tried_again_when_longer_items_come(model, monkeypatch):
    """A model whose config hides its window: the trial on the longest tree finds out."""
    net = tiny_model("mistral", sliding_window=8)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)

    class Ids:
        bos_token_id = eos_token_id = 1

    scorer = Scorer(net, Ids(), 200)
    scorer._reach = None
    assert scorer.shares([[5, 6, 7, 8], [5, 6, 7, 9]])
    long = list(range(3, 43))
    assert not scorer.shares([[*long, 8, 9], [*long, 9, 8]])
    assert not scorer.shares([[5, 6, 7, 8], [5, 6, 7, 9]])


@pytest.mark.parametrize("keep", [8, 1000])
def test_items_of_a_model_that_sees_its_batch_are_scored_one_by_one(keep):
    """Doge chooses which tokens of a row are seen; a hook mixes the rows of a batch where the config says nothing."""
    net = tiny_model("doge", keep_window_size=keep)
    draw = random.Random(2)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    if keep > 31:
        net.model.layers[0].register_forward_hook(lambda layer, inputs, states: states + states.mean(0, keepdim=True))
    inputs = [[draw.randrange(3, 60) for _ in range(length)] for length in (7, 9, 20, 31)]
    scorer = Scorer(net, SimpleNamespace(bos_token_id=1, eos_token_id=1), 200)
    scorer.encode = lambda pairs: (inputs, [len(ids) - 3 for ids in inputs])
    for ids, got in zip(inputs, scorer.score([("", "")] * 4), strict=True):
        with torch.no_grad():
            logits = net(torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
        assert got.loglikelihood == pytest.approx(sum(logits[i, ids[i]].item() for i in range(-3, 0)), abs=1e-5)


def test_what_a_tokenizer_appends_is_neither_context_nor_scored(model):
    net, tokenizer = model
    from tokenizers.processors import TemplateProcessing

    pairs = [("ba ke mi", " so tu"), ("ba ke mi", " ran"), ("", "ke mi so")]
    expected = Scorer(net, tokenizer).score(pairs)
    appending = copy.deepcopy(tokenizer)
    end = (tokenizer.eos_token, tokenizer.eos_token_id)
    appending.backend_tokenizer.post_processor = TemplateProcessing(single=f"$A {end[0]}", special_tokens=[end])
    assert appending("ba")["input_ids"][-1] == end[1]
    assert Scorer(net, appending).score(pairs) == expected


def test_a_task_is_refused_by_a_model_that_is_not_finite_or_lacks_a_token(model):
    net, tokenizer = copy.deepcopy(model[0]), model[1]
    net.model.norm.weight.data[1] = float("nan")
    item = Item([("ba", " ke"), ("ba", " mi")], 0)
    with pytest.raises(ModelError, match=r"no figures: the model .* numbers that are not finite"):
        ask(Scorer(net, tokenizer), "multiple_choice", [item])
    with pytest.raises(ModelError, match=r"holds the token .* rows for 64"):
        ask(Scorer(tiny_model("llama"), tokenizer), "multiple_choice", [item])
    short = Scorer(*model)
    short._longest = 4
    with pytest.raises(ModelError, match=r"answer has .* tokens, more than the context of 4"):
        short.score([("ba", " ke mi so tu ran ba ke mi so tu")])


def test_an_answer_that_melts_into_the_question_is_scored_and_one_without_text_refused():
    """One token stands for both together: nothing would be scored, and nothing costs no bits."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<eos>": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "abc": 5}
    merging = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.BPE(vocabulary, [("a", "b"), ("ab", "c")])), eos_token="<eos>"
    )
    scorer = Scorer(tiny_model("llama"), merging)
    one, other, whole = scorer.score([("cab", "c"), ("cab", "a"), ("a", "bc")])
    assert [found.tokens for found in (one, other, whole)] == [1, 1, 1]
    assert all(found.loglikelihood < 0 for found in (one, other, whole))
    assert scorer.encode([("a", "bc")]) == ([[0, 5]], [1])
    with pytest.raises(ModelError, match="an answer without text"):
        scorer.score([("cab", "c"), ("cab", "")])


TREEBANK = {"kind": "word_order", "data": {"files": ["own.conllu"], "format": "conllu"}}


@pytest.mark.parametrize(
    ("fields", "row", "sentence"),
    [
        ({}, {"a": "yes", "gold": 0}, "choices of a row are 'yes' and no list of answers"),
        ({}, {"a": [], "gold": 0}, "no list of answers"),
        ({}, {"a": ["yes", None], "gold": 0}, "choices of a row is null and no text"),
        ({}, {"a": ["yes", ["no"]], "gold": 0}, r"choices of a row is \['no'\] and no text"),
        ({}, {"a": ["yes", "no"], "gold": "B"}, "answer 'B' of a row is no whole number"),
        ({}, {"a": ["yes", "no"], "gold": None}, "answer None of a row is no whole number"),
        ({}, {"a": ["yes", "no"], "gold": 0.5}, "answer 0.5 of a row is no whole number"),
        ({}, {"a": ["yes", "no"], "gold": float("inf")}, "no whole number"),
        ({"prompt": "{{q}}"}, {"q": None, "a": ["yes", "no"], "gold": 0}, "prompt cannot be made of a row"),
        ({"kind": "minimal_pairs", "good": "a", "bad": "b"}, {"a": "x", "b": None}, "bad of a row is null and no text"),
        ({"kind": "last_word", "prompt": "x", "continuation": "a"}, {"a": [1]}, "continuation of a row is"),
        ({"kind": "acceptability", "sentence": "a", "acceptable": "b"}, {"a": {}, "b": 1}, "sentence of a row is"),
        (TREEBANK, {"words": ["Ez", "jó"], "tags": ["PRON"], "spaces": [1, 0]}, "a row is no sentence of a treebank"),
        (TREEBANK, {"text": "Ez jó."}, "a row is no sentence of a treebank"),
    ],
)
def test_a_row_that_would_be_asked_as_something_else_is_refused(tmp_path, fields, row, sentence):
    task = TaskSettings(**{**TASK, "choices": "a", "answer": "gold", **fields})
    (tmp_path / "own.jsonl").write_text(json.dumps(row))
    with pytest.raises(ModelError, match=sentence):
        make_items(task, tmp_path)


@pytest.mark.parametrize(
    ("form", "content", "sentence"),
    [
        ("conllu", b"1\tEz\t_\tPRON\t_\t_\t_\t_\t_\t_\n", "none of its rows makes a question"),
        ("conllu", b"x\tEz\t_\tPRON\t_\t_\t_\t_\t_\t_\n", "is no CoNLL-U"),
        ("conllu", b"1\t\xe9\t_\tX\t_\t_\t_\t_\t_\t_\n", "is no CoNLL-U"),
        ("json", b"\xe9", "is neither JSON nor JSON lines"),
        ("json", b"[" * 100_000, "is neither JSON nor JSON lines"),
    ],
)
def test_a_file_of_a_task_that_cannot_be_read_is_a_sentence(tmp_path, form, content, sentence):
    fields = {"kind": "word_order"} if form == "conllu" else {"choices": "a", "answer": "gold"}
    task = TaskSettings(**{**TASK, **fields, "data": {"files": ["data.txt"], "format": form}})
    (tmp_path / "data.txt").write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        make_items(task, tmp_path)


def test_a_date_that_python_has_no_value_for_is_a_sentence(tmp_path):
    task = TaskSettings(**{**TASK, "choices": "a", "answer": "gold", "data": {"files": ["data.parquet"]}})
    ever = pa.array([2**62], pa.timestamp("us"))
    pq.write_table(pa.table({"a": [["igen", "nem"]], "gold": [1], "asked": ever}), tmp_path / "data.parquet")
    with pytest.raises(ModelError, match=r"data\.parquet is no JSON, JSON lines or Parquet"):
        make_items(task, tmp_path)


def test_json_lines_as_other_systems_write_them_are_read(tmp_path):
    task = TaskSettings(**{**TASK, "choices": "a", "answer": "gold"})
    row = json.dumps({"a": ["igen", "nem"], "gold": "1", "self": "a word of Python's"})
    (tmp_path / "own.jsonl").write_bytes(f"\ufeff{row}\r\n \r\n{row}\r\n".encode())
    assert [item.gold for item in make_items(task, tmp_path)] == [1, 1]


@pytest.mark.parametrize("delimiter", [" ", "\n", "", " — "])
def test_only_the_answer_itself_counts_as_its_length(tmp_path, delimiter):
    task = TaskSettings(**TASK, prompt="{{q}}", delimiter=delimiter, choices="a", answer="0")
    (item,) = KINDS["multiple_choice"].items(task, [{"q": "?", "a": [" bé", "cccccc"]}])
    scored = [[Scored(-3.0, False, 1), Scored(-5.5, False, 1)]]
    # as in lm_eval: -3/3 against -5.5/6 by characters, -3/4 against -5.5/6 by bytes
    assert KINDS["multiple_choice"].figures([item], scored)["acc_norm"].value == 0
    assert KINDS["multiple_choice"].figures([item], scored)["acc_bytes"].value == 1
    (tmp_path / "items").write_text(as_lines([item]))
    assert read_items(tmp_path / "items") == [item]


def test_choices_are_normalised_by_their_length():
    item = Item([("q", " aé"), ("q", " bbbb")], 1)
    scored = [[Scored(-4.0, False, 1), Scored(-6.0, False, 2)]]
    figures = KINDS["multiple_choice"].figures([item], scored)
    # by sum the first wins; by characters -2 against -1.5, by bytes -4/3 against -1.5
    assert {metric: ratio.value for metric, ratio in figures.items()} == {"acc": 0, "acc_norm": 1, "acc_bytes": 0}


def test_auc_and_its_error_are_the_rank_statistic_and_delongs():
    draw = np.random.default_rng(0)
    positive = draw.random(60) < 0.6
    scores = np.round(draw.normal(size=60) + positive, 1)
    values = pseudo_values(scores, positive)
    pairs = list(itertools.product(scores[positive], scores[~positive]))
    assert values.mean() == pytest.approx(np.mean([(a > b) + (a == b) / 2 for a, b in pairs]))
    above = np.array([np.mean([(a > b) + (a == b) / 2 for b in scores[~positive]]) for a in scores[positive]])
    below = np.array([np.mean([(a > b) + (a == b) / 2 for a in scores[positive]]) for b in scores[~positive]])
    delong = above.var() / len(above) + below.var() / len(below)
    assert values.var() / 60 == pytest.approx(delong)


def test_the_bootstrap_error_is_that_of_a_mean_and_of_a_ratio():
    draw = np.random.default_rng(1)
    right = (draw.random(400) < 0.7).astype(float)
    assert bootstrap_error(mean_of(right)) == pytest.approx(right.std() / 20, rel=0.1)
    sizes = draw.integers(50, 150, 400).astype(float)
    nats = sizes * draw.normal(2.0, 0.3, 400)
    residuals = nats - nats.sum() / sizes.sum() * sizes
    assert bootstrap_error(Ratio(nats, sizes)) == pytest.approx(np.sqrt((residuals**2).sum()) / sizes.sum(), rel=0.1)
    assert bootstrap_error(mean_of([1.0])) is None


WORDS = st.lists(st.tuples(st.sampled_from(["Ab", "cd", "EF", "g"]), st.sampled_from(["NOUN", "VERB", "PUNCT", "DET"])))


@settings(max_examples=200)
@given(WORDS, st.integers(0, 9))
def test_a_corruption_loses_one_word_or_swaps_two(words, seed):
    texts, tags = [word for word, _ in words], [tag for _, tag in words]
    corrupted = corrupt(texts, tags, [True] * len(texts), random.Random(seed))
    if corrupted is None:
        return
    kind, sentence = corrupted
    before, after = " ".join(texts).lower().split(), sentence.lower().split()
    if kind == "delete":
        assert any(after == before[:i] + before[i + 1 :] for i in range(len(before)))
    else:
        assert sorted(after) == sorted(before) and sum(a != b for a, b in zip(after, before, strict=True)) == 2


def test_a_users_own_task_is_one_file(tmp_path, model):
    rows = [{"q": f"Was {i}?", "answers": ["ba", "ke", "mi"], "right": i % 3, "kind": "easy"} for i in range(9)]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    file = yaml.safe_load(
        """
        kind: multiple_choice
        language: fra
        text_domain: quiz
        data: { files: [own.jsonl] }
        prompt: "{{q}} ->"
        choices: answers
        answer: right
        part: kind
        variants: [{ name: plain }, { name: shown, few_shot: { examples: 2 } }]
        """
    )
    plain, shown = (TaskSettings.model_validate(values) for values in variants_of(file))
    items = make_items(plain, tmp_path)
    assert items[1] == Item([("Was 1? ->", f" {word}") for word in ("ba", "ke", "mi")], 1, "easy")
    (tmp_path / "shown.train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert make_items(shown, tmp_path)[0].pairs[0][0] == "Was 1? -> ke\n\nWas 2? -> mi\n\nWas 0? ->"
    few = make_items(plain, tmp_path, 4)
    assert len(few) == 4 and set(map(content_hash, ([item] for item in few))) <= {content_hash([i]) for i in items}
    (tmp_path / "items.jsonl").write_text(as_lines(items))
    assert read_items(tmp_path / "items.jsonl") == items
    metrics, by_item = rows_of("e", ask(Scorer(*model), "multiple_choice", items), items)
    acc = next(row for row in by_item if row["metric"] == "acc")
    assert acc["parts"] == ["easy"] * 9
    assert sum(acc["numerators"]) / 9 == next(row["value"] for row in metrics if row["metric"] == "acc")


def test_last_words_give_a_perplexity(model):
    items = [Item([("ba ke mi", " so")], 0), Item([("tu ran", " ba")], 0)]
    metrics, _ = rows_of("e", ask(Scorer(*model), "last_word", items), items)
    found = {row["metric"]: row["value"] for row in metrics}
    mean = -np.mean([plainly(*model, *item.pairs[0])[0] for item in items])
    assert found["perplexity"] == pytest.approx(np.exp(mean), rel=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"choices": "answers", "answer": "1"}, "there is no *.jsonl in {folder}"),
        ({"choices": "answers"}, "answer: a task of kind multiple_choice needs it"),
        (
            {"choices": "a", "answer": "1", "data": {"hub": "no/such", "subset": "fr"}},
            "put split test of its subset fr as JSON lines into {folder}/{name}.jsonl",
        ),
    ],
)
def test_a_task_without_data_or_fields_is_refused_with_the_fix(tmp_path, monkeypatch, change, words):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises((ModelError, ValueError)) as refused:
        make_items(TaskSettings.model_validate({**TASK, **change}), tmp_path)
    assert words.format(folder=tmp_path, name=TASK["name"]) in str(refused.value)


def test_an_expression_without_its_field_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"question": "?"}\n')
    with pytest.raises(ModelError, match=r"choices .* fields? "):
        make_items(TaskSettings.model_validate({**TASK, "choices": "answers", "answer": "0"}), tmp_path)


@pytest.mark.slow
def test_the_harness_gives_the_same_accuracies(world, model, tmp_path, monkeypatch):
    """BLiMP's and ARC's forms, by lm_eval's own tasks over local files and by ours, on the same rows."""
    pytest.importorskip("lm_eval", reason="needs the extra `eval`: pip install 'neutral-residues[eval]'")
    from nr_core.evaluation.tasks.harness import run_harness

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    texts = [text.split() for text in invented_text("old", 40, seed=5)]
    pairs = [{"sentence_good": " ".join(w[:8]), "sentence_bad": " ".join(w[7::-1]), "UID": "order"} for w in texts]
    science = [
        {
            "question": " ".join(w[:6]),
            "choices": {"text": [" ".join(w[a : a + 2 + a % 3]) for a in (6, 20, 31)], "label": ["A", "B", "C"]},
            "answerKey": "ABC"[i % 3],
        }
        for i, w in enumerate(texts)
    ]
    for name, rows in (("blimp", pairs), ("arc", science)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    theirs = {
        "blimp": {
            "doc_to_text": "",
            "doc_to_target": 0,
            "doc_to_choice": "{{[sentence_good, sentence_bad]}}",
            "metric_list": [{"metric": "acc"}],
        },
        "arc": {
            "doc_to_text": "Question: {{question}}\nAnswer:",
            "doc_to_target": "{{choices.label.index(answerKey)}}",
            "doc_to_choice": "{{choices.text}}",
            "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
        },
    }
    for name, fields in theirs.items():
        data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tmp_path / f"{name}.jsonl")}}}
        content = {"task": f"their_{name}", "test_split": "test", "output_type": "multiple_choice", **data, **fields}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    found = run_harness(*model, ["their_blimp", "their_arc"], batch_size=4, include_path=tmp_path)
    ours = {
        "blimp": {"kind": "minimal_pairs", "good": "sentence_good", "bad": "sentence_bad"},
        "arc": {
            "prompt": "Question: {{question}}\nAnswer:",
            "choices": "choices.text",
            "answer": "choices.label.index(answerKey)",
        },
    }
    for name, fields in ours.items():
        task = TaskSettings.model_validate({**TASK, "name": name, "data": {"files": [f"{name}.jsonl"]}, **fields})
        items = make_items(task, tmp_path)
        figures = ask(Scorer(*model), task.kind, items)
        their = {row.metric: row for row in found if row.task == f"their_{name}"}
        for metric in their:
            assert figures[metric].numerators.tolist() == their[metric].numerators, (name, metric)
            assert 0 < figures[metric].value < 1

    bf16 = Choice("bf16", "asked for")
    held = to_read_from(copy.deepcopy(model[0]), bf16)
    rough = run_harness(held, model[1], ["their_blimp"], batch_size=4, include_path=tmp_path, precision=bf16)
    assert [len(row.numerators) for row in rough] == [len(pairs)]

    monkeypatch.setattr(model[0].config, "max_position_embeddings", 2)
    with pytest.raises(ModelError, match="an item is longer than the 2 tokens of the model's context"):
        run_harness(*model, ["their_arc"], batch_size=4, include_path=tmp_path)


@pytest.mark.parametrize("output_type", ["generate_until", "loglikelihood_rolling"])
def test_the_harness_has_no_figures_of_a_model_that_is_not_finite(model, tmp_path, monkeypatch, output_type):
    """Nor of what it wrote, which looks like any other text."""
    pytest.importorskip("lm_eval", reason="needs the extra `eval`: pip install 'neutral-residues[eval]'")
    from nr_core.evaluation.tasks.harness import run_harness

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"text": text, "said": "a"}) + "\n" for text in ("b c", "d"))
    )
    data = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}}}
    generated = output_type == "generate_until"
    asked = {"doc_to_text": "{{text}}" if generated else "", "doc_to_target": "{{said}}" if generated else "{{text}}"}
    metric = "exact_match" if generated else "bits_per_byte"
    content = {"task": "theirs", "test_split": "test", "output_type": output_type, **data, **asked}
    content |= {"metric_list": [{"metric": metric}]} | ({"generation_kwargs": {"max_gen_toks": 4}} if generated else {})
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(content))
    broken = copy.deepcopy(model[0])
    broken.lm_head.weight.data[3] = float("nan")
    with pytest.raises(ModelError, match=r"has no figures: the model .* not finite"):
        run_harness(broken, model[1], ["theirs"], batch_size=2, include_path=tmp_path)


@pytest.mark.parametrize(
    ("kind", "choices", "guessed"),
    [
        ("multiple_choice", (4, 2), 0.375),
        ("minimal_pairs", (2, 2), 0.5),
        ("word_order", (2,), 0.5),
        ("acceptability", (1, 1), 0.5),
        ("last_word", (1,), 0.0),
    ],
)
def test_what_guessing_gives_is_known_of_every_kind(kind, choices, guessed):
    assert chance(kind, [Item([("Q:", f" {i}") for i in range(count)], 0) for count in choices]) == guessed


def right(items, choose):
    """Share of items where choose(prompt, choices) is the right choice."""
    picked = [choose(item.pairs[0][0], [text.strip() for _, text in item.pairs]) for item in items]
    answers = [item.pairs[item.gold][1].strip() for item in items]
    return sum(one == other for one, other in zip(picked, answers, strict=True)) / len(items)


def test_rules_of_the_in_context_probe_are_told_by_the_examples_alone(tmp_path):
    (content,) = variants_of(yaml.safe_load((REPOSITORY / "configs/tasks/in_context.yaml").read_text()))
    items = make_items(TaskSettings.model_validate(content), tmp_path)
    assert chance("multiple_choice", items) == 0.25 and len(items) == 400
    assert as_lines(items) == as_lines(make_items(TaskSettings.model_validate(content), tmp_path))

    def by_example(prompt, choices):
        given, shown = prompt.split("\n")[0].split(" -> ")
        asked = prompt.split("\n")[-1].removesuffix(" ->").split(" ")
        return " ".join(asked[given.split(" ").index(word)] for word in shown.split(" "))

    def follow(prompt, places):
        asked = prompt.split("\n")[-1].split(" ")
        return " ".join(asked[place] for place in places)

    assert right(items, by_example) == 1.0
    for likes in ((0, 1), (1, 0), (0, 0), (1, 1)):  # whoever always follows one rule does no better than by guessing
        assert right(items, lambda prompt, choices, likes=likes: follow(prompt, likes)) == 0.25
    for place in range(4):
        assert right(items, lambda prompt, choices, place=place: choices[place]) == pytest.approx(0.25, abs=0.06)
    assert all(len(set(item.pairs)) == 4 for item in items)
