"""Chunks and compression are undone where they are there, and a body is left alone where the headers lie."""

import gzip
import io
import zlib
from collections.abc import Callable
from contextlib import suppress

import pytest
from fastwarc.stream_io import BrotliWriter, ZstdWriter
from hypothesis import given
from hypothesis import strategies as st

from pipelines.pages.warc.http_body import BodyTooLarge, undo_transfer

LIMIT = 1_000_000


def chunked(body: bytes, size: int, end: bytes = b"0\r\n\r\n") -> bytes:
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + end


@given(st.binary(min_size=1, max_size=400), st.integers(1, 100), st.sampled_from([b"0\r\n\r\n", b""]))
def test_chunks(body: bytes, size: int, end: bytes) -> None:
    assert undo_transfer(chunked(body, size, end), "chunked", "", LIMIT) == body


@pytest.mark.parametrize("body", [b"<html>not chunked at all</html>", b"12 monkeys\r\nis a film", b"", b"5\r\nabc<p>"])
def test_what_is_not_chunked_stays(body: bytes) -> None:
    assert undo_transfer(body, "chunked", "", LIMIT) in (body, b"abc<p>")


@pytest.mark.parametrize("body", [b"<html>plain</html>", gzip.compress(b"x" * 100, mtime=0)[:-10] + b"garbage" * 9])
def test_what_is_not_compressed_stays(body: bytes) -> None:
    assert undo_transfer(body, "", "gzip", LIMIT) == body


def test_compressed_and_chunked() -> None:
    body = b"<html>" + b"text " * 50
    assert undo_transfer(chunked(gzip.compress(body), 20), "chunked", "gzip", LIMIT) == body
    assert undo_transfer(zlib.compress(body), "", "deflate", LIMIT) == body


def compressed(writer: type, body: bytes) -> bytes:
    buffer = io.BytesIO()
    with writer(buffer) as stream:
        stream.write(body)
    return buffer.getvalue()


def raw_deflate(body: bytes) -> bytes:
    compress = zlib.compressobj(wbits=-15)
    return compress.compress(body) + compress.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": lambda body: gzip.compress(body[:10]) + gzip.compress(body[10:]),
    "deflate": zlib.compress,
    "br": lambda body: compressed(BrotliWriter, body),
    "zstd": lambda body: compressed(ZstdWriter, body),
}


@pytest.mark.parametrize("coding", ENCODERS)
def test_every_coding(coding: str) -> None:
    body = b"<html>" + b"text " * 50
    assert undo_transfer(ENCODERS[coding](body), "", coding, LIMIT) == body
    assert undo_transfer(body, "", coding, LIMIT) == body  # stored decoded, under the header of the transfer


def test_codings_one_over_the_other_and_deflate_without_a_header() -> None:
    body = b"<html>" + b"text " * 50
    assert undo_transfer(zlib.compress(gzip.compress(body)), "", "gzip, deflate", LIMIT) == body
    assert undo_transfer(raw_deflate(body), "", "deflate", LIMIT) == body


def test_packed_otherwise_than_the_header_says() -> None:
    body = b"<html>" + bytes(range(256)) * 2000
    packed, twice = gzip.compress(body), gzip.compress(gzip.compress(body))
    for content, coding in ((packed, ""), (twice, "gzip"), (packed, "deflate"), (zlib.compress(body), "gzip")):
        assert undo_transfer(content, "", coding, LIMIT) == body


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_a_wrong_checksum_costs_nothing(pack: Callable[[bytes], bytes]) -> None:
    body = b"<html>" + b"".join(b"%d " % number for number in range(100_000))
    packed, coding = pack(body), "gzip" if pack is gzip.compress else "deflate"
    for place in (4, 8) if coding == "gzip" else (4,):
        wrong = bytearray(packed)
        wrong[-place] ^= 1
        assert undo_transfer(bytes(wrong), "", coding, LIMIT) == body
        with pytest.raises(BodyTooLarge):
            undo_transfer(bytes(wrong), "", coding, len(body) - 1)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_bounded(coding: str) -> None:
    with pytest.raises(BodyTooLarge):
        undo_transfer(ENCODERS[coding](b"\0" * 50_000_000), "", coding, LIMIT)


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=30), st.binary(max_size=20))
def test_members_of_any_size(parts: list[bytes], padding: bytes) -> None:
    body = b"".join(map(gzip.compress, parts)) + b"\0" + padding
    assert undo_transfer(body, "", "gzip", LIMIT) == b"".join(parts)


def test_too_many_members_are_left_as_they_are() -> None:
    body = gzip.compress(b"", mtime=0) * 20_000
    assert undo_transfer(body, "", "gzip", LIMIT) is body


@given(
    st.binary(max_size=200),
    st.sampled_from(["", "chunked", "gzip"]),
    st.sampled_from(["", "gzip", "deflate", "br, zstd"]),
)
def test_no_body_breaks_it(body: bytes, transfer: str, content: str) -> None:
    with suppress(BodyTooLarge):
        assert len(undo_transfer(body, transfer, content, 1000)) <= max(1000, len(body))
