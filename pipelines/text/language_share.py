"""Tells how much of a text is in its language: pages in two languages have one language and a score like any other.

A text is cut into pieces of some hundred characters, most often from the beginning of a line to that of another, of
which each is told by itself. Its default limit stands in pipelines/text/rules.py, what it keeps in docs/filters.md.
Pages that are wholly in another language leave before they are parsed (other_language.py).
"""

from collections.abc import Collection

from pipelines.text.identify import Identifier
from pipelines.text.languages import GROUP_OF

# A piece of 400 characters is told as surely as a page; of 250, names and lists are taken for anything. Ten of them
# bound the time that a long text takes: they are pieces from its beginning to its end.
PIECE_CHARACTERS, MAX_PIECES = 400, 10
FIRST_PIECES = 4  # from the beginning to the end; where all are in the text's language, the others are not looked at
_LINE_WITHIN = 200  # characters, in which a piece may begin with a line
# A piece is in another language if the identifier is so sure of that, and thinks so little of the text's. Between
# Danish and Norwegian, say, most are neither: they do not count.
_SURE, _MAX_OWN = 0.5, 0.1
_LANGUAGES = 6  # of a piece, the likeliest


def language_share(text: str, language: str, score: float, identify: Identifier) -> float | None:
    """Return the share of pieces of a text that are in its language, of those that are surely in some language.

    `language` and `score` are what `identify` said of the text. A text of one piece, or whose language is sure, is not
    looked at again. None where no piece is sure.
    """
    count = min(MAX_PIECES, round(len(text) / PIECE_CHARACTERS))
    if count < 2 or score >= identify.sure:
        return 1.0
    pieces = _pieces(text, count)
    wanted = GROUP_OF.get(language, frozenset({language}))
    step = max(1.0, (count - 1) / (FIRST_PIECES - 1))
    first = {round(step * number) for number in range(min(FIRST_PIECES, count))}
    are_own = [_is_own(pieces[place], wanted, identify) for place in first]
    if not all(are_own):
        are_own += [_is_own(piece, wanted, identify) for place, piece in enumerate(pieces) if place not in first]
    own, foreign = are_own.count(True), are_own.count(False)
    return own / (own + foreign) if own + foreign else None


def _is_own(piece: str, wanted: Collection[str], identify: Identifier) -> bool | None:
    """Tell whether a piece is in the text's language, or in one that goes by its name; None where that is not sure."""
    ranked = identify.ranked(piece, _LANGUAGES)
    if not ranked:
        return None
    best, best_score = ranked[0]
    if best in wanted:
        return True
    is_foreign = best_score >= _SURE and sum(share for code, share in ranked if code in wanted) < _MAX_OWN
    return False if is_foreign else None


def _pieces(text: str, count: int) -> list[str]:
    step = len(text) / count
    size = PIECE_CHARACTERS if step > 2 * PIECE_CHARACTERS else int(step) + 1
    places = (int(step * number) for number in range(count))
    starts = [(place and text.find("\n", place, place + _LINE_WITHIN) + 1) or place for place in places]
    return [text[start : start + size] for start in starts]
