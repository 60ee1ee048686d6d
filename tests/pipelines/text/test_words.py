"""The one definition of a word."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages.characters import normalise
from pipelines.text.scores.text_parts import TextParts
from pipelines.text.words import is_whole_word, spaced, whole_words, words


@given(st.text())
def test_scores_shingles_and_ngrams_see_the_same_words(text: str) -> None:
    normalised = normalise(text)
    assert spaced(normalised, "eng") == " ".join(words(normalised, "eng"))
    parts = TextParts([text], ["eng"])
    places = [text[start : start + length] for start, length in np.stack([parts.starts, parts.lengths], axis=1)]
    assert places == parts.words == words(text, "eng")


@given(st.text())
def test_whole_words_have_no_punctuation(text: str) -> None:
    assert all(is_whole_word(word) and word.replace("_", "a").isalnum() for word in whole_words(text))
