"""What leaves a text, and what stays in it."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages.characters import (
    MAX_MARKS,
    cap_marks,
    clean,
    cut,
    normalise,
    one_line,
    pieces,
    text_hash,
    without_controls,
)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "one\x0ctwo\x0bthree\x85four\u2028five\u2029six\r\nseven\reight",
            "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight",
        ),
        ("unit\x1fseparator", "unit separator"),
        ("\ufeff hy\xadphen\xadated\u200b wo\u2060rds \ufeff", "hyphenated words"),
        ("\u202eright\u202c to \u200fleft\u2066.\u2069", "right to left."),
        ("es\x1b[31mcape\x00 \x07bell\x7f", "es[31mcape bell"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष ক্\u200cষ", "क्\u200dष ক্\u200cষ"),
        ("👩\u200d👩\u200d👧 🏳\ufe0f\u200d🌈", "👩\u200d👩\u200d👧 🏳\ufe0f\u200d🌈"),
        ("Zero\u200cwidth\u200djoiners \u200c\u200dگل\u200c ", "Zerowidthjoiners گل"),
        ("no-break\xa0space、　ideographic", "no-break\xa0space、　ideographic"),
        ("VERSTÄ\xadRKER", "VERSTÄRKER"),
        ("kÃ¶nyvtÃ¡r, Ã\x8drÃ³k Å±rhajÃ³ja Å‘sszel, vÃ\xadz", "könyvtár, Írók űrhajója ősszel, víz"),
    ],
)
def test_clean(text: str, left: str) -> None:
    assert clean(text) == left


def test_unseen_characters_hide_no_copy() -> None:
    plain, hidden = "The quick brown fox", "\ufeffThe qu\xadick brown\u200b\u2028fo\u2060x"
    assert text_hash(normalise(clean(plain))) == text_hash(normalise(clean(hidden)))


def test_a_title_has_one_line() -> None:
    assert one_line("a\x0cb\u2028 c\r\nd\xad\u200be", 7) == "a b c d"


@given(st.text(alphabet=st.characters(), max_size=80))
def test_clean_text_stays_as_it_is(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert once.encode().decode() == once
    assert not set(once) & {"\xad", "\u200b", "\u2060", "\ufeff", "\x0c", "\x85", "\u2028"}


@given(st.text(alphabet="a\u0301\u0323\u05b0\U0001e944é", max_size=200))
def test_runs_of_marks_are_capped(text: str) -> None:
    capped = cap_marks(text)
    longest = run = 0
    for character in capped:
        run = run + 1 if unicodedata.combining(character) else 0
        longest = max(longest, run)
    assert longest <= MAX_MARKS
    if len(text) <= MAX_MARKS:
        assert capped == text


@pytest.mark.parametrize("before", range(2 * MAX_MARKS))
def test_a_run_is_capped_wherever_it_begins(before: int) -> None:
    start = "\xe9" * before
    assert cap_marks(start + "\u0301" * (MAX_MARKS + 1) + "x") == start + "\u0301" * MAX_MARKS + "x"


def test_marks_out_of_order_cost_no_time() -> None:
    """Three million of them are normalised as they come; sorting them took minutes."""
    text = "a" + "\u0301\u0323" * 1_500_000
    assert len(normalise(text)) <= 1 + MAX_MARKS


@given(st.text())
def test_what_is_shown_can_be_written_and_drives_nothing(text: str) -> None:
    shown = without_controls(text, "?")
    assert len(shown) == len(text) and shown.encode().decode() == shown
    assert not any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in set(shown) - {"\t", "\n"}
    )


def test_text_of_any_script_is_shown_as_it_is() -> None:
    text = "a\xa0b\u202fc\td\n\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert without_controls(text) == text
    assert without_controls("name\u202e4pm.exe\x1b[2J") == "name4pm.exe[2J"


@given(st.text("ab \t\n\xa0é\xad\x7f\u2028", max_size=30), st.integers(1, 8))
def test_one_line_is_the_cleaned_words(text: str, limit: int) -> None:
    assert one_line(text, limit) == " ".join(clean(text[: 4 * limit]).split())[:limit]


@given(st.text(alphabet="ab \n\té", max_size=300), st.integers(1, 50))
def test_parts_are_bounded_and_hold_all_of_the_text(text: str, limit: int) -> None:
    parts = list(cut(text, limit))
    assert all(0 < len(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_cuts_at_line_ends_before_spaces() -> None:
    assert list(cut("one two\nthree four\nfive", 12)) == ["one two", "three four", "five"]
    assert list(cut("one two three", 8)) == ["one two", "three"]
    assert list(cut("abcdefgh", 3)) == ["abc", "def", "gh"]


@given(st.text(alphabet="ab \n\té\u3000", max_size=300), st.integers(1, 50))
def test_pieces_are_the_text_and_part_no_word(text: str, size: int) -> None:
    found = list(pieces(text, size))
    assert "".join(found) == text
    assert [word for piece in found for word in piece.split()] == text.split()
    assert all(len(re.sub(r"\S+$", "", piece)) <= size for piece in found)
    assert len(found) <= len(text) // size + 1
