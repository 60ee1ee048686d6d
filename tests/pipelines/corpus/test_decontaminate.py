"""Decontamination against a plain implementation."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.corpus import decontaminate
from pipelines.corpus.decontaminate import DecontaminationSet, NgramIndex, evaluation_sets, simplified
from pipelines.pages.characters import clean, pieces
from storage.errors import InputError
from storage.workspace import Workspace

words = st.sampled_from(["the", "The", "thé", "cat,", "cat", "3", "42", "1848", "--", "Ő", "o", "it's", "ﬁ", "한국"])
texts = st.lists(words, max_size=12).map(" ".join)


def plain_words(text: str) -> list[str]:
    marks = [c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn"]
    letters = unicodedata.normalize("NFC", "".join(marks))
    digits = ["0" if c.isdecimal() else c for c in letters]
    return "".join(c if c.isalnum() else " " for c in digits).split()


def ngrams(text: str, n: int) -> list[str]:
    found = plain_words(text)
    return [" ".join(found[start : start + n]) for start in range(len(found) - n + 1)]


def as_set(name: str, given: Sequence[str]) -> DecontaminationSet:
    return DecontaminationSet(name, "hash", lambda: iter(given))


@given(st.lists(texts, max_size=4), st.lists(texts, max_size=4), texts, st.integers(1, 4))
def test_found_is_what_a_plain_search_finds(one: list[str], other: list[str], text: str, n: int) -> None:
    sets = [as_set(name, given) for name, given in (("one", one), ("other", other)) if any(ngrams(t, n) for t in given)]
    shared = {ngram: item.name for item in reversed(sets) for t in item.texts() for ngram in ngrams(t, n)}
    expected = next(((shared[ngram], ngram) for ngram in ngrams(text, n) if ngram in shared), None)
    found = NgramIndex(sets, n, "eng").find(text)
    assert (found and (found.evaluation_set, found.ngram)) == expected


@given(st.text())
def test_words_are_those_of_a_plain_simplification(text: str) -> None:
    assert simplified(text).split() == plain_words(clean(text))


def test_a_set_that_cannot_be_found_or_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no text of short has 13 words"):
        NgramIndex([as_set("short", ["only a few words"])], 13, "eng")
    monkeypatch.setattr(decontaminate, "MAX_NGRAMS", 10)
    monkeypatch.setattr(decontaminate, "_BLOCK", 4)
    with pytest.raises(InputError, match="the sets up to large have more than 10 n-grams"):
        NgramIndex([as_set("large", [f"{letter} b c d e f" for letter in "ghijklmnopq"])], 3, "eng")


@given(texts, texts, st.integers(1, 4), st.integers(1, 20))
def test_what_lies_in_two_pieces_of_a_long_text_is_found(given: str, text: str, n: int, size: int) -> None:
    if not ngrams(given, n):
        return
    index = NgramIndex([as_set("one", [given])], n, "eng")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decontaminate, "pieces", lambda text: pieces(text, size))
        in_pieces = index.find(text)
    assert in_pieces == index.find(text)


QUESTION = "Melyik évben épült a Lánchíd, és ki volt a fővárosi híd tervezője?"


def texts_of(path: Path, workspace: Workspace) -> list[str]:
    [found] = evaluation_sets("web", [str(path)], workspace)
    return list(found.texts())


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "latin2"])
def test_a_set_of_plain_text_in_the_charset_that_it_has(tmp_path: Path, workspace: Workspace, charset: str) -> None:
    path = tmp_path / "questions.txt"
    path.write_bytes((QUESTION * 5).encode(charset))
    assert texts_of(path, workspace) == [QUESTION * 5]


def test_choices_and_answers_of_a_set_in_parquet_count_too(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "questions.parquet"
    answers = {"text": ["Clark"], "start": [7]}
    columns = {"question": [QUESTION], "choices": [["1849", "1873"]], "answers": [answers], "n": [1], "picture": [b"x"]}
    pq.write_table(pa.table(columns).append_column("subject", pa.array(["hidak"]).dictionary_encode()), path)
    assert set(texts_of(path, workspace)) == {QUESTION, "1849", "1873", "Clark", "hidak"}


def test_a_set_that_is_nested_too_deep_is_refused(tmp_path: Path, workspace: Workspace) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text('{"a":' * 50_000)
    with pytest.raises(InputError, match=r"corpora.web.decontaminate: .*questions.jsonl cannot be read"):
        texts_of(path, workspace)
