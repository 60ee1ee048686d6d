"""Signatures are datasketch's."""

import numpy as np
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dedup.signature import shingle_hashes, signature, signatures
from pipelines.pages.characters import normalise, text_hash


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=300), st.integers(0, 50))
def test_equal_to_datasketch(hashes: list[int], seed: int) -> None:
    theirs = MinHash(num_perm=112, seed=seed, hashfunc=lambda value: value)
    theirs.update_batch(hashes)
    assert signature(np.array(hashes, dtype=np.uint32), 112, seed).tolist() == theirs.hashvalues.tolist()


def test_equal_to_datasketch_over_many_blocks() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32)
    theirs = MinHash(num_perm=64, seed=3, hashfunc=int)
    theirs.update_batch(hashes)
    assert (signature(hashes, 64, 3) == theirs.hashvalues).all()


@settings(max_examples=20)
@given(st.lists(st.integers(1, 6000), min_size=1, max_size=20), st.integers(0, 9))
def test_texts_together_are_signed_as_alone(lengths: list[int], seed: int) -> None:
    drawn = np.random.default_rng(seed)
    texts = [drawn.integers(0, 2**32, length, dtype=np.uint32) for length in [*lengths, 20_000]]
    alone = [signature(text, 16, seed).tolist() for text in texts]
    assert [together.tolist() for together in signatures(texts, 16, seed)] == alone
    assert signatures([], 16, seed) == []


@given(st.lists(st.sampled_from(["a", "b", "c", "ö"]), min_size=1, max_size=30), st.integers(1, 6))
def test_equal_shingles_and_only_they_have_equal_hashes(words: list[str], length: int) -> None:
    size = min(length, len(words))
    shingles = [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
    hashes = shingle_hashes(" ".join(words), length).tolist()
    assert len(hashes) == len(shingles)
    assert len(set(zip(hashes, shingles, strict=True))) == len(set(hashes)) == len(set(shingles))


def test_the_estimate_is_near_the_true_jaccard() -> None:
    words = [f"w{number}" for number in range(1000)]
    for shared in (900, 600, 300):
        one, other = " ".join(words), " ".join(words[:shared] + [word + "x" for word in words[shared:]])
        true = len({*range(shared - 4)}) / (2 * 996 - (shared - 4))
        estimate = np.mean(signature(shingle_hashes(one, 5), 1024, 1) == signature(shingle_hashes(other, 5), 1024, 1))
        assert abs(estimate - true) < 0.06


def test_white_space_case_and_normal_form() -> None:
    assert normalise(" caf\u0065\u0301 \u00a0au\nlait\t") == "café au lait"
    assert text_hash(normalise("a  b")) == text_hash(normalise("a\nb")) != text_hash(normalise("A b"))
    assert shingle_hashes("A b C", 2).tolist() == shingle_hashes("a B c", 2).tolist()


def test_a_shingle_has_one_hash_wherever_it_stands() -> None:
    words = [f"w{number}" * (1 + number % 40) for number in range(3000)]  # several tables long
    words[1000] = "x" * 100_000  # longer than a table
    text = " ".join(words)
    alone = [shingle_hashes(" ".join(words[start : start + 5]), 5).tolist() for start in range(len(words) - 4)]
    assert [[value] for value in shingle_hashes(text, 5).tolist()] == alone
    assert len(set(map(tuple, alone))) == len(alone)
    assert shingle_hashes("Árvíztűrő", 5).tolist() == shingle_hashes("árvíztűrő", 5).tolist()
