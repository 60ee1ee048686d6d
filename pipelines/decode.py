"""Bytes of a page to text: strict UTF-8, the HTTP charset, the page's meta tag, a detector, windows-1252."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

# A declared charset is believed while it damages little. Chosen here: a wrong one damages nearly all that is not
# ASCII, a right one a stray character; and text has next to no control characters, while binary data has 10 %.
MAX_REPLACED_SHARE = 0.1  # of the bytes that are not ASCII
MAX_CONTROL_SHARE = 0.01  # of the characters

_META_CHARSET = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_HTTP_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_META_BYTES = 4096  # browsers look at 1,024; some pages put scripts first
_CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f]")
_START_BYTES = 4096  # binary data shows itself at once
_CONTROL_BYTES = bytes([*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F])
_UTF_8_MARK, _UTF_16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARKS = ((_UTF_8_MARK, "utf-8"), (_UTF_16_MARKS[0], "utf-16-le"), (_UTF_16_MARKS[1], "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    encoding: str  # name of Python's codec
    source: str  # bom | utf-8 | http | meta | detector | default


def decode(payload: bytes, content_type: str) -> Decoded | None:
    """Decode a page, given its HTTP Content-Type. None if nothing gives readable text."""
    if not payload.startswith(_UTF_16_MARKS) and (text := _utf8(payload)) is not None:
        return Decoded(text, "utf-8", "bom" if payload.startswith(_UTF_8_MARK) else "utf-8")
    not_ascii = len(payload.translate(None, delete=bytes(range(128))))
    for encoding, source in _candidates(payload, content_type):
        text = payload.decode(encoding, errors="replace").removeprefix("\ufeff")
        replaced, controls = text.count("\ufffd"), len(_CONTROLS.findall(text))
        if replaced <= MAX_REPLACED_SHARE * not_ascii and controls <= MAX_CONTROL_SHARE * len(text):
            return Decoded(text, encoding, source)
    return None


def _utf8(payload: bytes) -> str | None:
    """Most pages are strict UTF-8. Their control characters are counted at the start, in bytes: that is fast."""
    try:
        text = payload.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        return None
    start = payload[:_START_BYTES]
    controls = len(start) - len(start.translate(None, delete=_CONTROL_BYTES))
    return text if controls <= MAX_CONTROL_SHARE * len(start) else None


def _candidates(payload: bytes, content_type: str) -> Iterator[tuple[str, str]]:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if payload.startswith(mark):
            yield encoding, "bom"
    in_header = _HTTP_CHARSET.search(content_type)
    if in_header and (named := _codec(in_header[1])):
        yield named, "http"
    in_page = _META_CHARSET.search(payload[:_META_BYTES])
    if in_page and (named := _codec(in_page[1].decode("ascii"))):
        yield named, "meta"
    if detected := detect_encoding(payload):
        yield detected, "detector"
    # The detector calls a page with a single accented letter UTF-8; browsers then take windows-1252, and so do we.
    yield "cp1252", "default"


def _codec(charset: str) -> str | None:
    """The codec of a charset in the WHATWG's list only: a hostile page must not choose among all of Python's."""
    return map_encoding_to_html5(charset, fallback_utf8=False)
