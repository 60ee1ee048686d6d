"""The one definition of a word."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages.characters import normalise
from pipelines.text.scores.text_parts import TextParts, hash_of_word
from pipelines.text.words import UNSPACED, is_whole_word, spaced, whole_words, words


@given(st.text() | st.text("天氣好。、 a1ไทยงาม་བོད\n\u0301"), st.sampled_from(["eng", *UNSPACED]))
def test_scores_shingles_and_ngrams_see_the_same_words(text: str, language: str) -> None:
    normalised = normalise(text)
    assert spaced(normalised, language) == " ".join(words(normalised, language))
    parts = TextParts([text], [language])
    [seen] = parts.texts
    assert seen.count("\n") == text.count("\n") and "".join(seen.split()) == "".join(text.split())
    places = [seen[start : start + length] for start, length in np.stack([parts.starts, parts.lengths], axis=1)]
    assert places == words(text, language)
    assert parts.word_hashes.tolist() == list(map(hash_of_word, places))


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("zho", "我们今天去图书馆看书，然后回家。", "我们 今天 去 图书 馆 看书， 然后 回家。"),
        ("yue", "我们今天去看书。", "我们 今天 去 看书。"),
        ("jpn", "毎日電車で通勤しています。", "毎日 電車 で 通勤 し てい ます。"),
        ("tha", "ภาษาไทยเป็นภาษา Thai 2.0!", "ภาษา ไทย เป็น ภาษา Thai 2.0!"),
        ("lao", "ພາສາລາວເປັນພາສາ", "ພາສາ ລາວ ເປັນ ພາສາ"),
        ("bod", "བོད་ཀྱི་སྐད", "བོད་ ཀྱི་ སྐད"),
        ("kor", "우리는 오늘 도서관에 간다.", "우리는 오늘 도서관에 간다."),
    ],
)
def test_words_of_languages_without_spaces_are_segmented(language: str, text: str, expected: str) -> None:
    assert spaced(text, language) == expected


def test_a_long_line_is_segmented_throughout() -> None:
    found = words("我们今天去看书" * 5000, "zho")
    assert set(found) <= {"我们", "今天", "去", "看书", "我", "们", "今", "天", "看", "书"} and len(found) >= 20_000


@given(st.text())
def test_whole_words_have_no_punctuation(text: str) -> None:
    assert all(is_whole_word(word) and word.replace("_", "a").isalnum() for word in whole_words(text))
