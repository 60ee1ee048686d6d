"""Cut a long text, such as a novel: into documents, and into pieces that are worked on one after the other."""

import re
from collections.abc import Iterator

# Memory goes by the number of words and lines, which are objects of 50 bytes and more: one piece's take up to 60 MB.
PIECE_CHARACTERS = 1_000_000
_SPACE = re.compile(r"\s")  # the same characters that str.split() parts words by


def cut(text: str, max_characters: int) -> Iterator[str]:
    """Yield consecutive parts of at most `max_characters`, cut at line ends, else at spaces, else anywhere.

    The parts hold all of the text but white space at their ends.
    """
    start = 0
    while len(text) - start > max_characters:
        stop = start + max_characters
        end = max(text.rfind("\n", start, stop + 1), start)
        if end == start:
            end = max(text.rfind(" ", start, stop + 1), start)
        if end == start:
            end = stop
        if part := text[start:end].strip():
            yield part
        start = end
        # White space at the cut belongs to no part, and would stop the next search at its first character.
        while start < len(text) and text[start].isspace():
            start += 1
    if part := text[start:].strip():
        yield part


def pieces(text: str, size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """Yield consecutive pieces that hold all of the text and part no word: each as long as `size`, or a little longer.

    A text that is not longer is one piece.
    """
    start = 0
    while len(text) - start > size and (space := _SPACE.search(text, start + size)):
        yield text[start : space.start()]
        start = space.start()
    yield text[start:]
