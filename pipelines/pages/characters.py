"""Characters that no text keeps, and white space of every kind.

Control characters can drive a terminal, lone surrogates cannot be stored. What has no width, such as soft hyphens, the
zero width space and byte order marks, splits words and hides copies, contamination and addresses; so do the controls
of writing direction. Joiners stay where they change how letters look (Arabic, Indic) or join emoji.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

import xxhash

# Runs of combining marks, capped: CPython sorts the marks of a letter by insertion, so a long run takes minutes.
#
# 160 kB of marks out of order took 4.5 s in unicodedata.normalize, and time grows with the square (python/cpython
# issue 149079). 30 of them is what the Unicode Standard's stream-safe text format allows in a run, "far beyond what is
# required for any linguistic or technical usage": https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format


MAX_MARKS = 30
_LAST_BLOCK = 0x1F000  # no code point from here on has a combining class


# What must not reach a terminal, a log or a page of ours with text of others: control characters (but tab and line
# feed), which drive a terminal; ends of lines of other kinds; halves of surrogate pairs, which no file takes; and marks
# that turn the direction of text round, so that a name is displayed as something else.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def without_controls(text: str, instead: str = "") -> str:
    """Return `text` as it can be shown to people, with `instead` for each control character."""
    return _CONTROLS.sub(instead, text)


def cap_marks(text: str) -> str:
    """Return `text` with the first MAX_MARKS of each run of combining marks."""
    if text.isascii():
        return text
    mark, likely, long_runs = _patterns()
    # A run that is too long has a mark at one of these places: of most texts the others need no look.
    if mark.search(text[MAX_MARKS :: MAX_MARKS + 1]) and likely.search(text):
        return long_runs.sub(r"\1", text)
    return text


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Return what may be a mark, what may be a long run, and what is one.

    Marks beyond the first plane make a class slow: what may be takes all that stands between them there.
    """
    marks = "".join(chr(code) for code in range(0x300, _LAST_BLOCK) if unicodedata.combining(chr(code)))
    beyond = "".join(mark for mark in marks if ord(mark) > 0xFFFF)
    coarse = marks.removesuffix(beyond) + f"{min(beyond)}-{max(beyond)}"
    likely, exact = (f"([{these}][{these}]{{{MAX_MARKS - 1}}})[{these}]++" for these in (coarse, marks))
    return re.compile(f"[{coarse}]"), re.compile(likely), re.compile(exact)


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
    """Return `text` less unseen characters and space around it, with `line_end` for all ends of lines but `\\n`."""
    if not _is_seen(text) and _UNSEEN.search(text):
        if _DOUBLY_ENCODED.search(text):
            text = _decoded_once(text)
        text = _UNSEEN.sub("", _LINE_ENDS.sub(line_end, text.replace("\r\n", "\n")).replace("\x1f", " "))
    if "\u200d" in text or "\u200c" in text:
        text = _JOINERS.sub(r"\1", text)
    return cap_marks(text).strip()


def _is_seen(text: str) -> bool:
    """Take a quick look that clears most texts: Python counts all unseen characters but U+034F as not printable."""
    return text.replace("\n", "").replace("\t", "").replace("\xa0", "").isprintable() and "\u034f" not in text


def one_line(text: str, limit: int) -> str:
    """Return `text` in one line of at most `limit` characters."""
    text = text[: 4 * limit]
    if not (text.isascii() and text.isprintable() and "  " not in text):
        text = " ".join(clean(text).split())
    return text.strip()[:limit]


def _decoded_once(text: str) -> str:
    """Return a doubly encoded text: now all of its letters can be repaired, after clean() no more."""
    from pipelines.pages.charset.repair import repair  # ftfy takes a tenth of a second to import, and few pages need it

    if len(text) <= _MAX_REPAIRED:
        text = repair(text)
    return _DOUBLY_ENCODED.sub(lambda found: found[0].encode("latin-1").decode(errors="ignore"), text)


# Cut a long text, such as a novel: into documents, and into pieces that are worked on one after the other.


# Memory goes by the number of words and lines, which are objects of 50 bytes and more: one piece's take up to 60 MB.
PIECE_CHARACTERS = 1_000_000
_SPACE = re.compile(r"\s")  # the same characters that str.split() parts words by


def cut(text: str, max_characters: int) -> Iterator[str]:
    """Yield consecutive parts of at most `max_characters`, cut at line ends, else at spaces, else anywhere.

    The parts hold all of the text but white space at their ends.
    """
    start = 0
    while len(text) - start > max_characters:
        stop = start + max_characters
        end = max(text.rfind("\n", start, stop + 1), start)
        if end == start:
            end = max(text.rfind(" ", start, stop + 1), start)
        if end == start:
            end = stop
        if part := text[start:end].strip():
            yield part
        start = end
        # White space at the cut belongs to no part, and would stop the next search at its first character.
        while start < len(text) and text[start].isspace():
            start += 1
    if part := text[start:].strip():
        yield part


def pieces(text: str, size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """Yield consecutive pieces that hold all of the text and part no word: each as long as `size`, or a little longer.

    A text that is not longer is one piece.
    """
    start = 0
    while len(text) - start > size and (space := _SPACE.search(text, start + size)):
        yield text[start : space.start()]
        start = space.start()
    yield text[start:]


# When two texts, or two lines, count as equal: after NFC and with white space squeezed.


def normalise(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", cap_marks(text))
    return " ".join(words for piece in pieces(text) if (words := " ".join(piece.split())))


def text_hash(normalised: str) -> bytes:
    """Return the 16 bytes by which exact deduplication tells texts apart."""
    return xxhash.xxh3_128_digest(normalised.encode())
