"""FineWeb's scores of lines: Penedo et al. 2024, section 3.6 (https://arxiv.org/abs/2406.17557)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import regex

from pipelines.text.scores.text_parts import TextParts

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
    for number in range(len(parts.texts)):
        lines = list(filter(str.strip, parts.lines(number)))
        if len(different := set(lines)) < len(lines):
            repeated[number] = sum(map(len, lines)) - sum(map(len, different))
    return repeated
