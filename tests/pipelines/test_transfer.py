"""Chunks and compression are undone where they are there, and a body is left alone where the headers lie."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.transfer import undo_transfer

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


@pytest.mark.parametrize("body", [b"<html>plain</html>", gzip.compress(b"x" * 100)[:-30] + b"garbage" * 9])
def test_what_is_not_compressed_stays(body: bytes) -> None:
    assert undo_transfer(body, "", "gzip", LIMIT) == body


def test_compressed_and_chunked() -> None:
    body = b"<html>" + b"text " * 50
    assert undo_transfer(chunked(gzip.compress(body), 20), "chunked", "gzip", LIMIT) == body
    assert undo_transfer(zlib.compress(body), "", "deflate", LIMIT) == body


def test_a_bomb_is_bounded() -> None:
    assert len(undo_transfer(gzip.compress(b"\0" * 50_000_000), "", "gzip", LIMIT)) == LIMIT


@given(
    st.binary(max_size=200), st.sampled_from(["", "chunked", "gzip"]), st.sampled_from(["", "gzip", "deflate", "br"])
)
def test_no_body_breaks_it(body: bytes, transfer: str, content: str) -> None:
    assert len(undo_transfer(body, transfer, content, 1000)) <= max(1000, len(body))
