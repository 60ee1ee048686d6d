"""Short texts that main content would lose: a mark keeps them, and leaves the text that is extracted.

resiliparse 2.0.1 takes a text node of three bytes for an icon of the private use area where its last byte is no ASCII
(but for 400 of 55,000 characters): it compares the bytes in the wrong order. So `jó`, `où` and `på` are lost, each
single kana, Hanzi or Hangul, `—`, `…` and `€` where they stand alone between tags, also with white space around them
or as a character reference. tests/pipelines/pages/test_short_text_guard.py fails once that is fixed.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from html import unescape

import numpy as np
import numpy.typing as npt

from pipelines.pages.parse import Markup

MARK = "\u2060"  # WORD JOINER: it has neither width nor meaning of its own, and clean() takes it out of every text
_MAX_BYTES = 3
_SPACE = rb" \t\n\f\r\v"  # what the library strips; the no-break space is not among it
_FIRST_ICON, _LAST_ICON = "\ue000", "\uf8ff"  # the private use area, whose nodes it means to drop

# At most two characters or references between two tags, of which the last may be no ASCII. The parser may put several
# such parts together to one node, as at an end tag without a start: so a part is marked where it is shorter, too.
_REFERENCE = rb"&#?+[0-9a-zA-Z]{1,32}+;?"
_NOT_ASCII = rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
_TEXT = rb"[%b]*+(?!<[/!a-zA-Z])((?:[!-%%'-~]|%b)?(?:%b|%b))(?=[%b]*+(?:<|\Z))" % (
    *(_SPACE, _REFERENCE),
    *(_NOT_ASCII, _REFERENCE, _SPACE),
)
_FIRST_TEXT, _TEXT_BEHIND_TAG = re.compile(_TEXT), re.compile(b">" + _TEXT)
# A CDATA section is text in a formula or a drawing; elsewhere a comment, where a mark does no harm.
_TEXT_IN_CDATA = re.compile(rb"<!\[CDATA\[[%b]*+([!-~]?(?:%b))(?=[%b]*+\]\]>)" % (_SPACE, _NOT_ASCII, _SPACE))
_FIRST_BEYOND_ASCII = 0x80
_BLOCK_BYTES = 1 << 18  # looked at together: each place that is found takes some 60 bytes on the way
_LAST_SPACE = ord(" ")  # what comes before it among the bytes is white space or nothing that pages have


def mark_short_texts(markup: Markup, text: str) -> str:
    """Return `text`, the page of `markup`, with MARK behind each text between two tags that extraction could take for
    an icon.

    Few places can be one. They are found by array: a regex over the whole page takes five times as long.
    """
    html = markup.html
    found = [_FIRST_TEXT.match(html)]
    for start, end in _may_hold(markup):
        found += _TEXT_BEHIND_TAG.finditer(html, start, end)
    found += (_TEXT_IN_CDATA.match(html, place) for place in _sections(markup))
    ends = sorted({short.end() for short in found if short and _is_lost(short[1])})
    if not ends:
        return text
    parts = (html[start:end] for start, end in zip([0, *ends], [*ends, None], strict=True))
    return MARK.encode().join(parts).decode()


def _may_hold(markup: Markup) -> Iterator[tuple[int, int]]:
    """Yield where short texts may stand: from one `<` through the next."""
    codes, tags = markup.codes, markup.tags
    numbers = {
        int(number)
        for start in range(0, len(codes), _BLOCK_BYTES)
        for number in np.unique(tags.searchsorted(_places(codes, start, start + _BLOCK_BYTES), side="right"))
    }
    for number in sorted(numbers):
        yield int(tags[number - 1]) if number else 0, int(tags[number]) + 1 if number < len(tags) else len(codes)


def _places(codes: npt.NDArray[np.uint8], start: int, end: int) -> npt.NDArray[np.intp]:
    """Return places between two in a page at which a short text may be.

    It ends in a character of two or three bytes, with at most one of ASCII before it and a tag or white space behind;
    or a character reference begins it, perhaps behind one character. Few arrays are made of each page: the first steps
    of each take longer than the rest.
    """
    block = codes[start : end + 1]
    # Bytes up to `<` are white space, digits and some signs: that is told in one look, and the rest of few places.
    may_hold = block >= _FIRST_BEYOND_ASCII
    np.logical_and(may_hold[:-1], block[1:] <= ord("<"), out=may_hold[:-1])
    np.logical_or(may_hold, block == ord("&"), out=may_hold)
    places = may_hold[: end - start].nonzero()[0] + start
    places += codes[places] == ord("&")  # as far behind what may be before it as such a last byte
    return places[_begin_behind_tag(codes, places)]


def _begin_behind_tag(codes: npt.NDArray[np.uint8], places: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Tell whether a tag ends two or three bytes before each place, or white space stands there that may be all since a
    tag.

    A single space behind a letter is not: most words of one letter stand in a sentence.
    """
    before = codes.take(places - np.array([[2], [3], [4]]), mode="clip")
    tag_ends, is_space = before == ord(">"), before <= _LAST_SPACE
    may_follow_tag = tag_ends | is_space
    found: npt.NDArray[np.bool_] = (tag_ends[:2] | (is_space[:2] & may_follow_tag[1:])).any(axis=0)
    return found


def _sections(markup: Markup) -> list[int]:
    """Return the beginnings of what may be CDATA sections."""
    declarations = markup.tags[markup.first == ord("!")]
    return declarations[markup.after(declarations, 2) == ord("[")].tolist()


@lru_cache(maxsize=1024)  # nearly all are few references: no-break spaces, quotes and arrows
def _is_lost(short: bytes) -> bool:
    text = unescape(short.decode(errors="replace"))
    if text.isascii() or text == "\xa0" or _FIRST_ICON <= text <= _LAST_ICON:
        return False
    return not text[-1].isascii() and len(text.encode(errors="replace")) <= _MAX_BYTES
