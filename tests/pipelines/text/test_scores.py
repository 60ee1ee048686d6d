"""Scores: by hand, and against a plain slow implementation on made and real texts."""

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import example, given, settings
from hypothesis import strategies as st
from resiliparse.parse.html import HTMLTree

from pipelines.pages.characters import normalise
from pipelines.pages.extract import all_text, clean, main_content
from pipelines.settings import ExtractionSettings
from pipelines.text.scores import MAX_CHARACTERS, SCORES, scores, scores_of_texts
from pipelines.text.scores.line_scores import TERMINALS
from tests.pipelines.slow_scores import slow_scores

BY_HAND = [
    ("mean_word_length", "a bcd - «—» efg", 7 / 3),
    ("words", "one – 2 … #3 »« é", 4),
    ("hash_ratio", "#one two ## three", 3 / 4),
    ("ellipsis_ratio", "one... two… three four....", 3 / 4),
    ("bullet_line_share", "- a\n\n  • b\nc - d\n* e", 2 / 4),
    ("ellipsis_line_share", "a...\nb…  \n\nc", 2 / 3),
    ("alphabetic_word_share", "a1 22 3,4 b — ß", 3 / 6),
    ("stop_words", "to be, or not to be and the the", 4),  # to, be, and, the
    ("duplicate_line_share", "a\nb\n\na\na\nc", 2 / 5),
    ("duplicate_line_character_share", "ab\ncd\nab", 2 / 8),
    ("duplicate_paragraph_share", "a\nb\n\nc\n\n\n\na\nb\n\na", 1 / 4),
    ("duplicate_paragraph_character_share", "a\nb\n\na\nb", 3 / 8),
    ("top_2_gram_share", "a b c a b", 2 * 3 / 9),
    ("top_2_gram_share", "ccc d a b a b ccc d", 2 * 5 / 19),  # of equals, the first
    ("top_3_gram_share", "one two three four", 13 / 18),  # what occurs once counts too
    ("top_4_gram_share", "one two three", 0),
    ("top_2_gram_share", "a a a a", 3 * 3 / 7),  # overlaps count
    ("duplicate_5_gram_share", "a b c d e a b c d e f", 5 / 21),
    ("duplicate_5_gram_share", "a a a a a a a a a a a", 10 / 21),  # new from word 0, seen from 1 and from 6
    ("duplicate_6_gram_share", "a b c d e a b c d e f", 0),
    ("c4_sentences", "One two three. Four! Five\nSix seven.\nHe said: “Go!” And went. 3.5 is more (or less?)", 6),
    ("c4_sentences", "We use cookies. Really we do.\nPlease turn JavaScript on.\none two three", 1),
    ("c4_sentences", "一 二 三。四五六！", 2),
    ("lorem_ipsum_lines", "Lorem IPSUM dolor sit\nlorem ipsum\nx", 1),
    ("curly_bracket_lines", "if (x) { y }\n{ javascript code here }\n{ x", 1),
    ("lines", "a\n\n \nb", 2),
    ("terminal_line_share", "a.\nb\nc? \n\nd!\n年。", 3 / 5),
    ("short_line_share", "x" * 30 + "\n" + "y" * 31, 1 / 2),
    ("repeated_line_character_share", "ab\n\ncd\nab", 2 / 6),
    ("line_break_ratio", "a b\n\nc d\ne", 2 / 5),
]


@pytest.mark.parametrize(("name", "text", "expected"), BY_HAND)
def test_by_hand(name: str, text: str, expected: float) -> None:
    assert scores(text, "eng")[name] == pytest.approx(expected)
    assert slow_scores(text, "eng")[name] == pytest.approx(expected)


def test_every_score_is_named_and_has_a_case() -> None:
    assert list(scores("one", "eng")) == list(SCORES)
    assert {name for name in SCORES if not name.startswith("duplicate_")} <= {name for name, _, _ in BY_HAND}


def test_a_language_without_stop_words_has_no_such_score() -> None:
    assert scores("the and", "vol")["stop_words"] is None


