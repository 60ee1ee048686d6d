"""Stop words by language: a text with fewer than two different ones is hardly running text in it.

English: Rae et al. 2021 (Gopher), section A1.1. All others: FineWeb2's, the most frequent words of each language's
Wikipedia, in stop_words.tsv beside this file, out of the same files as the thresholds (fineweb2.py); Serbian has those
of srp_Latn too.

Left out are parts of words that FineWeb2's tokenisers cut off (French l', Maltese il-) and punctuation: words here are
what white space parts, or ICU. Korean has no stop words for that: FineWeb2's are endings. Neither have Tatar and
Chuvash, whose lists are words of articles about rivers.
"""

import csv
from collections.abc import Mapping
from importlib import resources

with resources.files("pipelines.text").joinpath("stop_words.tsv").open(encoding="utf-8") as _file:
    _ROWS = list(csv.DictReader(_file, delimiter="\t", quoting=csv.QUOTE_NONE))

STOP_WORDS: Mapping[str, frozenset[str]] = {
    "eng": frozenset(("the", "be", "to", "of", "and", "that", "have", "with")),
    **{row["language"]: frozenset(row["stop_words"].split()) for row in _ROWS},
}
