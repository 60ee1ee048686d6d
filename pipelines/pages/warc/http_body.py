"""Undo what the transfer did to a body: chunks and compression. Headers lie, so what does not fit stays as it is.

Codings: https://www.rfc-editor.org/rfc/rfc9110#section-8.4 and https://www.rfc-editor.org/rfc/rfc9112#section-7.
"""

import io
import re
import zlib
from contextlib import suppress

from fastwarc.stream_io import BrotliReader, ZstdReader

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,200})?\r?\n")
_MAX_CODINGS = 3  # that one header may name; more is an attack
_MAX_MEMBERS = 10_000  # of gzip; more is an attack
_FIRST_STEP, _LONGEST_STEP = 1 << 10, 1 << 18  # bytes that are decompressed at a time
_WRONG_SUM = re.compile("incorrect (?:data|length) check")
_GZIP, _ZLIB = b"\x1f\x8b", b"x"  # what they begin with
_STREAMS = {"br": BrotliReader, "zstd": ZstdReader}


class BodyTooLarge(ValueError):
    """A body that decompresses to more than the limit: it is left out, not cut."""


def undo_transfer(payload: bytes, transfer_encoding: str, content_encoding: str, max_bytes: int) -> bytes:
    """Return the body de-chunked and decompressed, as far as it is what its headers (in lower case) say.

    Raises BodyTooLarge when it would be over `max_bytes`; no more than that is ever decompressed.
    """
    if "chunked" in transfer_encoding:
        payload = _dechunk(payload)
    codings = [coding.strip() for coding in f"{content_encoding},{transfer_encoding}".split(",")]
    for coding in reversed(codings[:_MAX_CODINGS]):  # the last one named was put on last
        if coding in ("gzip", "x-gzip", "deflate") and payload[:2] == _GZIP:
            payload = _gunzip(payload, max_bytes)
        elif coding == "deflate" or (coding in ("gzip", "x-gzip") and payload[:1] == _ZLIB):
            payload = _inflate(payload, max_bytes)
        elif coding in _STREAMS:
            payload = _read_stream(coding, payload, max_bytes)
    # What was packed twice and said so once, or was stored packed without the header: no page begins so.
    return _gunzip(payload, max_bytes) if payload[:2] == _GZIP else payload


def _dechunk(payload: bytes) -> bytes:
    chunks: list[bytes] = []
    position = 0
    while header := _CHUNK_SIZE.match(payload, position):
        size = int(header[1], 16)
        if size == 0:
            return b"".join(chunks)
        chunks.append(payload[header.end() : header.end() + size])
        position = header.end() + size
        position += 2 if payload[position : position + 2] == b"\r\n" else payload[position : position + 1] == b"\n"
    # The last chunk may be missing, since crawlers cut pages; a body with no chunk at all was stored decoded.
    return b"".join(chunks) if chunks and position >= len(payload) else payload


def _gunzip(payload: bytes, max_bytes: int) -> bytes:
    """Return all gzip members; padding behind the last is left out."""
    parts: list[bytes] = []
    size = place = members = 0
    while payload[place : place + 2] == _GZIP:
        member, start, step, members = zlib.decompressobj(31), place, _FIRST_STEP, members + 1
        if members > _MAX_MEMBERS:
            return payload
        while not member.eof and place < len(payload):
            data = payload[place : place + step]
            place, step = place + len(data), min(2 * step, _LONGEST_STEP)
            try:
                parts.append(member.decompress(data, max_bytes - size + 1))
            except zlib.error as error:
                if not _WRONG_SUM.search(str(error)):
                    return payload
                last = _to_checksum(payload[start : place - len(data)], data, max_bytes - size + 1)
                if size + len(last) > max_bytes:
                    raise BodyTooLarge from None
                return b"".join([*parts, last])
            size += len(parts[-1])
            if size > max_bytes:
                raise BodyTooLarge
        place -= len(member.unused_data)  # what is behind a member is copied at each: so it is given in small steps
    return b"".join(parts)


def _to_checksum(before: bytes, data: bytes, max_bytes: int) -> bytes:
    """Return what `data` holds of a member whose checksum is wrong, which browsers do not look at."""
    member, parts = zlib.decompressobj(31), []
    member.decompress(before)
    with suppress(zlib.error):
        for place in range(len(data)):
            parts.append(member.decompress(data[place : place + 1], max_bytes))
            max_bytes -= len(parts[-1])
            if max_bytes <= 0:
                break
    return b"".join(parts)


def _inflate(payload: bytes, max_bytes: int) -> bytes:
    # With zlib's header, as the standard says, and without, as some servers send it; with a wrong checksum.
    for window_bits, start in ((15, 0), (-15, 0), (-15, 2)):
        try:
            body = zlib.decompressobj(window_bits).decompress(payload[start:], max_bytes + 1)
        except zlib.error:
            continue
        if len(body) > max_bytes:
            raise BodyTooLarge
        return body
    return payload


def _read_stream(coding: str, payload: bytes, max_bytes: int) -> bytes:
    try:
        body = _STREAMS[coding](io.BytesIO(payload)).read(max_bytes + 1)
    except OSError:
        return payload
    if len(body) > max_bytes:
        raise BodyTooLarge
    return bytes(body)
