"""Words of a text: the one definition, for scores, shingles, n-grams and lists of words. Stop words.

White space parts them, as in Gopher's, FineWeb's and datatrove's rules. Languages that are written without spaces are
segmented by ICU (https://unicode-org.github.io/icu/userguide/boundaryanalysis/), by its dictionaries of Chinese and
Japanese, Thai, Lao, Khmer and Burmese; Tibetan by its syllables. Another segmenter, or another version of ICU, is
another definition: raise DOCUMENTS_STAGE_VERSION (pipelines/documents/stage.py).

Stop words stand here too: a text with fewer than two different ones is hardly running text in its language. English:
Rae et al. 2021 (Gopher), section A1.1. All others: FineWeb2's, the most frequent words of each language's Wikipedia, in
stop_words.tsv beside this file, out of the same files as the thresholds (rules.py); Serbian has those of srp_Latn too.
Left out are parts of words that FineWeb2's tokenisers cut off (French l', Maltese il-) and punctuation. Korean has no
stop words for that: FineWeb2's are endings. Neither have Tatar and Chuvash, whose lists are words of articles about
rivers.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Final

# ICU's locale of each: it knows Wu and Cantonese as Chinese.
_LOCALES: Final = {
    "bod": "bo",
    "jpn": "ja",
    "khm": "km",
    "lao": "lo",
    "mya": "my",
    "tha": "th",
    "wuu": "zh",
    "yue": "zh",
    "zho": "zh",
}
UNSPACED = tuple(_LOCALES)
_PIECE = 10_000  # characters segmented at a time: their words take ten times the memory of the text
_WHOLE_WORD = re.compile(r"\w+")
_BEFORE_PUNCTUATION = re.compile(r" (?=[^\w ]+(?: |$))")


def words(text: str, language: str) -> list[str]:
    """Return the words of a text, with the punctuation that stands at them."""
    return spaced(text, language).split()


def spaced(text: str, language: str) -> str:
    """Return a text with white space between its words: as it is, or put there in a language written without.

    Lines stay, so that a normalised text, which is one, has one space between its words, as shingles are taken of it.
    """
    if language not in _LOCALES:
        return text
    return "\n".join(" ".join(_segmented(line, _LOCALES[language])) for line in text.split("\n"))


def _segmented(line: str, locale: str) -> Iterator[str]:
    """Yield a line piece by piece, with one space between words; of a longer one a word may be cut between pieces."""
    from icu4py.breakers import WordBreaker

    for start in range(0, len(line), _PIECE):
        segments = " ".join(WordBreaker(line[start : start + _PIECE], locale))
        yield _BEFORE_PUNCTUATION.sub("", " ".join(segments.split()))


def whole_words(text: str) -> list[str]:
    """Return the runs of letters, digits and underscores, as C4's code has it: no punctuation is in them."""
    return _WHOLE_WORD.findall(text)


def is_whole_word(text: str) -> bool:
    return _WHOLE_WORD.fullmatch(text) is not None


with resources.files("pipelines.text").joinpath("stop_words.tsv").open(encoding="utf-8") as _file:
    _ROWS = list(csv.DictReader(_file, delimiter="\t", quoting=csv.QUOTE_NONE))

STOP_WORDS: Mapping[str, frozenset[str]] = {
    "eng": frozenset(("the", "be", "to", "of", "and", "that", "have", "with")),
    **{row["language"]: frozenset(row["stop_words"].split()) for row in _ROWS},
}
