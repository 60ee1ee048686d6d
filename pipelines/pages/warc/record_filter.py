"""The record filter: which captures may hold a page. Everything else leaves here, with its reason."""

import re
from functools import lru_cache

from pipelines.pages.warc.capture import Capture

HTML_TYPES = ("text/html", "application/xhtml+xml")
# Pages where the root is <html>, which browsers take from its namespace.
_XML_TYPES = ("application/xml", "text/xml")
# What servers send for files whose kind they do not know. Then, and without a type, the content decides.
NO_TYPES = ("", "application/octet-stream", "application/unknown", "unknown/unknown")
# https://mimesniff.spec.whatwg.org/#parsing-a-mime-type
_TOKEN = r"[!#$%&'*+.^_`|~0-9a-z-]+"
_MEDIA_TYPE = re.compile(f"{_TOKEN}/{_TOKEN}")
_MAX_CACHED = 100  # characters of a header; crawls repeat a few dozen short ones
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"?')

# https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type
_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*(?:<\?xml[^>]{0,200}>\s*)?<(?:!doctype html|!--|"
    rb"(?:html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[ >])",
    re.IGNORECASE,
)
_XHTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*+(?:<\?[^>]{0,200}+>\s*+|<!--(?:[^-]|-(?!->)){0,2000}+-->\s*+){0,20}+<(?:!doctype\s++)?html[\s>]",
    re.IGNORECASE,
)
# PDF, PostScript, GIF, PNG, JPEG, BMP, RIFF, Ogg, MP3, ZIP, RAR, gzip, ELF, Java, SWF; the same standard, section 6.
_BINARY_STARTS = (
    b"%PDF-", b"%!PS-Adobe-", b"GIF8", b"\x89PNG", b"\xff\xd8\xff", b"BM\x00", b"RIFF", b"OggS", b"ID3",
    b"PK\x03\x04", b"Rar!", b"\x1f\x8b", b"\x7fELF", b"\xca\xfe\xba\xbe", b"FWS", b"CWS",
)  # fmt: skip


def why_no_page(capture: Capture) -> str | None:
    """Return the reason why a capture cannot be a page, or None if it may be one, or a page's text already.

    Reasons: not_response, bad_http (headers that cannot be parsed, or over 1 MB), not_http, redirect, bad_status,
    not_html, oversize, truncated (the file or the record ends early), empty.
    """
    mime, identified = media_type(capture.content_type), media_type(capture.identified_type)
    if capture.record_type == "conversion" and mime == "text/plain":
        return capture.fault or (None if capture.payload else "empty")
    if capture.record_type != "response":
        return "not_response"
    if capture.fault == "bad_http":
        return "bad_http"
    if capture.status is None:
        return capture.fault or "not_http"
    if 300 <= capture.status < 400:
        return "redirect"
    if capture.status != 200:
        return "bad_status"
    if mime not in (*HTML_TYPES, *NO_TYPES) and not _is_xml(mime) and identified not in HTML_TYPES:
        return "not_html"
    if capture.fault:
        return capture.fault
    if not capture.payload:
        return "empty"
    return None


def media_type(content_type: str) -> str:
    """Return the type in a header, as browsers read it: the last that is one, of several; else nothing.

    https://fetch.spec.whatwg.org/#concept-header-extract-mime-type
    """
    return _extracted(content_type) if len(content_type) <= _MAX_CACHED else _extracted.__wrapped__(content_type)


@lru_cache(maxsize=256)
def _extracted(content_type: str) -> str:
    parts = _QUOTED.sub("", content_type).lower().split(",")
    types = [part.partition(";")[0].strip() for part in parts]
    return next((found for found in reversed(types) if found != "*/*" and _MEDIA_TYPE.fullmatch(found)), "")


def _is_xml(mime: str) -> bool:
    """Tell whether a type is one of XML: https://mimesniff.spec.whatwg.org/#xml-mime-type."""
    return mime in _XML_TYPES or mime.endswith("+xml")


def is_html(body: bytes, content_type: str, identified_type: str = "") -> bool:
    """Tell whether the content (de-chunked, decompressed) bears out the header, or is HTML where the header is silent.

    What the crawler identified (WARC-Identified-Payload-Type) stands in for a header that names no page.
    """
    mime = media_type(content_type)
    if mime in HTML_TYPES or media_type(identified_type) in HTML_TYPES:
        return not body.startswith(_BINARY_STARTS)
    start = _XHTML_START if _is_xml(mime) else _HTML_START
    return start.match(body) is not None
