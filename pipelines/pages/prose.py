"""Lines of prose: such as are long and end a sentence."""

import re

_PROSE_LINE = 80  # characters
_SENTENCE_END = re.compile(r"(?<!^)[.!?…。！？｡।؟۔][\"'”’»“‹›「」『』)\]\s]*$")


def ends_sentence(line: str) -> bool:
    return _SENTENCE_END.search(line) is not None


def is_prose(line: str) -> bool:
    return len(line) >= _PROSE_LINE and ends_sentence(line)


def prose_of(text: str) -> tuple[int, int, int]:
    """Return how many characters the lines of prose have, and the numbers of the first and of the last of them."""
    lines = [line.strip() for line in text.split("\n")]
    prose = [number for number, line in enumerate(lines) if is_prose(line)]
    return sum(len(lines[number]) for number in prose), *((prose[0], prose[-1]) if prose else (0, 0))
