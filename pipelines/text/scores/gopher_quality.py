"""Gopher's quality scores: Rae et al. 2021, section A1.1 (https://arxiv.org/abs/2112.11446)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from pipelines.text.scores.text_parts import ALPHABETIC, SPEAKING, Bools, TextParts
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


def gopher_quality(parts: TextParts) -> dict[str, Sequence[float | None]]:
    """Return values of each text by score. Shares of lines are of all lines but the blank ones."""
    speaking = (parts.word_kinds & SPEAKING) != 0
    proper = parts.by_word(speaking)
    words = np.maximum(parts.word_counts, 1)
    lines = np.maximum(parts.by_line(parts.words_of_lines > 0), 1)
    bullets, ellipses = _bullets_and_ellipses(parts)
    ellipsis_counts = np.array([text.count("...") + text.count("…") for text in parts.texts])
    return {
        "words": proper.tolist(),
        "mean_word_length": (parts.by_word(parts.lengths * speaking) / np.maximum(proper, 1)).tolist(),
        "hash_ratio": (np.array([text.count("#") for text in parts.texts]) / words).tolist(),
        "ellipsis_ratio": (ellipsis_counts / words).tolist(),
        "bullet_line_share": (parts.by_line(bullets) / lines).tolist(),
        "ellipsis_line_share": (parts.by_line(ellipses) / lines).tolist(),
        "alphabetic_word_share": (parts.by_word((parts.word_kinds & ALPHABETIC) != 0) / words).tolist(),
        "stop_words": _stop_words(parts),
    }


def _bullets_and_ellipses(parts: TextParts) -> tuple[Bools, Bools]:
    """Tell of each line whether its first word begins with a bullet, and whether its last ends in an ellipsis."""
    bullets, ellipses = np.zeros((2, len(parts.line_ends)), dtype=bool)
    filled = np.flatnonzero(parts.words_of_lines)
    first = parts.codes[parts.starts[parts.words_before_lines[filled]]]
    bullets[filled] = (first == ord("•")) | (first == ord("-"))
    ends = parts.ends[parts.words_before_lines[filled + 1] - 1]
    ellipses[filled] = parts.codes[ends - 1] == ord("…")
    long = ends >= len("...")
    filled, ends = filled[long], ends[long]
    dots = [parts.codes[ends - back] == ord(".") for back in (1, 2, 3)]
    ellipses[filled] |= dots[0] & dots[1] & dots[2]
    return bullets, ellipses


def _stop_words(parts: TextParts) -> list[int | None]:
    found: list[int | None] = []
    bounds = parts.words_before.tolist()
    for language, start, end in zip(parts.languages, bounds, bounds[1:], strict=False):
        stop_words = STOP_WORDS.get(language)
        found.append(None if stop_words is None else len(stop_words.intersection(parts.words[start:end])))
    return found
