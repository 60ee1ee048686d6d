"""Characters that no text keeps, and white space of every kind.

Control characters can drive a terminal, lone surrogates cannot be stored. What has no width, such as soft hyphens, the
zero width space and byte order marks, splits words and hides copies, contamination and addresses; so do the controls
of writing direction. Joiners stay where they change how letters look (Arabic, Indic) or join emoji.
"""

import re

from pipelines.combining import cap_marks

# Ends of lines: what splits lines in Unicode (https://www.unicode.org/reports/tr14/, classes BK, CR, LF and NL), and
# the separators of files, groups and records.
_LINE_ENDS = re.compile("[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
    "\xad\u034f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
# Bytes of UTF-8 that were decoded one by one, where one became a character that no text has and that goes: `Ã` and a
# soft hyphen is í. Before a capital it may be a word in capitals, hyphenated.
_DOUBLY_ENCODED = re.compile(
    "[\xc2-\xdf](?:[\x80-\x9f]|\xad(?![A-Z\xc0-\xde]))"
    "|[\xe0-\xef](?:[\x80-\x9f\xad][\x80-\xbf]|[\x80-\xbf][\x80-\x9f\xad])"
)
_MAX_REPAIRED = 100_000  # characters; ftfy takes up to .7 s for so many
# Scripts whose letters join or stack: Arabic to N'Ko, Mandaic, Arabic's extensions, the Brahmic ones from Devanagari to
# Sinhala, Tibetan to Myanmar, Khmer and Mongolian, Balinese to Lepcha, and the Brahmic ones beyond the first plane.
_JOINING = (
    "\u0600-\u07ff\u0840-\u08ff\u0900-\u0dff\u0f00-\u109f\u1780-\u18af\u1b00-\u1c4f\ua800-\uaaff\uabc0-\uabff"
    "\ufb50-\ufdff\ufe70-\ufefc\U00010d00-\U00011fff\U0001e900-\U0001e95f"
)
_EMOJI = "\xa9\xae\u203c-\u3299\ufe0f\U0001f000-\U0001faff"
_JOINERS = re.compile(
    f"((?<=[{_JOINING}])(?:\u200c(?=[{_JOINING}])|\u200d)|(?<=[{_EMOJI}])\u200d(?=[{_EMOJI}]))|[\u200c\u200d]"
)


def clean(text: str, line_end: str = "\n") -> str:
    """`text` less unseen characters and space around it, with `line_end` for all ends of lines but `\\n`."""
    if not _is_seen(text) and _UNSEEN.search(text):
        if _DOUBLY_ENCODED.search(text):
            text = _decoded_once(text)
        text = _UNSEEN.sub("", _LINE_ENDS.sub(line_end, text.replace("\r\n", "\n")).replace("\x1f", " "))
    if "\u200d" in text or "\u200c" in text:
        text = _JOINERS.sub(r"\1", text)
    return cap_marks(text).strip()


def _is_seen(text: str) -> bool:
    """A quick look that clears most texts: Python counts all unseen characters but U+034F as not printable."""
    return text.replace("\n", "").replace("\t", "").replace("\xa0", "").isprintable() and "\u034f" not in text


def one_line(text: str, limit: int) -> str:
    """`text` in one line of at most `limit` characters."""
    return " ".join(clean(text[: 4 * limit]).split())[:limit]


def _decoded_once(text: str) -> str:
    """A doubly encoded text: now all of its letters can be repaired, after clean() no more."""
    from pipelines.repair import repair  # ftfy takes a tenth of a second to import, and few pages need it

    if len(text) <= _MAX_REPAIRED:
        text = repair(text)
    return _DOUBLY_ENCODED.sub(lambda found: found[0].encode("latin-1").decode(errors="ignore"), text)
