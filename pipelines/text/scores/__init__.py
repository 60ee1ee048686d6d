"""Scores of a text: measured for every document that reached main content, judged later by SQL
(pipelines/corpus/filter.py).

One file per family of published filters. Nothing here knows a threshold: those stand in pipelines/text/rules.py.
"""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from pipelines.text.scores.gopher import GOPHER_QUALITY, GOPHER_REPETITION, gopher_quality, gopher_repetition
from pipelines.text.scores.line_scores import C4_LINES, FINEWEB_LINES, c4_lines, fineweb_lines
from pipelines.text.scores.text_parts import TextParts

__all__ = ["SCORES", "scores", "scores_of_texts"]

# Name and type of each score, in the order of the columns.
SCORES: Mapping[str, pa.DataType] = {**GOPHER_QUALITY, **GOPHER_REPETITION, **C4_LINES, **FINEWEB_LINES}
# Of a text that are scored, which bounds time (1.2 s) and memory (120 MB) whatever its lines and words: all of a web
# page about always. So many hold more than the 100,000 words of Gopher's upper limit, if a word has 9 letters or less.
MAX_CHARACTERS = 1_000_000
_CHARACTERS_TOGETHER = 200_000  # of several texts that are scored together: their arrays stay in the cache


def scores(text: str, language: str) -> dict[str, float | None]:
    """Return the scores by name, in the order of SCORES. `text` is not empty, stripped, and without control characters.

    Of a text that is longer, its first MAX_CHARACTERS are scored.
    """
    [found] = scores_of_texts([text], [language])
    return found


def scores_of_texts(texts: Sequence[str], languages: Sequence[str]) -> list[dict[str, float | None]]:
    """Return the scores of each text. Together they take a fraction of the time that one after the other would."""
    found: list[dict[str, float | None]] = []
    for start, end in _groups(texts):
        parts = TextParts([text[:MAX_CHARACTERS].rstrip() for text in texts[start:end]], languages[start:end])
        columns = gopher_quality(parts) | gopher_repetition(parts) | c4_lines(parts) | fineweb_lines(parts)
        found += (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return found


def _groups(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of consecutive groups of no more than so many characters, or of one text."""
    start = characters = 0
    for number, text in enumerate(texts):
        if characters + len(text) > _CHARACTERS_TOGETHER and number > start:
            yield start, number
            start, characters = number, 0
        characters += len(text)
    if texts:
        yield start, len(texts)
