"""The parts of texts that scores look at: their words, by white space once they are spaced, and their lines."""

import unicodedata
from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from pipelines.text.words import spaced

# What a character can be; bits of a byte, so that those of a word are found by `or`.
SPACE, ALPHABETIC, SPEAKING, MARK, FREE_MARK, CLOSING = 1, 2, 4, 8, 16, 32
# Sentences end in these. In the second half are those that no white space follows.
MARKS = ".!?…।؟۔።" + (FREE_MARKS := "。！？｡")
CLOSES = " \t\"'”’»)]"  # may stand between a mark and the end of its line
_TABLE_SIZE = 0x20000  # the planes of all but rare Chinese characters and private use

MULTIPLIER = 0x5851F42D4C957F2D  # odd: Knuth's MMIX generator
_INVERSE = pow(MULTIPLIER, -1, 1 << 64)
_FINALISER = np.uint64(0xC4CEB9FE1A85EC53)  # of MurmurHash3
_FEW_CHARACTERS = 1 << 18  # of texts taken apart together; the powers for one that is longer are made anew

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class TextParts:
    """Texts taken apart together, once for all scores: a score of one text is a sum over parts of all, cut at bounds.

    Places are those in all texts, spaced, with a line break behind each. Words are those of text/words.py; the arrays,
    which find them again by white space, have one entry a word, or one a line, blank ones too. Words and lines are
    compared by hashes of 64 bits, so that two of one text have the same about never.
    """

    def __init__(self, texts: Sequence[str], languages: Sequence[str]) -> None:
        self.texts = texts = list(map(spaced, texts, languages))
        self.languages = languages
        self.lengths_of_texts = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        joined = "\n".join([*texts, ""])
        self.codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        self.kinds = _kinds(self.codes)  # of each character
        # Words begin where a character follows white space, and end where white space follows a character.
        space = np.ones(len(self.codes) + 1, dtype=bool)
        np.not_equal(self.kinds & SPACE, 0, out=space[1:])
        edges = np.flatnonzero(space[1:] != space[:-1])
        self.starts, self.ends = edges[::2], edges[1::2]
        self.lengths = self.ends - self.starts
        self.word_kinds = (
            np.bitwise_or.reduceat(self.kinds, self.starts) if len(self.starts) else np.empty(0, dtype=np.uint8)
        )
        self.line_ends = np.flatnonzero(self.codes == ord("\n"))
        self.line_starts = np.concatenate([[0], self.line_ends[:-1] + 1])
        # Words before each line, and behind the last; words and lines before each text, and behind the last.
        self.words_before_lines = np.append(np.searchsorted(self.starts, self.line_starts), len(self.starts))
        self.words_of_lines = np.diff(self.words_before_lines)
        begins = np.concatenate([[0], np.cumsum(self.lengths_of_texts + 1)])
        self.lines_before = np.searchsorted(self.line_starts, begins)
        self.words_before = self.words_before_lines[self.lines_before]
        self.word_counts = np.diff(self.words_before)
        sums = _sums_of_powers(self.codes)
        self.word_hashes = _hashes(sums, self.starts, self.ends)
        self.line_hashes = _hashes(sums, self.line_starts, self.line_ends)

    def lines(self, text: int) -> list[str]:
        return self.texts[text].split("\n")

    @cached_property
    def with_repeated_lines(self) -> list[int]:
        """Numbers of the texts in which a line that is not empty stands twice."""
        filled = np.flatnonzero(self.line_ends > self.line_starts)
        of_text = np.searchsorted(self.lines_before, filled, side="right") - 1
        keys = self.line_hashes[filled] + of_text * np.int64(MULTIPLIER)
        order = np.argsort(keys)
        same = np.flatnonzero(keys[order[1:]] == keys[order[:-1]])
        return np.unique(of_text[order[same]]).tolist()

    def by_line(self, counts: Bools | Integers) -> Integers:
        """Sum by text what has an entry a line."""
        return _sums(counts, self.lines_before)

    def by_word(self, counts: Bools | Integers) -> Integers:
        """Sum by text what has an entry a word."""
        return _sums(counts, self.words_before)


def hash_of_word(word: str) -> int:
    """Return the entry of `word_hashes` for this word."""
    codes = np.frombuffer(word.encode("utf-32-le"), dtype=np.uint32)
    bounds = np.array([0, len(codes)])
    return int(_hashes(_sums_of_powers(codes), bounds[:1], bounds[1:])[0])


def _sums_of_powers(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint64]:
    """Return the sums of code * multiplier ** place before each place and at the end, modulo 2 ** 64.

    The difference of two, moved to the first place, is a polynomial of what stands between: its hash, without a string.
    """
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    np.multiply(codes, _powers(MULTIPLIER, len(codes))[: len(codes)], out=sums[1:])
    return np.add.accumulate(sums, out=sums)


def _hashes(sums: npt.NDArray[np.uint64], starts: Integers, ends: Integers) -> Integers:
    hashes = sums[ends]
    hashes -= sums[starts]
    hashes *= _powers(_INVERSE, len(sums))[starts]
    hashes ^= hashes >> np.uint64(32)
    hashes *= _FINALISER
    return hashes.view(np.int64)


def _powers(base: int, count: int) -> npt.NDArray[np.uint64]:
    """Return at least so many powers of a number, from the zeroth on, modulo 2 ** 64."""
    return _few_powers(base) if count <= _FEW_CHARACTERS else _made_powers(base, count)


@lru_cache(maxsize=2)
def _few_powers(base: int) -> npt.NDArray[np.uint64]:
    return _made_powers(base, _FEW_CHARACTERS)


def _made_powers(base: int, count: int) -> npt.NDArray[np.uint64]:
    factors = np.full(count, base, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors, out=factors)


def _sums(counts: Bools | Integers, bounds: Integers) -> Integers:
    sums = np.zeros(len(counts) + 1, dtype=np.int64)
    np.cumsum(counts, out=sums[1:])
    return np.diff(sums[bounds])


def _kinds(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    kinds = _table().take(codes, mode="clip")
    rare = np.flatnonzero(codes >= _TABLE_SIZE)
    kinds[rare] = [_kind(chr(code)) for code in codes[rare].tolist()]
    return kinds


@lru_cache(maxsize=1)
def _table() -> npt.NDArray[np.uint8]:
    return np.array([_kind(chr(code)) for code in range(_TABLE_SIZE)], dtype=np.uint8)


def _kind(character: str) -> int:
    """Return the classes of a character; a speaking one, which a word has to have, is no punctuation and no symbol."""
    return (
        SPACE * character.isspace()
        | ALPHABETIC * character.isalpha()
        | SPEAKING * (unicodedata.category(character)[0] in "LMN")
        | MARK * (character in MARKS)
        | FREE_MARK * (character in FREE_MARKS)
        | CLOSING * (character in CLOSES)
    )
