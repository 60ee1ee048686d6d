"""Words of a text: the one definition, for scores, shingles, n-grams and lists of words.

A language that is written without spaces is parted by white space too, so far: its "words" are clauses, and the rules
over scores are not made for it. Whoever gives it words of its own does so here, and raises the versions of the stages
documents and corpus.
"""

import re

UNSPACED = ("jpn", "tha", "zho", "wuu", "yue")  # C4's ja, th and zh, which has Wu and Cantonese in it
_WHOLE_WORD = re.compile(r"\w+")


def words(text: str, language: str) -> list[str]:
    """Return the words of a text, with the punctuation that stands at them: what white space parts, as in Gopher's,
    FineWeb's and datatrove's rules.
    """
    return text.split()


def spaced(normalised: str, language: str) -> str:
    """Return a normalised text with one space between its words, as shingles are taken of it: that is how it comes."""
    return normalised


def whole_words(text: str) -> list[str]:
    """Return the runs of letters, digits and underscores, as C4's code has it: no punctuation is in them."""
    return _WHOLE_WORD.findall(text)


def is_whole_word(text: str) -> bool:
    return _WHOLE_WORD.fullmatch(text) is not None
