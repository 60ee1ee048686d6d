"""Scores of lines, C4's and FineWeb's.

C4: Raffel et al. 2020, section 2.2 (https://jmlr.org/papers/v21/20-074.html), as FineWeb applied them.

C4 removes lines, and judges a document by what is left. Here the lines stay in the text: main-content extraction has
taken out menus and notices already, and these rules would take headlines and verses too. So the scores tell what would
be left. As in FineWeb, a line need not end in a full stop. FineWeb: Penedo et al. 2024, section 3.6
(https://arxiv.org/abs/2406.17557).
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import regex

from pipelines.text.scores.text_parts import CLOSES, CLOSING, FREE_MARK, MARK, MARKS, Bools, Integers, TextParts

MIN_LINE_WORDS, MAX_WORD_LENGTH = 3, 1000
# Lines with one of these are removed. The last six are C4's code's, not the paper's.
REMOVED_LINES = (
    "javascript",
    *("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"),
)
LOREM_IPSUM, CURLY_BRACKET = "lorem ipsum", "{"
# A text in which none of these stands holds none of the above: fewer to look for.
_SIGNS = (CURLY_BRACKET, LOREM_IPSUM, "javascript", "cookie", "terms of use", "privacy policy")
_BYTE_SIGNS = tuple(sign.encode() for sign in _SIGNS)
_KELVIN = "\u212a"  # the one character beyond ASCII that is of these letters in lower case: k
C4_LINES: Mapping[str, pa.DataType] = {
    "c4_sentences": pa.int32(),  # in lines that C4 would keep, which have 3 words or more
    "lorem_ipsum_lines": pa.int32(),  # lines of 3 words or more with 'lorem ipsum'
    "curly_bracket_lines": pa.int32(),  # the same with '{', unless C4 removes the line for 'javascript'
}


def c4_lines(parts: TextParts) -> dict[str, Sequence[float]]:
    """Return values of each text by score."""
    kept = parts.words_of_lines >= MIN_LINE_WORDS
    if parts.lengths.max(initial=0) > MAX_WORD_LENGTH:
        long = parts.starts[parts.lengths > MAX_WORD_LENGTH]
        kept[np.searchsorted(parts.line_starts, long, side="right") - 1] = False
    lorem, curly = [0] * len(parts.texts), [0] * len(parts.texts)
    for number, text in enumerate(parts.texts):
        if not _may_be_removed(text):
            continue
        first = int(parts.lines_before[number])
        lines = parts.lines(number)
        for place in np.flatnonzero(kept[first : first + len(lines)]).tolist():
            line = lines[place].lower()
            lorem[number] += LOREM_IPSUM in line
            curly[number] += CURLY_BRACKET in line and REMOVED_LINES[0] not in line
            kept[first + place] = not any(phrase in line for phrase in REMOVED_LINES)
    return {
        "c4_sentences": parts.by_line(_sentences(parts) * kept).tolist(),
        "lorem_ipsum_lines": lorem,
        "curly_bracket_lines": curly,
    }


def _may_be_removed(text: str) -> bool:
    """Tell whether a line of the text may hold what is looked for. Bytes are put in small letters in a tenth of the
    time that characters take.
    """
    lower = text.encode(errors="replace").lower()
    return any(sign in lower for sign in _BYTE_SIGNS) or _KELVIN in text


def _sentences(parts: TextParts) -> Integers:
    """Count sentences of each line: marks at which one ends, and one more where the line goes on behind the last."""
    marks = np.flatnonzero(parts.kinds & MARK)
    behind = marks + 1  # a line break at the end of each text
    is_end = (parts.kinds[marks] & FREE_MARK) | (parts.kinds[behind] & CLOSING) | (parts.codes[behind] == ord("\n"))
    of_line = np.searchsorted(parts.line_ends, marks[is_end != 0])
    return np.bincount(of_line, minlength=len(parts.line_ends)) + _go_on(parts)


def _go_on(parts: TextParts) -> Bools:
    """Tell of each line whether it ends in no mark, but for what may close behind one."""
    last = parts.kinds[parts.line_ends - 1]
    go_on = (parts.line_ends > parts.line_starts) & ((last & MARK) == 0)
    text = -1
    lines: list[str] = []
    for place in np.flatnonzero(go_on & ((last & CLOSING) != 0)).tolist():
        number = int(np.searchsorted(parts.lines_before, place, side="right")) - 1
        if number != text:
            text, lines = number, parts.lines(number)
        go_on[place] = lines[place - int(parts.lines_before[number])].rstrip(CLOSES)[-1:] not in MARKS
    return go_on


_LAST_OF_THEM = 0x20000  # no character from here on ends a sentence
TERMINALS = frozenset(regex.findall(r"\p{Sentence_Terminal}", "".join(map(chr, range(_LAST_OF_THEM)))))
_IS_TERMINAL = np.zeros(_LAST_OF_THEM + 1, dtype=bool)
_IS_TERMINAL[list(map(ord, TERMINALS))] = True
SHORT_LINE = 30  # characters, as published
FINEWEB_LINES: Mapping[str, pa.DataType] = {
    "lines": pa.int32(),  # all but blank ones, as in the shares
    "terminal_line_share": pa.float32(),  # lines that end in Unicode's Sentence_Terminal
    "short_line_share": pa.float32(),  # lines of at most 30 characters
    "repeated_line_character_share": pa.float32(),  # characters in the second and later occurrence of a line
    # Line breaks per word. Paragraphs are parted by blank lines here, not in the texts that the thresholds were made
    # for, so a blank line does not count.
    "line_break_ratio": pa.float32(),
}


def fineweb_lines(parts: TextParts) -> dict[str, Sequence[float]]:
    """Return values of each text by score."""
    filled = parts.words_of_lines > 0
    lines = parts.by_line(filled)
    counts = np.maximum(lines, 1)
    terminal = filled & _IS_TERMINAL.take(parts.codes[parts.line_ends - 1], mode="clip")
    short = filled & (parts.line_ends - parts.line_starts <= SHORT_LINE)
    characters = parts.lengths_of_texts - np.diff(parts.lines_before) + 1  # but for the line breaks
    return {
        "lines": lines.tolist(),
        "terminal_line_share": (parts.by_line(terminal) / counts).tolist(),
        "short_line_share": (parts.by_line(short) / counts).tolist(),
        "repeated_line_character_share": (_repeated_characters(parts) / np.maximum(characters, 1)).tolist(),
        "line_break_ratio": ((counts - 1) / np.maximum(parts.word_counts, 1)).tolist(),
    }


def _repeated_characters(parts: TextParts) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    repeated = np.zeros(len(parts.texts), dtype=np.int64)
    for number in parts.with_repeated_lines:
        lines = list(filter(str.strip, parts.lines(number)))
        if len(different := set(lines)) < len(lines):
            repeated[number] = sum(map(len, lines)) - sum(map(len, different))
    return repeated
