"""Gopher's quality scores: Rae et al. 2021, section A1.1 (https://arxiv.org/abs/2112.11446)."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from pipelines.text.scores.text_parts import ALPHABETIC, SPEAKING, TextParts
from pipelines.text.stop_words import STOP_WORDS

GOPHER_QUALITY: Mapping[str, pa.DataType] = {
    "words": pa.int32(),  # with a letter, digit or combining mark; all else of a text counts as punctuation
    "mean_word_length": pa.float32(),  # of those words, in characters
    "hash_ratio": pa.float32(),  # '#' per word
    "ellipsis_ratio": pa.float32(),  # '...' and '…' per word
    "bullet_line_share": pa.float32(),  # lines that begin with '•' or '-'
    "ellipsis_line_share": pa.float32(),  # lines that end in '...' or '…'
    "alphabetic_word_share": pa.float32(),  # words with a letter
    "stop_words": pa.int16(),  # how many different ones of the text's language; NULL where we have no list of it
}


def gopher_quality(parts: TextParts, language: str) -> dict[str, float | None]:
    """Scores by name. Shares of lines are of all lines but the blank ones."""
    text, words = parts.text, len(parts.words)
    speaking = (parts.word_kinds & SPEAKING) != 0
    proper = int(np.count_nonzero(speaking))
    stripped = [line for raw in parts.lines if (line := raw.strip())]
    stop_words = STOP_WORDS.get(language)
    ellipses = text.count("...") + text.count("…")
    return {
        "words": proper,
        "mean_word_length": int(parts.lengths[speaking].sum()) / max(proper, 1),
        "hash_ratio": text.count("#") / max(words, 1),
        "ellipsis_ratio": ellipses / max(words, 1),
        "bullet_line_share": sum(line[0] in "•-" for line in stripped) / max(len(stripped), 1),
        "ellipsis_line_share": (
            sum(line.endswith(("...", "…")) for line in stripped) / max(len(stripped), 1) if ellipses else 0.0
        ),
        "alphabetic_word_share": int(np.count_nonzero(parts.word_kinds & ALPHABETIC)) / max(words, 1),
        "stop_words": None if stop_words is None else len(stop_words.intersection(parts.words)),
    }
