"""Long texts are cut into documents without loss."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages.characters import cut, pieces


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
