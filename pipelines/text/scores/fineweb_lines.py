"""FineWeb's scores of lines: Penedo et al. 2024, section 3.6 (https://arxiv.org/abs/2406.17557)."""

from collections.abc import Mapping

import pyarrow as pa
import regex

from pipelines.text.scores.text_parts import TextParts

_LAST_OF_THEM = 0x20000  # no character from here on ends a sentence
TERMINALS = frozenset(regex.findall(r"\p{Sentence_Terminal}", "".join(map(chr, range(_LAST_OF_THEM)))))
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


def fineweb_lines(parts: TextParts) -> dict[str, float]:
    """Scores by name."""
    lines = [line for line in parts.lines if line.strip()]
    seen: set[str] = set()
    repeated = 0
    if len(set(lines)) < len(lines):
        for line in lines:
            repeated += len(line) * (line in seen)
            seen.add(line)
    count = max(len(lines), 1)
    return {
        "lines": len(lines),
        "terminal_line_share": sum(line[-1] in TERMINALS for line in lines) / count,
        "short_line_share": sum(len(line) <= SHORT_LINE for line in lines) / count,
        "repeated_line_character_share": repeated / max(len(parts.text) - len(parts.lines) + 1, 1),
        "line_break_ratio": (count - 1) / max(len(parts.words), 1),
    }
