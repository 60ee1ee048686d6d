"""Stop words by language: a text with fewer than two different ones is hardly running text in it.

English: Rae et al. 2021 (Gopher), section A1.1. All others: FineWeb2's, the most frequent words of each language's
Wikipedia.
"""

from collections.abc import Mapping

from pipelines.text import fineweb2

STOP_WORDS: Mapping[str, frozenset[str]] = {
    "eng": frozenset(("the", "be", "to", "of", "and", "that", "have", "with")),
    **fineweb2.STOP_WORDS,
}
