"""Tokens for a new language: text of the old one stays as it was, rows begin as the mean of their pieces."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.settings import BaseSpec
from nr_core.tokenization.new_tokens import add_tokens, learn_merges
from nr_core.tokenization.tokenizer import load_tokenizer
from tests.nr_core.tiny import invented_text, tiny_model, write_shard

WORDS = st.lists(st.text("abc", min_size=1, max_size=7).map(tuple), max_size=12)


def joined(word, pair):
    """The plain rule of BPE: from the left, each two tokens that are the pair."""
    out, place = [], 0
    while place < len(word):
        two = tuple(word[place : place + 2]) == pair
        out.append("".join(pair) if two else word[place])
        place += 1 + two
    return out


def plain(words, original, known, count):
    """The same merges, with all pairs counted anew for each."""
    barred, merges = {pair for word in original for pair in pairwise(word)}, []
    spelt = {word: list(word) for word in words}
    while len(merges) < count:
        counts = Counter(pair for word, seen in words.items() for pair in pairwise(spelt[word]) for _ in range(seen))
        free = {p: n for p, n in counts.items() if p not in barred and "".join(p) not in known and n > 1}
        if not free:
            break
        pair = min(free, key=lambda pair: (-free[pair], pair))
        merges.append(pair)
        known = known | {"".join(pair)}
        spelt = {word: joined(now, pair) for word, now in spelt.items()}
    return merges


@settings(max_examples=150, deadline=None)
@given(WORDS, WORDS, st.integers(0, 8))
def test_merges_are_those_of_the_plain_rule_and_touch_no_original_word(words, original, count):
    known = set("abc") | {"ab"}
    added = learn_merges(Counter(words), original, known, count)
    assert added.merges == plain(Counter(words), original, known, count)
    for word in original:
        now = list(word)
        for pair in added.merges:
            now = joined(now, pair)
        assert now == list(word)


def test_a_token_goes_with_those_made_of_it():
    added = learn_merges(Counter({tuple("abcd"): 5, tuple("xy"): 9}), [], set("abcdxy"), 9)
    assert added.merges == [("x", "y"), ("a", "b"), ("ab", "c"), ("abc", "d")]
    assert added.without({"abc"}).merges == [("x", "y"), ("a", "b")]
    assert added.pieces(dict.fromkeys("abcdxy", 0))["abcd"] == list("abcd")


@pytest.fixture(scope="module")
def extended(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extended") / "base"
    base = BaseSpec(model=str(world.base))
    return folder, add_tokens(
        base, *([world.root / f"{name}.parquet"] for name in ("new", "old")), 40, folder, [world.root / "old.parquet"]
    )


def test_whoever_may_read_the_folder_may_read_its_files(extended):
    folder, _ = extended
    readers = folder.stat().st_mode & 0o044
    assert all(file.stat().st_mode & 0o044 >= readers for file in folder.iterdir())


def test_original_text_is_tokenised_as_before_and_new_text_shorter(world, extended):
    folder, figures = extended
    before, after = load_tokenizer(str(world.base)), load_tokenizer(str(folder))
    old, new = invented_text("old", 60), invented_text("new", 5, seed=1)
    assert after(old)["input_ids"] == before(old)["input_ids"]
    counts = [sum(map(len, tokenizer(new)["input_ids"])) for tokenizer in (before, after)]
    assert counts[1] < 0.9 * counts[0]
    assert after.batch_decode(after(new)["input_ids"]) == new
    assert figures == json.loads((folder / "new_tokens.json").read_text())
    assert figures["fertility_after"] < figures["fertility_before"]
    assert figures["tokens"] == len(after.get_vocab()) - len(before.get_vocab()) > 0
    assert after.get_vocab().items() > before.get_vocab().items()


def test_rows_are_the_mean_of_their_pieces_the_heads_less_one_direction(world, extended):
    folder, figures = extended
    before, model = (load_base(BaseSpec(model=str(where))) for where in (world.base, folder))
    names, known = load_tokenizer(str(folder)).get_vocab(), load_tokenizer(str(world.base))
    first = figures["first_token"]
    added = sorted((number, name) for name, number in names.items() if number >= first)
    pieces = [[token.id for token in known.backend_tokenizer.model.tokenize(name)] for _, name in added]
    old = before.get_input_embeddings().weight
    means = torch.stack([old[of].mean(0) for of in pieces])
    looked_up, head = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    for table in (looked_up, head):
        torch.testing.assert_close(table[:first], old[:first])
    torch.testing.assert_close(looked_up[first:], means)
    lower = means - head[first:]
    torch.testing.assert_close(lower, lower[:1].expand_as(lower))
    assert model.config.vocab_size == first + figures["tokens"]


@torch.no_grad()
def test_new_rows_are_silent_on_old_text(world, extended):
    folder, figures = extended
    model, tokenizer, first = (
        load_base(BaseSpec(model=str(folder))),
        load_tokenizer(str(folder)),
        figures["first_token"],
    )
    mean = load_base(BaseSpec(model=str(folder)))
    mean.get_output_embeddings().weight.data.copy_(mean.get_input_embeddings().weight)

    def mass(of, language):
        """The probability of all new tokens together, and the nats of each token, both in the mean."""
        tokens = torch.tensor(tokenizer(invented_text(language, 5, seed=2))["input_ids"][0][:60])[None]
        log_p = of(input_ids=tokens[:, :-1]).logits.log_softmax(-1)
        nats = -log_p.gather(-1, tokens[:, 1:, None]).mean()
        return float(log_p[..., first:].exp().sum(-1).mean()), float(nats)

    assert mass(model, "old")[0] < 0.2 * mass(mean, "old")[0]
    assert mass(model, "new")[1] < mass(mean, "new")[1] + 0.5
    assert mass(model, "new")[0] > 2 * mass(model, "old")[0]


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_direction_is_that_of_a_logistic_regression_whatever_scale_the_head_has(scale):
    """One text has the hidden state (1, 0), where no new token comes, the other (0, 1), where each second is new."""
    from nr_core.tokenization.new_token_head import SHRINK, Seen, fitted

    n = 400
    hidden = torch.eye(2).repeat_interleave(n, 0) / scale
    came = torch.zeros(n)
    came[::2] = 1.0
    u = fitted(Seen(hidden[n:], torch.zeros(n), came), Seen(hidden[:n], torch.zeros(n), torch.zeros(n)))
    odds = -(hidden[::n].double() @ u)
    assert odds[0] < -5  # shrinkage alone ends the descent where nothing new comes
    assert abs(odds[1]) < 0.01
    assert SHRINK < 1e-3


def test_a_model_of_nan_or_without_hidden_states_gets_no_new_tokens(monkeypatch):
    from nr_core.tokenization.new_token_head import silence

    model, windows = tiny_model("llama"), torch.arange(18).view(2, 9)
    with monkeypatch.context() as patched:
        patched.setattr("nr_core.base.head.Head._parts_at", lambda *_: False)
        with pytest.raises(ModelError, match=r"Tokens cannot be added: .* last hidden states"):
            silence(model, slice(60, 64), windows, windows)
    torch.nn.init.constant_(model.model.norm.weight, torch.nan)
    with pytest.raises(ModelError, match=r"Tokens cannot be added: .* not finite"):
        silence(model, slice(60, 64), windows, windows)


def test_windows_are_of_documents_drawn_at_random_and_one_is_short_where_text_is():
    from nr_core.tokenization.new_token_head import STRETCH, TOKENS, sample_windows

    documents = [[number] * 300 for number in range(2000)]
    windows = sample_windows(documents)
    assert windows.shape == (TOKENS // 129, 129)
    assert windows.max() > 1500
    assert windows.unique().numel() >= TOKENS // STRETCH
    assert sample_windows([[1, 2], [3]]).shape == (1, 3)


def test_what_joins_nothing_is_refused(world, tmp_path):
    short = write_shard(tmp_path / "short.parquet", ["x"])
    with pytest.raises(ModelError, match="No two tokens of"):
        add_tokens(BaseSpec(model=str(world.base)), [short], [short], 10, tmp_path / "base", [short])
    assert not (tmp_path / "base").exists()


def test_a_run_on_the_wider_base_trains_the_new_rows(world, run, extended, tmp_path):
    from nr_core.tokenization.tokenize_corpus import tokenize

    folder, figures = extended
    for name in ("new", "old"):
        tokenize([world.root / f"{name}.parquet"], str(folder), tmp_path / name)
    method = {"method": "neutral_residues", "alpha": 1.0, "learning_rate": 3e-3, "embeddings": "new_rows"}
    spec = world.train_spec(tmp_path / "run", method=method, base={"model": str(folder)})
    spec["inputs"] = [
        {**one, "tokens": str(tmp_path / n)} for one, n in zip(spec["inputs"], ("new", "old"), strict=True)
    ]
    rows = json.loads((run(spec) / "adapter" / "adapter_config.json").read_text())["new_rows"]
    used = set(np.fromfile(tmp_path / "new" / "stream.bin", np.uint16).tolist())
    assert {token for token in used if token >= figures["first_token"]} <= set(rows)
