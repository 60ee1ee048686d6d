"""Short texts that main content would lose: a mark keeps them, and leaves the text that is extracted.

resiliparse 2.0.1 takes a text node of three bytes for an icon of the private use area where its last byte is no ASCII
(but for 400 of 55,000 characters): it compares the bytes in the wrong order. So `jó`, `où` and `på` are lost, each
single kana, Hanzi or Hangul, `—`, `…` and `€` where they stand alone between tags, also with white space around them
or as a character reference. tests/pipelines/test_short_text_guard.py fails once that is mended.
"""

import re
from html import unescape

MARK = "\u2060"  # WORD JOINER: it has neither width nor meaning of its own, and clean() takes it out of every text
_MAX_BYTES = 3
_SPACE = " \t\n\f\r\v"  # what the library strips; the no-break space is not among it
_FIRST_ICON, _LAST_ICON = "\ue000", "\uf8ff"  # the private use area, whose nodes it means to drop

# At most two characters or references between two tags, of which the last may be no ASCII. The parser may put several
# such parts together to one node, as at an end tag without a start: so a part is marked where it is shorter, too.
_REFERENCE = r"&#?+[0-9a-zA-Z]{1,32}+;?"
_TEXT = rf"[{_SPACE}]*+(?!<[/!a-zA-Z])((?:[!-%'-~]|{_REFERENCE})?(?:[^\x00-\x7f]|{_REFERENCE}))(?=[{_SPACE}]*+(?:<|\Z))"
_FIRST_TEXT, _TEXT_BEHIND_TAG = re.compile(_TEXT), re.compile(">" + _TEXT)
# A CDATA section is text in a formula or a drawing; elsewhere a comment, where a mark does no harm.
_CDATA, _TEXT_IN_CDATA = "<![CDATA[", re.compile(rf"<!\[CDATA\[[{_SPACE}]*+([!-~]?[^\x00-\x7f])(?=[{_SPACE}]*+\]\]>)")


def mark_short_texts(html: str) -> str:
    """`html` with MARK behind each text between two tags that extraction could take for an icon."""
    found = [_FIRST_TEXT.match(html), *_TEXT_BEHIND_TAG.finditer(html)]
    if _CDATA in html:
        found += _TEXT_IN_CDATA.finditer(html)
    ends = sorted(text.end() for text in found if text and _is_lost(text[1]))
    if not ends:
        return html
    return MARK.join(html[start:end] for start, end in zip([0, *ends], [*ends, None], strict=True))


def _is_lost(text: str) -> bool:
    text = unescape(text)
    if text.isascii() or text == "\xa0" or _FIRST_ICON <= text <= _LAST_ICON:
        return False
    return not text[-1].isascii() and len(text.encode(errors="replace")) <= _MAX_BYTES
