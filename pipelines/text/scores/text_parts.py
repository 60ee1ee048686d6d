"""The parts of texts that scores look at: their words, by white space once they are spaced, and their lines."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt

from pipelines.text.words import spaced

# What a character can be; bits of a byte, so that those of a word are found by `or`.
SPACE, ALPHABETIC, SPEAKING, MARK, FREE_MARK, CLOSING = 1, 2, 4, 8, 16, 32
# Sentences end in these. In the second half are those that no white space follows.
MARKS = ".!?…।؟۔።" + (FREE_MARKS := "。！？｡")
CLOSES = " \t\"'”’»)]"  # may stand between a mark and the end of its line
_TABLE_SIZE = 0x20000  # the planes of all but rare Chinese characters and private use

Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class TextParts:
    """Texts taken apart together, once for all scores: a score of one text is a sum over parts of all, cut at bounds.

    Places are those in all texts, spaced, with a line break behind each. Words are those of text/words.py; the arrays,
    which find them again by white space, have one entry a word, or one a line, blank ones too.
    """

    def __init__(self, texts: Sequence[str], languages: Sequence[str]) -> None:
        self.texts = texts = list(map(spaced, texts, languages))
        self.languages = languages
        self.words = list(chain.from_iterable(map(str.split, texts)))
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

    def lines(self, text: int) -> list[str]:
        return self.texts[text].split("\n")

    def by_line(self, counts: Bools | Integers) -> Integers:
        """Sums by text of what has an entry a line."""
        return _sums(counts, self.lines_before)

    def by_word(self, counts: Bools | Integers) -> Integers:
        """Sums by text of what has an entry a word."""
        return _sums(counts, self.words_before)


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
    """A speaking character is none of punctuation and symbols, so that a word has to have one."""
    return (
        SPACE * character.isspace()
        | ALPHABETIC * character.isalpha()
        | SPEAKING * (unicodedata.category(character)[0] in "LMN")
        | MARK * (character in MARKS)
        | FREE_MARK * (character in FREE_MARKS)
        | CLOSING * (character in CLOSES)
    )
