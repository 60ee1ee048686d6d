"""Held-out groups: by hash alone, in all languages, never a whole corpus."""

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpus.split import group_of, held_out_groups
from pipelines.settings import CorpusSettings
from storage.errors import InputError


def corpus(**fields: object) -> CorpusSettings:
    return CorpusSettings.model_validate({"language": "eng", "text_domain": "x", "sources": ["s"], **fields})


@pytest.mark.parametrize(
    ("url", "group"),
    [
        ("https://a.example/en-US/text/page.html", "/text/page.html"),
        ("https://b.example/hu/text/page.html", "/text/page.html"),
        ("https://b.example/hun/text/page.html", "/text/page.html"),
        ("https://b.example/pt_BR/text/page.html?x=1", "/text/page.html?x=1"),
        ("https://b.example/img/page.html", "/img/page.html"),  # no language is called img
        ("https://b.example/hu", "/hu"),  # nothing would be left
        ("https://b.example", "/"),
        ("https://[broken/", "https://[broken/"),
    ],
)
def test_url_path_without_language(url: str, group: str) -> None:
    assert group_of("url_path", url, "host", "id") == group


@given(st.lists(st.text(max_size=8), min_size=40, max_size=200, unique=True), st.integers(0, 40))
def test_two_corpora_with_the_same_paths_hold_out_the_same(paths: list[str], missing: int) -> None:
    settings = corpus(held_out_share=0.2, held_out_min_documents=1)
    whole, part = paths, paths[min(missing, 30) :]
    in_whole, in_part = held_out_groups("a", whole, settings), held_out_groups("b", part, settings)
    both = set(part)
    # Chosen by hash: they differ at most by what one corpus adds to reach its least number.
    assert in_part & both >= in_whole & both


@given(st.lists(st.sampled_from([f"host{number}" for number in range(12)]), min_size=30, max_size=100))
def test_both_sides_have_enough(groups: list[str]) -> None:
    settings = corpus(held_out_min_documents=5)
    try:
        held_out = held_out_groups("a", groups, settings)
    except InputError:
        return
    documents = sum(group in held_out for group in groups)
    assert 5 <= documents < len(groups)


def test_about_the_share_is_held_out() -> None:
    held_out = held_out_groups("a", [f"group {number}" for number in range(4000)], corpus(held_out_share=0.05))
    assert 0.035 < len(held_out) / 4000 < 0.065


@pytest.mark.parametrize(
    ("groups", "fields", "sentence"),
    [
        (["one.example"] * 100, {}, "held-out split would have 0 of 100 documents.*corpora.a.split_by to document"),
        ([str(number) for number in range(8)], {}, "train split would be empty, since all 8 .*held_out_min_documents"),
        ([], {}, "held-out split would have 0 of 0"),
    ],
)
def test_an_empty_side_is_refused(groups: list[str], fields: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        held_out_groups("a", groups, corpus(**fields))


def test_a_large_group_is_held_out_only_where_there_are_not_enough_small_ones() -> None:
    settings = corpus(held_out_share=0.05, held_out_min_documents=20)
    small = [f"host {number}" for number in range(300)]
    for number in range(40):
        large = f"large {number}"
        assert large not in held_out_groups("a", [*small, *[large] * 100], settings)
    few = [f"host {number % 4}" for number in range(100)]
    assert 20 <= sum(group in held_out_groups("a", few, settings) for group in few) <= 50


def test_of_large_groups_the_smaller_ones_are_held_out_where_they_are_enough() -> None:
    sizes = {**{f"host {number}": 10 for number in range(6)}, **{f"large {number}": 40 for number in range(3)}}
    settings = corpus(held_out_share=0.05, held_out_min_documents=20)
    for drawn in range(20):
        groups = [f"{drawn} {group}" for group, size in sizes.items() for _ in range(size)]
        held_out = held_out_groups("a", groups, settings)
        assert len(held_out) == 2
        assert not any("large" in group for group in held_out)


def test_a_larger_group_is_held_out_where_else_nothing_would_be_left_to_train_on() -> None:
    """9 and 8 are not enough, and the three together are all."""
    groups = [f"host {number}" for number, size in ((1, 9), (2, 8), (4, 16)) for _ in range(size)]
    held_out = held_out_groups("a", groups, corpus(held_out_min_documents=20))
    assert sum(group in held_out for group in groups) in (24, 25)


def test_small_groups_are_held_out_as_they_were() -> None:
    """By hash alone: a corpus whose groups are small keeps the split that it had before there were limits."""
    groups = [f"group {number % 400}" for number in range(900)]
    held_out = held_out_groups("a", groups, corpus(held_out_share=0.05, held_out_min_documents=1))
    by_hash = {group for group in groups if xxhash.xxh3_64_intdigest(group.encode()) < 0.05 * 2**64}
    assert held_out == by_hash
