"""Long texts are cut into documents without loss."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.cut import cut


@given(st.text(alphabet="ab \n\té", max_size=300), st.integers(1, 50))
def test_parts_are_bounded_and_hold_all_of_the_text(text: str, limit: int) -> None:
    parts = list(cut(text, limit))
    assert all(0 < len(part) <= limit for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_cuts_at_line_ends_before_spaces() -> None:
    assert list(cut("one two\nthree four\nfive", 12)) == ["one two", "three four", "five"]
    assert list(cut("one two three", 8)) == ["one two", "three"]
    assert list(cut("abcdefgh", 3)) == ["abc", "def", "gh"]
