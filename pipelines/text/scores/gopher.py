"""Gopher's scores of quality and repetition: Rae et al. 2021, section A1.1 and table A1 (https://arxiv.org/abs/2112.11446).

Definitions as in datatrove. A duplicate is the second and any later occurrence. Shares of repetition are of the text's
characters, white space included, but for the first two, which are of paragraphs and of lines.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.text.scores.text_parts import ALPHABETIC, MULTIPLIER, SPEAKING, Bools, Integers, TextParts, hash_of_word
from pipelines.text.words import STOP_WORDS

_MULTIPLIER = np.int64(MULTIPLIER)
_STOP_WORD_PLACES = 1 << 10  # of a language: so many that by some bits no two of its words have the same

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
    """Count the different ones of each text, found among its words by their hashes."""
    table, shifts, numbers = _stop_word_table()
    languages = np.array([numbers.get(language, 0) for language in parts.languages], dtype=np.int64)
    of_words = np.repeat(languages, parts.word_counts)
    places = _places(parts.word_hashes, of_words, shifts[of_words])
    are = np.flatnonzero(table[places] == parts.word_hashes)
    of_text = np.searchsorted(parts.words_before, are, side="right") - 1
    different = np.unique(of_text * len(table) + places[are]) // len(table)
    counts = np.bincount(different, minlength=len(parts.texts)).tolist()
    return [count if language in numbers else None for count, language in zip(counts, parts.languages, strict=True)]


@lru_cache(maxsize=1)
def _stop_word_table() -> tuple[Integers, Integers, Mapping[str, int]]:
    """Return the hashes of all stop words, each at its place, by which bits of a hash a language's have places of their
    own, and the languages' numbers. The first is none, and has no words.
    """
    numbers = {language: number for number, language in enumerate(STOP_WORDS, 1)}
    shifts = np.zeros(len(numbers) + 1, dtype=np.int64)
    table = np.zeros(_STOP_WORD_PLACES * len(shifts), dtype=np.int64)
    for language, number in numbers.items():
        hashes = np.array(list(map(hash_of_word, STOP_WORDS[language])), dtype=np.int64)
        for shift in range(64):
            places = _places(hashes, number, shift)
            if len(np.unique(places)) == len(hashes):
                break
        table[places], shifts[number] = hashes, shift
    return table, shifts, numbers


def _places(hashes: Integers, language: int | Integers, shift: int | Integers) -> Integers:
    return language * _STOP_WORD_PLACES + ((hashes >> shift) & (_STOP_WORD_PLACES - 1))


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

_BITS_TOLD_APART = 1 << 17  # entries of the table, four for each word of the texts that are scored together


def gopher_repetition(parts: TextParts) -> dict[str, Sequence[float]]:
    """Return values of each text by score."""
    shares = np.zeros((len(parts.texts), 4))
    for number in parts.with_repeated_lines:
        shares[number] = _duplicate_shares(parts.texts[number], parts.lines(number))
    characters = np.maximum(parts.lengths_of_texts, 1)
    return {
        **dict(zip(list(GOPHER_REPETITION)[:4], shares.T.tolist(), strict=True)),
        **{name: (lengths / characters).tolist() for name, lengths in _repeated_grams(parts).items()},
    }


def _duplicate_shares(text: str, lines: Sequence[str]) -> tuple[float, float, float, float]:
    """Return the shares of duplicate paragraphs and of their characters, and the same of lines."""
    lines = list(filter(None, lines))
    many_lines, in_lines = _duplicates(lines)
    if not many_lines:  # then there is no such paragraph
        return 0.0, 0.0, 0.0, 0.0
    paragraphs = [paragraph for part in text.split("\n\n") if (paragraph := part.strip("\n"))]
    many, inside = _duplicates(paragraphs)
    return many / len(paragraphs), inside / len(text), many_lines / len(lines), in_lines / len(text)


def _duplicates(elements: Sequence[str]) -> tuple[int, int]:
    """Count the second and later occurrences of elements, and the characters in them."""
    different = set(elements)
    if len(different) == len(elements):
        return 0, 0
    return len(elements) - len(different), sum(map(len, elements)) - sum(map(len, different))


def _repeated_grams(parts: TextParts) -> dict[str, Integers]:
    """Count characters of each text by score: of its top n-grams, and of the duplicate ones.

    An n-gram can occur twice only where both (n-1)-grams in it do. So only those places are looked at that were left
    for n - 1: few in most texts, and none from some n on.
    """
    hashes = parts.word_hashes
    of_text = np.repeat(np.arange(len(parts.texts)), parts.word_counts)
    ends = np.zeros(len(hashes) + 1, dtype=np.int64)
    parts.lengths.cumsum(out=ends[1:])
    # Two words of one text, where the first stands; what differs by text makes those of others different.
    places = np.flatnonzero(of_text[1:] == of_text[:-1])
    grams = (hashes[places] + of_text[places] * _MULTIPLIER) * _MULTIPLIER + hashes[places + 1]
    likely = _may_repeat(grams)
    grams, places = grams[likely], places[likely]
    found = {}
    for n in range(2, DUPLICATE_GRAMS.stop):
        if n > 2 and len(places):
            inner = np.flatnonzero(places[1:] - places[:-1] == 1)
            places = places[inner]
            grams = grams[inner] * _MULTIPLIER + hashes[places + (n - 1)]
        repeated, counts = _repeated(grams)
        grams, places = grams[repeated], places[repeated]
        if n in TOP_GRAMS:
            found[f"top_{n}_gram_share"] = _top_characters(n, places, counts, ends, parts)
        else:
            found[f"duplicate_{n}_gram_share"] = _duplicate_characters(n, grams, places, ends, parts)
    return found


def _may_repeat(grams: Integers) -> npt.NDArray[np.intp]:
    """Find where an element stands that may occur more than once: of most, some bits of theirs tell that they do not.

    To count those in a table takes a third of the time that it takes to look for equal ones.
    """
    bits = (grams >> np.int64(32)) & np.int64(_BITS_TOLD_APART - 1)
    return np.flatnonzero(np.bincount(bits, minlength=_BITS_TOLD_APART)[bits] > 1)


def _repeated(grams: Integers) -> tuple[npt.NDArray[np.intp], Integers]:
    """Find where an element stands that occurs more than once, and tell how often."""
    if not len(grams):
        return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.int64)
    numbers = pa.array(grams).dictionary_encode().indices.to_numpy()
    counts = np.bincount(numbers)[numbers]
    places = np.flatnonzero(counts > 1)
    return places, counts[places]


def _top_characters(n: int, places: Integers, counts: Integers, ends: Integers, parts: TextParts) -> Integers:
    """Return the length of each text's most frequent n-gram, with its spaces, times its count, given those that occur
    twice or more.
    """
    # Where all of a text occur once, the first counts.
    tops, times = parts.words_before[:-1].copy(), np.ones(len(parts.texts), dtype=np.int64)
    bounds = np.searchsorted(places, parts.words_before)
    some = np.flatnonzero(bounds[1:] > bounds[:-1])
    if len(some):
        times[some] = np.maximum.reduceat(counts, bounds[some])
        most = np.flatnonzero(counts == np.repeat(times, np.diff(bounds)))
        tops[some] = places[most[np.searchsorted(most, bounds[some])]]
    last = np.minimum(tops + n, len(ends) - 1)
    return np.where(parts.word_counts >= n, (ends[last] - ends[tops] + n - 1) * times, 0)


def _duplicate_characters(n: int, grams: Integers, places: Integers, ends: Integers, parts: TextParts) -> Integers:
    """Count characters in n-grams that came before. One that was seen is stepped over, and nothing inside it is
    seen."""
    seen: set[int] = set()
    again: list[int] = []
    free = 0
    for gram, place in zip(grams.tolist(), places.tolist(), strict=True):
        if place < free:
            continue
        if gram in seen:
            again.append(place)
            free = place + n
        else:
            seen.add(gram)
    characters = np.zeros(len(ends), dtype=np.int64)
    characters[again] = ends[np.array(again, dtype=np.intp) + n] - ends[again]
    return parts.by_word(characters[:-1])
