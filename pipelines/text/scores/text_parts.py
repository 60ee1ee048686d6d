"""The parts of a text that scores look at: its words, by white space, and its lines."""

import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from pipelines.text.words import words

# What a character can be; bits of a byte, so that those of a word are found by `or`.
SPACE, ALPHABETIC, SPEAKING, MARK = 1, 2, 4, 8
# Sentences end in these. In the second half are those that no white space follows.
MARKS = ".!?…।؟۔።" + (FREE_MARKS := "。！？｡")
_TABLE_SIZE = 0x20000  # the planes of all but rare Chinese characters and private use


class TextParts:
    """A text taken apart once for all scores.

    Words are those of text/words.py; the arrays, which find them again by white space, have one entry a word.
    """

    def __init__(self, text: str, language: str) -> None:
        self.text = text
        self.words = words(text, language)
        self.lines = text.split("\n")  # blank ones too
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        self.kinds = _kinds(codes)  # of each character
        # Words begin where a character follows white space, and end where white space follows a character.
        spaced = np.ones(len(codes) + 2, dtype=bool)
        np.not_equal(self.kinds & SPACE, 0, out=spaced[1:-1])
        edges = np.flatnonzero(spaced[1:] != spaced[:-1])
        self.starts = edges[::2]
        self.lengths = edges[1::2] - self.starts
        self.word_kinds = (
            np.bitwise_or.reduceat(self.kinds, self.starts) if len(self.starts) else np.empty(0, dtype=np.uint8)
        )


def _kinds(codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    table = _table()
    if len(codes) and codes.max() >= _TABLE_SIZE:
        rare = np.array([_kind(chr(code)) for code in codes.tolist()], dtype=np.uint8)
        return rare
    return table[codes]


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
    )
