"""FineWeb's scores of lines: Penedo et al. 2024, section 3.6 (https://arxiv.org/abs/2406.17557)."""

from collections.abc import Mapping

import pyarrow as pa

from pipelines.text.scores.text_parts import TextParts

# Characters with Unicode's property Sentence_Terminal (PropList.txt of Unicode 17), which Python does not know.


_CODES = """
21 2e 3f 589 61d-61f 6d4 700-702 7f9 837 839 83d-83e 964-965 104a-104b 1362 1367-1368 166e 1735-1736 17d4-17d5 1803
1809 1944-1945 1aa8-1aab 1b4e-1b4f 1b5a-1b5b 1b5e-1b5f 1b7d-1b7f 1c3b-1c3c 1c7e-1c7f 2024 203c-203d 2047-2049
2cf9-2cfb 2e2e 2e3c 2e53-2e54 2e60-2e61 3002 a4ff a60e-a60f a6f3 a6f7 a876-a877 a8ce-a8cf a92f a9c8-a9c9 aa5d-aa5f
aaf0-aaf1 abeb fe12 fe15-fe16 fe52 fe56-fe57 ff01 ff0e ff1f ff61 10a56-10a57 10f55-10f59 10f86-10f89 11047-11048
110be-110c1 11141-11143 111c5-111c6 111cd 111de-111df 11238-11239 1123b-1123c 112a9 113d4-113d5 1144b-1144c
115c2-115c3 115c9-115d7 11641-11642 1173c-1173e 11944 11946 11a42-11a43 11a9b-11a9c 11c41-11c42 11ef7-11ef8
11f43-11f44 16a6e-16a6f 16af5 16b37-16b38 16b44 16d6e-16d6f 16e98 1bc9f 1da88
"""


def _characters(codes: str) -> frozenset[str]:
    ranges = [entry.split("-") for entry in codes.split()]
    return frozenset(chr(code) for ends in ranges for code in range(int(ends[0], 16), int(ends[-1], 16) + 1))


TERMINALS = _characters(_CODES)


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
