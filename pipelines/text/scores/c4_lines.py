"""C4's scores: Raffel et al. 2020, section 2.2 (https://jmlr.org/papers/v21/20-074.html), as FineWeb applied them.

C4 removes lines, and judges a document by what is left. Here the lines stay in the text: main-content extraction has
taken out menus and notices already, and these rules would take headlines and verses too. So the scores tell what would
be left. As in FineWeb, a line need not end in a full stop.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.text.scores.text_parts import FREE_MARKS, MARK, MARKS, TextParts

MIN_LINE_WORDS, MAX_WORD_LENGTH = 3, 1000
# Lines with one of these are removed. The last six are C4's code's, not the paper's.
REMOVED_LINES = (
    "javascript",
    *("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"),
)
LOREM_IPSUM, CURLY_BRACKET = "lorem ipsum", "{"
C4_LINES: Mapping[str, pa.DataType] = {
    "c4_sentences": pa.int32(),  # in lines that C4 would keep, which have 3 words or more
    "lorem_ipsum_lines": pa.int32(),  # lines of 3 words or more with 'lorem ipsum'
    "curly_bracket_lines": pa.int32(),  # the same with '{', unless C4 removes the line for 'javascript'
}
_CLOSING = " \t\"'”’»)]"
_AFTER_MARK = frozenset(["", "\n", *_CLOSING])  # a mark ends a sentence before these


def c4_lines(parts: TextParts) -> dict[str, float]:
    """Scores by name."""
    # Each line holds the words that start between its break and the next.
    breaks = np.cumsum([len(line) + 1 for line in parts.lines])
    words = np.diff(np.searchsorted(parts.starts, breaks), prepend=0)
    kept = words >= MIN_LINE_WORDS
    if len(parts.lengths) and parts.lengths.max() > MAX_WORD_LENGTH:
        kept[np.searchsorted(breaks, parts.starts[parts.lengths > MAX_WORD_LENGTH], side="right")] = False
    lorem, curly = 0, 0
    lower = parts.text.lower()
    if CURLY_BRACKET in lower or LOREM_IPSUM in lower or any(phrase in lower for phrase in REMOVED_LINES):
        for number in np.flatnonzero(kept).tolist():
            line = parts.lines[number].lower()
            lorem += LOREM_IPSUM in line
            curly += CURLY_BRACKET in line and REMOVED_LINES[0] not in line
            kept[number] = not any(phrase in line for phrase in REMOVED_LINES)
    return {
        "c4_sentences": int(_sentences(parts, breaks)[kept].sum()),
        "lorem_ipsum_lines": lorem,
        "curly_bracket_lines": curly,
    }


def _sentences(parts: TextParts, breaks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Sentences of each line: marks at which one ends, and one more where the line goes on behind the last."""
    text = parts.text
    marks = np.flatnonzero(parts.kinds & MARK).tolist()
    ends = [place for place in marks if text[place] in FREE_MARKS or text[place + 1 : place + 2] in _AFTER_MARK]
    unfinished = np.array([line.rstrip(_CLOSING)[-1:] not in MARKS for line in parts.lines], dtype=np.int64)
    of_line = np.searchsorted(breaks, np.array(ends, dtype=np.int64), side="right")
    return np.bincount(of_line, minlength=len(breaks)) + unfinished