WORDS = st.sampled_from(["the", "a", "b.", "c", "-", "•", "#", "...", "…", "12", "javascript", "lorem", "ipsum", "{"])
GAPS = st.sampled_from([" ", " ", " ", "\n", "\n\n", "\n \n", "  ", "\xa0", "\u3000"])
MADE = st.lists(st.tuples(WORDS | st.text(max_size=4), GAPS), max_size=80).map(
    lambda pairs: clean("".join(word + gap for word, gap in pairs))
)
# Few different words, so that n-grams and lines repeat.
REPETITIVE = st.lists(st.sampled_from(["a ", "b ", "cc ", "a. b\n", "\n\n"]), max_size=200).map(
    lambda parts: clean("".join(parts))
)


@settings(max_examples=300)
@given((MADE | REPETITIVE).filter(bool), st.sampled_from(["eng", "hun", "vol"]))
@example("\U000e0001 \U00020000 \U0001f600 a", "eng")
@example("x" * 1001 + " two three\none two three", "eng")
def test_as_the_slow_ones_on_made_texts(text: str, language: str) -> None:
    assert scores(text, language) == pytest.approx(slow_scores(text, language))


@settings(max_examples=50)
@given(st.lists((MADE | REPETITIVE).filter(bool), max_size=8), st.sampled_from(["eng", "vol"]))
@example(["a b c", "a b c", "c a b. \n..", "..."], "eng")  # nothing of one counts as repeated in the next
def test_texts_together_score_as_each_alone(texts: list[str], language: str) -> None:
    languages = [language if number % 2 else "hun" for number in range(len(texts))]
    assert scores_of_texts(texts, languages) == list(map(scores, texts, languages))


@pytest.mark.shared
def test_as_the_slow_ones_on_real_texts(shared_data: Path) -> None:
    with (shared_data / "crawl" / "webpages-00001.warc.gz").open("rb") as stream:
        pages = [r.reader.read().decode(errors="replace") for r in ArchiveIterator(stream, WarcRecordType.response)]
    texts = [main_content(HTMLTree.parse(page), ExtractionSettings()) for page in pages[:100]]
    texts += [clean(all_text(HTMLTree.parse(page))) for page in pages[100:150]]  # menus: short lines, repetition
    with gzip.open(shared_data / "text" / "eltec-hun.jsonl.gz", "rt") as novels:
        texts += [clean(json.loads(line)["text"][:20_000]) for line, _ in zip(novels, range(5), strict=False)]
    texts = [text for text in texts if text]
    assert len(texts) > 100
    for text in texts:
        assert scores(text, "hun") == pytest.approx(slow_scores(text, "hun"))


def test_a_text_of_any_length_is_scored_by_its_first_million_characters() -> None:
    text = "".join(f"Sentence {number} of a very long text.\n" for number in range(MAX_CHARACTERS // 30))
    assert len(text) > MAX_CHARACTERS
    assert scores(text + "#" * 500, "eng") == scores(text[:MAX_CHARACTERS].strip(), "eng")
    assert scores(text, "eng")["words"] == len(text[:MAX_CHARACTERS].split())


@pytest.mark.parametrize("repeated", [".!? ", "a\n", "a b\n", "\U0001f600\n", "Buy it\n\n"])
@pytest.mark.slow
def test_memory_goes_by_the_length_of_a_text_not_by_its_lines_and_words(repeated: str) -> None:
    text = (repeated * (400_000 // len(repeated))).strip()
    tracemalloc.start()
    try:
        scores(text, "eng")
        normalise(text)
        assert tracemalloc.get_traced_memory()[1] < 200 * len(text)
    finally:
        tracemalloc.stop()


def test_what_ends_a_sentence_is_that_of_unicode_17() -> None:
    """A regex of another Unicode changes scores: then raise the version of the stage documents."""
    assert len(TERMINALS) == 172 and {".", "?", "。", "։", "\U0001da88"} <= TERMINALS
