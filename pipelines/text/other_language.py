"""Pages that are surely in none of the wanted languages, told from pieces of their HTML, before it is parsed.

Of a mixed crawl most pages are: to parse them and take their text takes four times as long as to read and decode them.
Only a sure answer counts. The figures were chosen on the pages of benchmarks/extraction.py, where its `early_recall`
tells what they cost; docs/filters.md has the shares. Of a page that is taken, language_share.py says how much is in its
language.
"""

import re
from collections.abc import Collection, Iterator
from html import unescape

from pipelines.text.identify import Identifier

MAX_PIECES, PIECE_CHARACTERS = 12, 300  # that are looked at, of text
_HTML_CHARACTERS = 3000  # from which a piece is taken; of a small page _MIN_HTML_CHARACTERS at least
_MIN_HTML_CHARACTERS, _PARTS = 700, 6
# Where pieces are looked for, as shares of the page from its <body> on. Main content is often in the middle.
_PARAGRAPHS_AT = (0.4, 0.6, 0.25, 0.75, 0.5, 0.1, 0.33, 0.67, 0.15, 0.85)
_OTHER_TEXT_AT = (0.3, 0.5, 0.7, 0.2, 0.8, 0.4, 0.6, 0.1, 0.9)  # where there are few paragraphs
_MIN_CHARACTERS, _MAX_CODE_SHARE = 60, 0.03  # of a piece that counts; scripts have more signs
# A piece is sure of its language if that has such a probability. Where the wanted ones together have as much as one of
# the next, the page may be in them. Otherwise a piece that is sure gives a point, one that is quite sure two.
_SURE, _MAX_WANTED_IF_SURE, _MAX_WANTED = 0.8, 0.03, 0.1
_FAIR_WANTED, _QUITE_SURE, _STRONG_WANTED = 0.02, 0.94, 0.002
_POINTS = 4  # that tell a page
_LANGUAGES = 5  # of a piece, the likeliest

_PARAGRAPH = re.compile(r"<p[\s>]")
_SCRIPT = re.compile(r"<(script|style)\b(?:[^<]++|<(?!/\1))*+(?:</\1|\Z)", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*+>?")
_CODE = re.compile(r"[{}=;()\[\]|_/\\]")


def other_language(html: str, wanted: Collection[str], identify: Identifier) -> tuple[str, float] | None:
    """Return the language that a piece of a page is most surely in (ISO 639-3, probability), if that is no wanted one.

    None where that is not sure. Time is bounded by MAX_PIECES, but for the search for their places.
    """
    points, surest = 0, ("", 0.0)
    for piece in _pieces(html):
        if len(piece) < _MIN_CHARACTERS or len(_CODE.findall(piece)) > _MAX_CODE_SHARE * len(piece):
            continue
        languages = identify.ranked(piece, _LANGUAGES)
        if not languages:  # digits, to heliport
            continue
        best = languages[0]
        of_wanted = sum(score for code, score in languages if code in wanted)
        is_sure = best[1] >= _SURE
        if of_wanted >= (_MAX_WANTED_IF_SURE if is_sure else _MAX_WANTED):
            return None
        if not is_sure or of_wanted >= _FAIR_WANTED:
            continue
        points += 2 if best[1] >= _QUITE_SURE and of_wanted < _STRONG_WANTED else 1
        surest = max(surest, best, key=lambda found: found[1])
        if points >= _POINTS:
            return surest
    return None


def _pieces(html: str) -> Iterator[str]:
    """Yield text of paragraphs here and there in a page, and, where these are few, of other places."""
    body = max(html.find("<body"), 0)
    length = len(html) - body
    size = min(_HTML_CHARACTERS, max(_MIN_HTML_CHARACTERS, length // _PARTS))
    seen: list[int] = []
    last = len(html)  # behind it no paragraph begins
    for share in _PARAGRAPHS_AT:
        place = body + int(share * length)
        if place > last:
            continue
        found = _PARAGRAPH.search(html, place)
        if found is None:
            last = place - 1
        elif all(abs(found.start() - other) >= size for other in seen):
            seen.append(found.start())
            yield _text(_without_scripts(html[found.start() : found.start() + size]))
    for share in _OTHER_TEXT_AT:
        place = body + int(share * length)
        if len(seen) < MAX_PIECES and all(abs(place - other) >= size for other in seen):
            seen.append(place)
            part = html[place : place + size]
            yield _text(part[part.find(">", max(part.rfind("</script"), 0)) + 1 :])


def _without_scripts(html: str) -> str:
    return _SCRIPT.sub(" ", html) if "<s" in html or "<S" in html else html


def _text(html: str) -> str:
    text = " ".join(_TAG.sub(" ", html).split())[:PIECE_CHARACTERS]
    return " ".join(unescape(text).split()) if "&" in text else text
