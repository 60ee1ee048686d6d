"""Gopher's repetition scores: Rae et al. 2021, table A1 (https://arxiv.org/abs/2112.11446).

Definitions as in datatrove. A duplicate is the second and any later occurrence. Shares are of the text's characters,
white space included, but for the first two, which are of paragraphs and of lines.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.text.scores.text_parts import TextParts

TOP_GRAMS, DUPLICATE_GRAMS = range(2, 5), range(5, 11)
GOPHER_REPETITION: Mapping[str, pa.DataType] = {
    "duplicate_paragraph_share": pa.float32(),  # paragraphs are parted by blank lines
    "duplicate_paragraph_character_share": pa.float32(),
    "duplicate_line_share": pa.float32(),  # of all but empty lines
    "duplicate_line_character_share": pa.float32(),
    # The most frequent n-gram of words, joined by spaces: its length times its count. Of equals, the first.
    **{f"top_{n}_gram_share": pa.float32() for n in TOP_GRAMS},
    # Characters of words in n-grams that came before, found from left to right without overlap.
    **{f"duplicate_{n}_gram_share": pa.float32() for n in DUPLICATE_GRAMS},
}

_MULTIPLIER = np.int64(0x5851F42D4C957F2D)  # odd: Knuth's MMIX generator


def gopher_repetition(parts: TextParts) -> dict[str, float]:
    """Scores by name."""
    characters = max(len(parts.text), 1)
    lines = [line for line in parts.lines if line]
    duplicate_lines = _duplicates(lines)
    # Without a line that occurs twice there is no such paragraph.
    paragraphs = _paragraphs(parts.text) if duplicate_lines else []
    duplicate_paragraphs = _duplicates(paragraphs)
    return {
        "duplicate_paragraph_share": len(duplicate_paragraphs) / max(len(paragraphs), 1),
        "duplicate_paragraph_character_share": sum(map(len, duplicate_paragraphs)) / characters,
        "duplicate_line_share": len(duplicate_lines) / max(len(lines), 1),
        "duplicate_line_character_share": sum(map(len, duplicate_lines)) / characters,
        **{name: length / characters for name, length in _repeated_grams(parts).items()},
    }


def _duplicates(elements: Sequence[str]) -> list[str]:
    """Return the second and any later occurrence of each element."""
    if len(set(elements)) == len(elements):
        return []
    seen: set[str] = set()
    found = []
    for element in elements:
        if element in seen:
            found.append(element)
        seen.add(element)
    return found


def _paragraphs(text: str) -> list[str]:
    return [paragraph for part in text.split("\n\n") if (paragraph := part.strip("\n"))]


def _repeated_grams(parts: TextParts) -> dict[str, int]:
    """Characters by score: of the top n-grams, and of the duplicate ones.

    An n-gram can occur twice only where both (n-1)-grams in it do. So only those places are looked at that were left
    for n - 1: few in most texts, and none from some n on.
    """
    # Python's hash of a word: 64 bits, so that two words of one text have the same about never.
    hashes = np.fromiter(map(hash, parts.words), dtype=np.int64, count=len(parts.words))
    ends = np.zeros(len(hashes) + 1, dtype=np.int64)
    parts.lengths.cumsum(out=ends[1:])
    grams, places, counts = hashes, np.arange(len(hashes)), np.empty(0, dtype=np.int64)
    found = {}
    for n in range(2, DUPLICATE_GRAMS.stop):
        if len(places):
            inner = (places[1:] - places[:-1] == 1).nonzero()[0]
            places = places[inner]
            grams = grams[inner] * _MULTIPLIER + hashes[places + (n - 1)]
            repeated, counts = _repeated(grams)
            grams, places = grams[repeated], places[repeated]
        if n in TOP_GRAMS:
            found[f"top_{n}_gram_share"] = _top_characters(n, places, counts, ends)
        else:
            found[f"duplicate_{n}_gram_share"] = _duplicate_characters(n, grams, places, ends) if len(places) else 0
    return found


def _repeated(grams: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Find where an element stands that occurs more than once, and tell how often."""
    in_order = np.sort(grams)
    again = in_order[1:][in_order[1:] == in_order[:-1]]  # each of them, once less than it occurs
    first = again.searchsorted(grams)
    places = (again.take(first, mode="clip") == grams).nonzero()[0] if len(again) else first[:0]
    return places, again.searchsorted(grams[places], side="right") - first[places] + 1


def _top_characters(
    n: int, places: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> int:
    """Length of the most frequent n-gram, with its spaces, times its count, given those that occur twice or more."""
    if len(ends) <= n:
        return 0
    place, count = 0, 1  # where all occur once, the first counts
    if len(places):
        top = np.argmax(counts)
        place, count = int(places[top]), int(counts[top])
    return (int(ends[place + n] - ends[place]) + n - 1) * count


def _duplicate_characters(
    n: int, grams: npt.NDArray[np.int64], places: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> int:
    """Characters in n-grams that came before. One that was seen is stepped over, and nothing inside it is seen."""
    lengths = ends[places + n] - ends[places]
    seen: set[int] = set()
    characters = free = 0
    for gram, place, length in zip(grams.tolist(), places.tolist(), lengths.tolist(), strict=True):
        if place < free:
            continue
        if gram in seen:
            characters += length
            free = place + n
        else:
            seen.add(gram)
    return characters
