"""Scores of a text: measured for every document that reached main content, judged later by SQL.

Definitions follow Rae et al. 2021 (Gopher), table A1, on words split at white space, and Penedo et al. 2024 (FineWeb).
"""

from collections.abc import Mapping

import pyarrow as pa

# Unicode's Sentence_Terminal of the scripts at hand; FineWeb counts a line as a sentence if it ends in one.
TERMINALS = tuple(".!?…。！？｡।؟۔")

SCORES: Mapping[str, pa.DataType] = {
    "words": pa.int32(),
    "mean_word_length": pa.float32(),
    "alphabetic_word_share": pa.float32(),
    "lines": pa.int32(),
    "terminal_line_share": pa.float32(),
    "duplicate_line_share": pa.float32(),
}


def scores(text: str) -> dict[str, float]:
    """Scores by name, in the order of SCORES. `text` is not empty."""
    words = text.split()
    lines = [line for raw in text.split("\n") if (line := raw.strip())]
    return {
        "words": len(words),
        "mean_word_length": sum(map(len, words)) / max(len(words), 1),
        "alphabetic_word_share": sum(any(map(str.isalpha, word)) for word in words) / max(len(words), 1),
        "lines": len(lines),
        "terminal_line_share": sum(line.endswith(TERMINALS) for line in lines) / max(len(lines), 1),
        "duplicate_line_share": 1 - len(set(lines)) / max(len(lines), 1),
    }
