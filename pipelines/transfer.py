"""Undo what the transfer did to a body: chunks and compression. Headers lie, so what does not fit stays as it is."""

import re
import zlib

_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,200})?\r?\n")


def undo_transfer(payload: bytes, transfer_encoding: str, content_encoding: str, max_bytes: int) -> bytes:
    """Return the body de-chunked and decompressed to at most `max_bytes`, as far as it is what its headers say."""
    if "chunked" in transfer_encoding:
        payload = _dechunk(payload)
    if "gzip" in content_encoding + transfer_encoding and payload[:2] == b"\x1f\x8b":
        payload = _inflate(payload, 31, max_bytes)
    elif "deflate" in content_encoding:
        payload = _inflate(payload, 15, max_bytes)
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


def _inflate(payload: bytes, window_bits: int, max_bytes: int) -> bytes:
    try:
        return zlib.decompressobj(window_bits).decompress(payload, max_bytes)
    except zlib.error:
        return payload
