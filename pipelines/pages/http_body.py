"""Undo what the transfer did to a body: chunks and compression. Headers lie, so what does not fit stays as it is.

Codings: https://www.rfc-editor.org/rfc/rfc9110#section-8.4 and https://www.rfc-editor.org/rfc/rfc9112#section-7.
"""

import io
import re
import zlib

from fastwarc.stream_io import BrotliReader, ZstdReader

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,200})?\r?\n")
_MAX_CODINGS = 3  # that one header may name; more is an attack
_MAX_MEMBERS = 10_000  # of gzip; more is an attack
_FIRST_STEP, _LONGEST_STEP = 1 << 10, 1 << 18  # bytes that are decompressed at a time
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
        if coding in ("gzip", "x-gzip") and payload[:2] == b"\x1f\x8b":
            payload = _gunzip(payload, max_bytes)
        elif coding == "deflate":
            payload = _inflate(payload, max_bytes)
        elif coding in _STREAMS:
            payload = _read_stream(coding, payload, max_bytes)
    return payload


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
    while payload[place : place + 2] == b"\x1f\x8b":
        member, step, members = zlib.decompressobj(31), _FIRST_STEP, members + 1
        if members > _MAX_MEMBERS:
            return payload
        while not member.eof and place < len(payload):
            data = payload[place : place + step]
            place, step = place + len(data), min(2 * step, _LONGEST_STEP)
            try:
                parts.append(member.decompress(data, max_bytes - size + 1))
            except zlib.error:
                return payload
            size += len(parts[-1])
            if size > max_bytes:
                raise BodyTooLarge
        place -= len(member.unused_data)  # what is behind a member is copied at each: so it is given in small steps
    return b"".join(parts)


def _inflate(payload: bytes, max_bytes: int) -> bytes:
    for window_bits in (15, -15):  # with zlib's header, as the standard says, and without, as some servers send it
        try:
            body = zlib.decompressobj(window_bits).decompress(payload, max_bytes + 1)
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
