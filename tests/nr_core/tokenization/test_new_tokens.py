"""Tokens for a new language: text of the old one stays as it was, rows begin as the mean of their pieces."""

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nr_core.errors import ModelError
from nr_core.models import load_base
from nr_core.settings import BaseSpec
from nr_core.tokenization.new_tokens import add_tokens, learn_merges
from nr_core.tokenization.tokenizer import load_tokenizer
from tests.nr_core.tiny import invented_text, write_shard

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
    return folder, add_tokens(base, [world.root / "new.parquet"], [world.root / "old.parquet"], 40, folder)


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


def test_rows_are_the_mean_of_their_pieces(world, extended):
    folder, figures = extended
    before, model = (load_base(BaseSpec(model=str(where))) for where in (world.base, folder))
    names, known = load_tokenizer(str(folder)).get_vocab(), load_tokenizer(str(world.base))
    first = figures["first_token"]
    for old, new in zip(
        (before.get_input_embeddings(), before.get_output_embeddings()),
        (model.get_input_embeddings(), model.get_output_embeddings()),
        strict=True,
    ):
        torch.testing.assert_close(new.weight[:first], old.weight[:first])
        [added, *_] = [name for name, number in names.items() if number == first]
        pieces = [token.id for token in known.backend_tokenizer.model.tokenize(added)]
        torch.testing.assert_close(new.weight[first], old.weight[pieces].mean(0))
    assert model.config.vocab_size == first + figures["tokens"]


def test_what_joins_nothing_is_refused(world, tmp_path):
    short = write_shard(tmp_path / "short.parquet", ["x"])
    with pytest.raises(ModelError, match="No two tokens of"):
        add_tokens(BaseSpec(model=str(world.base)), [short], [short], 10, tmp_path / "base")
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
