"""Cut a long text, such as a novel, into documents."""

from collections.abc import Iterator


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
