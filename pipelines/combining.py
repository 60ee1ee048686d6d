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
    mark, likely, long_runs = _patterns()
    # A run that is too long has a mark at one of these places: of most texts the others need no look.
    if mark.search(text[MAX_MARKS :: MAX_MARKS + 1]) and likely.search(text):
        return long_runs.sub(r"\1", text)
    return text


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """What may be a mark, what may be a long run, and what is one.

    Marks beyond the first plane make a class slow: what may be takes all that stands between them there.
    """
    marks = "".join(chr(code) for code in range(0x300, _LAST_BLOCK) if unicodedata.combining(chr(code)))
    beyond = "".join(mark for mark in marks if ord(mark) > 0xFFFF)
    coarse = marks.removesuffix(beyond) + f"{min(beyond)}-{max(beyond)}"
    likely, exact = (f"([{these}][{these}]{{{MAX_MARKS - 1}}})[{these}]++" for these in (coarse, marks))
    return re.compile(f"[{coarse}]"), re.compile(likely), re.compile(exact)
