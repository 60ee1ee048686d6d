"""Bytes of a page to text: UTF-8, the HTTP charset, the page's meta tag, a detector, windows-1252.

Charsets are named as the WHATWG's Encoding Standard has it, and mean what browsers take them for. One by which the text
fits no language, where it fits one by another charset, is not believed: many servers declare their own default.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from resiliparse.parse.encoding import detect_encoding

from pipelines.pages.charset.alphabets import misfit, often_cyrillic
from pipelines.pages.charset.broken_utf_8 import is_broken_utf_8
from pipelines.pages.charset.bytes_to_text import ISO_2022_JP, OF_TWO_BYTES, text_of
from pipelines.pages.charset.declared_charset import AS_BROWSERS, codec_of, http_charset, meta_charset
from pipelines.pages.charset.judged_words import judged_words
from pipelines.pages.charset.two_charsets import decode_parts, is_utf_8_part, parts

# A declared charset is believed while it damages little. Chosen here: a wrong one damages nearly all that is not
# ASCII, a right one a stray character; and text has next to no control characters, while binary data has 10 %.
MAX_REPLACED_SHARE = 0.1  # of the bytes that are not ASCII
MAX_CONTROL_SHARE = 0.01  # of the characters
# A declared charset is not believed where more than such a share of what is not ASCII fits no language, and another
# leaves so much less of it; where nothing is declared, the least decides. Chosen here.
MIN_MISFIT, MAX_RELATIVE_MISFIT, MIN_JUDGED = 0.01, 0.25, 8  # shares; characters
# What fits no language by any charset is mojibake, if there is enough of it to tell. Chosen here: of 60 real pages that
# are not UTF-8 none has more than .15 of twenty characters.
MAX_MISFIT, MIN_REFUSED = 0.3, 30  # share; characters
MIN_NOT_ASCII = 0.02  # of the text: less are stray signs in text that can be read; 3 % in Spanish, 8 % in Hungarian

# Of a page that can be read in one charset, however badly, the lesser part is read as UTF-8 where it has so many
# characters beyond ASCII: with few, it is as likely that they quote how text looks when it is read wrongly. Chosen
# here.
MIN_IN_UTF_8 = 40

_NOT_ASCII = re.compile("[^\x00-\x7f]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_REPLACED = re.compile("[\x80-\x9f\ufffd]")
_ESCAPE, _JAPANESE_ESCAPE = b"\x1b", b"\x1b$"  # ISO-2022-JP: what follows is Japanese in bytes of ASCII
_START_BYTES = 4096  # binary data shows itself at once
_CONTROL_BYTES = bytes([*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F])
_CONTROLS_BUT_ESCAPE = _CONTROL_BYTES.replace(_ESCAPE, b"")  # which changes between scripts in ISO-2022-JP
UTF_8_MARK, _UTF_16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARKS = ((UTF_8_MARK, "utf-8"), (_UTF_16_MARKS[0], "utf-16-le"), (_UTF_16_MARKS[1], "utf-16-be"))


# Charsets that a page may be in where it seems to be in none that was declared, those first that have fewer letters:
# what is Hebrew would be Russian too, what is Korean Chinese.
_OTHERS = (
    *("cp1252", "cp1250", "iso8859-2", "cp1257", "iso8859-13", "iso8859-4", "cp1254", "cp1255", "iso8859-6", "cp1256"),
    *("cp1253", "iso8859-7", "cp1251", "koi8-u", "iso8859-5", "cp866", "mac-cyrillic", "cp1258", "cp932", "cp949"),
    *("gb18030", "big5hkscs", "euc_jp", "cp874"),
)
# Those of DOS and the Mac are thought of where more than such a share is no text by any of these. Chosen here.
_MAX_OTHERS_MISFIT = 0.05
_OF_DOS_AND_THE_MAC = (
    *("cp852", "cp850", "cp857", "cp737", "cp869", "cp862", "cp775", "cp860", "cp861", "cp855"),
    *("mac_latin2", "mac_romanian", "mac_roman", "mac_croatian", "mac_turkish", "mac_greek", "mac_iceland"),
)
# Text in the second charset is text by the letters of the first too. But some letters of the first it never has: 7 % of
# a Russian text, beside capitals, are none that Hebrew can be read as, and 30 % of a Chinese one stand behind the rows
# of Korean syllables. And four letters, 4 % of Cyrillic texts, are a quarter of what Hebrew is read as. How many
# characters are judged at least, and the share of the former that is taken for chance. Chosen here.
_HOLDS_ANOTHER = {"cp1251": ("cp1255", 100, 0.03), "gb18030": ("cp949", 100, 0.05)}
_HEBREW_BYTES, _OFTEN_IN_HEBREW, _MIN_OFTEN = re.compile(rb"[\xe0-\xfa]"), re.compile(rb"[\xe9\xf8\xf9\xfa]"), 0.12
_CYRILLIC_BYTES = re.compile(
    rb"[\x80\x81\x83\x8a\x8c-\x90\x9a\x9c-\x9f\xa1-\xa3\xa5\xa8\xaa\xaf\xb2-\xb4\xb8\xba\xbc-\xdf\xfb-\xff]"
)
_PAIRS = re.compile(rb"[\xb0-\xf7][\xa1-\xfe]")
# Charsets of Cyrillic have the same letters at other places, or in the other case. How many letters are judged at
# least, the share of frequent ones below which a charset is doubted, and how many times as many another gives. Chosen
# here.
_CYRILLIC = ("cp1251", "koi8-u", "iso8859-5", "cp866", "mac-cyrillic")
_MIN_CYRILLIC, _MIN_OFTEN_CYRILLIC, _MIN_TIMES_OFTEN = 40, 0.47, 1.3
_UNJUDGED = ("utf-8", "utf-16-le", "utf-16-be", ISO_2022_JP)  # they fit or they do not
_ASCII = bytes(range(128))
_TAG = re.compile(rb"<[^<>]*+>")


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    encoding: str  # name of Python's codec; `utf-8+` and a name where parts of the page are UTF-8 and others are not
    source: str  # bom | utf-8 | http | meta | detector | default
    is_whole: bool = False  # nothing was repaired: the body is the text in UTF-8, but for a byte order mark


def decode(payload: bytes, content_type: str) -> Decoded | None:
    """Decode a page, given its HTTP Content-Type. None if nothing gives readable text."""
    if not payload.startswith(_UTF_16_MARKS) and (text := _utf8(payload)) is not None:
        return Decoded(text, "utf-8", "bom" if payload.startswith(UTF_8_MARK) else "utf-8", is_whole=True)
    is_binary = _share_of(_CONTROLS_BUT_ESCAPE, payload) > MAX_CONTROL_SHARE
    decoded = _in_one_charset(payload, content_type, is_binary)
    if is_binary or (decoded and (decoded.source == "bom" or decoded.encoding in _UNJUDGED)):
        return decoded
    return _in_two_charsets(payload, content_type, decoded is not None) or decoded


def decode_plain_text(content: bytes) -> str | None:
    """Return a plain text in the charset that it shows; None if it shows none."""
    found = decode(content, "")
    return found.text if found else None


def _in_two_charsets(payload: bytes, content_type: str, can_be_read: bool) -> Decoded | None:
    """Decode a page of which a part is UTF-8, whether or not it can be read in one charset; None where it has none."""
    in_utf_8, not_utf_8 = parts(payload)
    is_lesser_part = len(_NOT_ASCII.findall(in_utf_8)) < len(not_utf_8.translate(None, delete=_ASCII))
    least = MIN_IN_UTF_8 if can_be_read and is_lesser_part else MIN_JUDGED
    if len(in_utf_8) < least or (other := _in_one_charset(not_utf_8, content_type, is_binary=False)) is None:
        return None
    if other.encoding in _UNJUDGED or not is_utf_8_part(in_utf_8, other.encoding, least):
        return None
    text = decode_parts(payload, other.encoding, parts_words=other.encoding not in OF_TWO_BYTES)
    return Decoded(text, f"utf-8+{other.encoding}", "detector")


def _in_one_charset(payload: bytes, content_type: str, is_binary: bool) -> Decoded | None:
    not_ascii = payload.translate(None, delete=_ASCII)
    for encoding, source, most_replaced in _candidates(payload, content_type, len(not_ascii)):
        # Control characters are the same bytes in all but UTF-16: no need to decode megabytes of binary data.
        if is_binary and not encoding.startswith("utf-16"):
            continue
        if (decoded := _decoded(payload, encoding, source, not_ascii, most_replaced)) is None:
            continue
        if source == "bom" or encoding in _UNJUDGED:
            return decoded
        other = _more_plausible(words := judged_words(payload), encoding, source)
        decoded = (other and _decoded(payload, other, "detector", not_ascii)) or decoded
        return None if _is_mojibake(payload, words, decoded.encoding) else decoded
    other = None if is_binary else _more_plausible(words := judged_words(payload), "cp1252", "default")
    return (
        None
        if other is None or _is_mojibake(payload, words, other)
        else _decoded(payload, other, "detector", not_ascii)
    )


def _is_mojibake(payload: bytes, words: bytes, encoding: str) -> bool:
    if encoding in OF_TWO_BYTES:  # of rare characters no table says whether a language has them
        return False
    found = misfit(text_of(words, encoding))
    if found.characters < MIN_REFUSED or found.share <= MAX_MISFIT:
        return False
    text = _TAG.sub(b" ", payload)
    return len(text.translate(None, delete=_ASCII)) > MIN_NOT_ASCII * len(text)


def _decoded(
    payload: bytes, encoding: str, source: str, not_ascii: bytes, most_replaced: float = MAX_REPLACED_SHARE
) -> Decoded | None:
    """Return the page by a charset, given its bytes that are not ASCII, and which share of them may have no character;
    None if that damages it, or makes binary data of it.
    """
    text = text_of(payload, encoding).removeprefix("\ufeff")
    # Japanese in ISO-2022-JP is written in bytes of ASCII.
    most = most_replaced * (len(_NOT_ASCII.findall(text)) if encoding == ISO_2022_JP else len(not_ascii))
    if text.count("\ufffd") > most:
        return None
    if encoding in OF_TWO_BYTES or encoding in _UNJUDGED:
        replaced, controls = len(_REPLACED.findall(text)), len(_CONTROLS.findall(text))
    else:  # each byte is a character: to look at few of them takes a tenth of the time
        replaced = len(_REPLACED.findall(text_of(not_ascii, encoding)))
        controls = len(payload) - len(payload.translate(None, delete=_CONTROL_BYTES))
    is_text = replaced <= most and controls <= MAX_CONTROL_SHARE * len(text)
    return Decoded(text, encoding, source) if is_text else None


def _more_plausible(words: bytes, encoding: str, source: str) -> str | None:
    """Return another charset by which words are much more those of a language; None if there is none."""
    believed = misfit(text_of(words, encoding))
    if other := _narrower(words, encoding, believed.share) or _other_cyrillic(words, encoding, believed.share):
        return other
    # Next to nothing is of two bytes a character by chance.
    is_sure = believed.share == 0 or (encoding in OF_TWO_BYTES and not believed.broken)
    if believed.characters < MIN_JUDGED or is_sure:
        return None
    share, other = min(_shares(words, _OTHERS), key=lambda found: found[0])
    if min(share, believed.share) > _MAX_OTHERS_MISFIT:
        rarer = min(_shares(words, _OF_DOS_AND_THE_MAC), key=lambda found: found[0])
        if rarer[0] <= MAX_RELATIVE_MISFIT * share:  # a page of two charsets fits one of so many a little better
            share, other = rarer
    other = _other_cyrillic(words, other, share) or other
    if source in ("http", "meta"):
        return other if believed.share > MIN_MISFIT and share <= MAX_RELATIVE_MISFIT * believed.share else None
    return other if share < believed.share else None


def _shares(words: bytes, charsets: tuple[str, ...]) -> Iterator[tuple[float, str]]:
    """Yield how badly each charset fits; letters that are Cyrillic, but not those of a language, do not at all."""
    for charset in charsets:
        text = text_of(words, charset)
        letters, often = often_cyrillic(text) if charset in _CYRILLIC else (0, 1.0)
        yield 1.0 if letters >= _MIN_CYRILLIC and often < _MIN_OFTEN_CYRILLIC else misfit(text).share, charset


def _other_cyrillic(words: bytes, encoding: str, share: float) -> str | None:
    """Return the Cyrillic charset by which letters are as frequent as they are in text; None if that is no other."""
    if encoding not in (*_CYRILLIC, "koi8-r"):
        return None
    letters, often = often_cyrillic(text_of(words, encoding))
    if letters < _MIN_CYRILLIC or often >= _MIN_OFTEN_CYRILLIC:
        return None
    least = max(_MIN_OFTEN_CYRILLIC, _MIN_TIMES_OFTEN * often)
    read = {other: text_of(words, other) for other in _CYRILLIC}
    shares = {other: misfit(text).share for other, text in read.items() if often_cyrillic(text)[1] >= least}
    other = min(shares, key=lambda charset: shares[charset], default=None)
    return other if other and shares[other] <= share + MIN_MISFIT else None


def _narrower(words: bytes, encoding: str, share: float) -> str | None:
    """Return the charset that words are in which seem to be in one that holds it; None if there is none."""
    if encoding not in _HOLDS_ANOTHER:
        return None
    other, least, most = _HOLDS_ANOTHER[encoding]
    inside, behind = _rows(words, encoding)
    if inside + behind < least or behind > most * (inside + behind):
        return None
    return other if misfit(text_of(words, other)).share <= max(MIN_MISFIT, share) else None


def _rows(words: bytes, encoding: str) -> tuple[int, int]:
    """Return how many letters are in the rows of the narrower charset, and how many behind them."""
    if encoding == "cp1251":
        hebrew = len(_HEBREW_BYTES.findall(words))
        is_hebrew = len(_OFTEN_IN_HEBREW.findall(words)) > _MIN_OFTEN * hebrew
        return (hebrew, len(_CYRILLIC_BYTES.findall(words))) if is_hebrew else (0, hebrew)
    pairs = _PAIRS.findall(words)
    return sum(pair[0] <= 0xC8 for pair in pairs), sum(pair[0] > 0xC8 for pair in pairs)


def _utf8(payload: bytes) -> str | None:
    """Decode strict UTF-8, as most pages are. Control characters are counted at the start, in bytes: that is fast."""
    if _ESCAPE in payload and _JAPANESE_ESCAPE in payload:  # a single byte is looked for in a tenth of the time
        return None
    try:
        text = payload.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None
    return text if _share_of(_CONTROL_BYTES, payload[:_START_BYTES]) <= MAX_CONTROL_SHARE else None


def _share_of(some: bytes, payload: bytes) -> float:
    return 1 - len(payload.translate(None, delete=some)) / max(len(payload), 1)


def _candidates(payload: bytes, content_type: str, not_ascii: int) -> Iterator[tuple[str, str, float]]:
    """Yield charsets, what tells each, and the share of the page's bytes beyond ASCII that may have no character."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if payload.startswith(mark):
            yield encoding, "bom", MAX_REPLACED_SHARE
    labels = ((http_charset(content_type), "http"), (meta_charset(payload), "meta"))
    declared: dict[str, str] = {}
    for label, source in labels:
        if label and (codec := codec_of(label)):
            # What tells UTF-16 in a meta tag was read as ASCII.
            declared.setdefault("utf-8" if source == "meta" and "utf-16" in codec else codec, source)
    if _is_iso_2022_jp(payload):  # which is ASCII to the other charsets
        yield ISO_2022_JP, declared.get(ISO_2022_JP, "detector"), MAX_REPLACED_SHARE
    elif is_broken_utf_8(payload, not_ascii, list(declared)):
        yield "utf-8", declared.get("utf-8", "utf-8"), 1.0
    for codec, source in declared.items():
        yield codec, source, MAX_REPLACED_SHARE
    if detected := detect_encoding(payload):
        yield AS_BROWSERS.get(detected, detected), "detector", MAX_REPLACED_SHARE
    # The detector calls a page with a single accented letter UTF-8; browsers then take windows-1252, and so do we.
    yield "cp1252", "default", MAX_REPLACED_SHARE


def _is_iso_2022_jp(payload: bytes) -> bool:
    return _JAPANESE_ESCAPE in payload and payload.isascii()
