"""Reads the header of a WARC record, whole or not, as far as reading behind damage needs it."""

import base64
import hashlib
import mmap
import re
from collections.abc import Iterable
from itertools import chain

import numpy as np

# Not only at a line's start: the record before may have been cut.
HEADER = re.compile(rb"WARC/1\.[01][ \t]*\r?\n(?=[!-9;-~]+:)")
HEADER_END = re.compile(rb"\r?\n\r?\n")
OVERLAP = 64  # of chunks, between which a header may begin
_FIELD = rb"(?im)^%b[ \t]*:[ \t]*([^\r\n]*)"
_TYPE, _LENGTH = re.compile(_FIELD % b"WARC-Type"), re.compile(_FIELD % b"Content-Length")
_BLOCK_DIGEST, _PAYLOAD_DIGEST = re.compile(_FIELD % b"WARC-Block-Digest"), re.compile(_FIELD % b"WARC-Payload-Digest")
# A header behind a blank line, as one record follows another. Pages that show one write its id as &lt;urn:...
_FOLLOWING = re.compile(
    rb"(?:\r\n\r\n|\n\n)(WARC/1)\.[01][ \t]*\r?\n(?:[!-9;-~]+:[^\r\n]*\r?\n){0,50}?WARC-Record-ID:[ \t]*<",
    re.IGNORECASE,
)
RECORD_OR_END = re.compile(rb"(?:\r?\n){0,4}(?:WARC/1\.[01]|\Z)")
LONGEST_FOLLOWING = 1 << 13  # bytes of it that are kept between chunks
_MARK = b"WARC/1."
_ALGORITHMS = ("sha1", "md5", "sha256", "sha512")
MAX_HEADER_BYTES = 1 << 20  # of a WARC or HTTP header; more is an attack or damage


# The names that fastwarc knows by their capitals alone; to the standard, and to some writers, they are the same in any.
_NAMES = re.compile(rb"(?im)^(?:WARC-Type|Content-Length|Content-Type)(?=[ \t]*:)")
_AS_USUAL = {name.lower(): name for name in (b"WARC-Type", b"Content-Length", b"Content-Type")}


def has_usual_names(header: bytes) -> bool:
    return all(name in _AS_USUAL.values() for name in _NAMES.findall(header))


def put_usual_names(content: mmap.mmap) -> None:
    """Write the names of fields in the headers of a file as fastwarc knows them, each in its place."""
    for found in HEADER.finditer(content):
        end = HEADER_END.search(content, found.end(), found.start() + LONGEST_FOLLOWING)
        for name in _NAMES.finditer(content, found.end(), end.end() if end else found.end()):
            content[name.start() : name.end()] = _AS_USUAL[name[0].lower()]


def names_its_type(header: bytes) -> bool:
    return _TYPE.search(header) is not None


def runs_into_another(header: bytes) -> bool:
    """Tell whether what seems to be a header is the beginning of one and the next record's. Not an address in it."""
    found = HEADER.search(header, 1)
    return found is not None and names_its_type(header[found.end() :])


def length_in(header: bytes) -> int | None:
    found = _LENGTH.search(header)
    digits = found[1].strip() if found else b""
    return int(digits) if digits.isdigit() and len(digits) < 19 else None


def holds_following(block: bytes) -> bool:
    """Tell whether a record's block seems to hold the next record too, by a length that is too long."""
    return _holds_mark(block) and _FOLLOWING.search(block) is not None


def _holds_mark(block: bytes) -> bool:
    """Tell whether `_MARK in block`, by array, which takes less than half the time."""
    codes = np.frombuffer(block, dtype=np.uint8)
    places = (codes == _MARK[0]).nonzero()[0]
    for distance, letter in enumerate(_MARK[1:], 1):
        if not len(places):
            return False
        places = places[codes.take(places + distance, mode="clip") == letter]
    return len(places) > 0


def following_in(content: mmap.mmap, start: int, end: int) -> int | None:
    """Return where the record begins that a block seems to run into."""
    found = _FOLLOWING.search(content, start, end)
    return None if found is None else found.start(1)


def digest_says_so(record: Iterable[bytes]) -> bool:
    """Tell whether a digest in a record's header is that of its block, or of the payload in it, by its length."""
    chunks, start = iter(record), b""
    while not (found := HEADER_END.search(start)) and len(start) < MAX_HEADER_BYTES and (chunk := next(chunks, b"")):
        start += chunk
    header, rest = (start[: found.end()], start[found.end() :]) if found else (b"", b"")
    block, payload = (_stated(header, field) for field in (_BLOCK_DIGEST, _PAYLOAD_DIGEST))
    left, http = length_in(header) or 0, b""
    has_payload = False  # until its HTTP header was passed
    for chunk in chain([rest], chunks):
        chunk = chunk[:left]
        left -= len(chunk)
        block.update(chunk)
        if has_payload:
            payload.update(chunk)
        elif end := HEADER_END.search(http := (http + chunk)[:MAX_HEADER_BYTES]):
            has_payload = True
            payload.update(http[end.end() :])
    return left == 0 and (block.agrees() or payload.agrees())


class _Digest:
    """A digest as a header states it, `sha1:` and base32 or hexadecimal digits, and as it is found."""

    def __init__(self, name: str, digits: str) -> None:
        self._found = hashlib.new(name, usedforsecurity=False) if name in _ALGORITHMS else None
        self._digits = digits

    def update(self, data: bytes) -> None:
        if self._found is not None:
            self._found.update(data)

    def agrees(self) -> bool:
        if self._found is None:
            return False
        base32 = base64.b32encode(self._found.digest()).decode().strip("=").lower()
        return self._digits.lower().strip("=") in (base32, self._found.hexdigest())


def _stated(header: bytes, field: "re.Pattern[bytes]") -> _Digest:
    found = field.search(header)
    name, _, digits = (found[1].decode("latin-1").strip() if found else "").partition(":")
    return _Digest(name.lower().replace("-", ""), digits)
