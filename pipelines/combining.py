"""Runs of combining marks, capped: CPython sorts the marks of a letter by insertion, so a long run takes minutes.

160 kB of marks out of order took 4.5 s in unicodedata.normalize, and time grows with the square (python/cpython
issue 149079). 30 of them is what the Unicode Standard's stream-safe text format allows in a run, "far beyond what is
required for any linguistic or technical usage": https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format
"""

import re
import unicodedata
from functools import cache

MAX_MARKS = 30
_LAST_BLOCK = 0x1F000  # no code point from here on has a combining class


def cap_marks(text: str) -> str:
    """`text` with the first MAX_MARKS of each run of combining marks."""
    if text.isascii():
        return text
    likely, long_runs = _patterns()
    return long_runs.sub(r"\1", text) if likely.search(text) else text


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What a long run may be, and is. Marks beyond the first plane make a class slow: the first takes all there."""
    marks = "".join(chr(code) for code in range(0x300, _LAST_BLOCK) if unicodedata.combining(chr(code)))
    beyond = "".join(mark for mark in marks if ord(mark) > 0xFFFF)
    coarse = marks.removesuffix(beyond) + f"{min(beyond)}-{max(beyond)}"
    likely, exact = (f"([{these}][{these}]{{{MAX_MARKS - 1}}})[{these}]++" for these in (coarse, marks))
    return re.compile(likely), re.compile(exact)
