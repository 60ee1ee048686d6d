"""The rows of files of texts, JSON and plain, in each compression: one that is damaged costs itself where that can be.

What a row decompresses to is bounded, whatever the file says: nothing is held that is longer than a text may be.
"""

import bz2
import codecs
import gzip
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from fastwarc.stream_io import ZstdReader

from pipelines.read_warc import ReadFailure
from storage.errors import InputError

# A row, why it cannot be read (unreadable, oversize), or where the file breaks.
Row = Mapping[str, Any] | str | ReadFailure

URL = "url"  # the field that holds the address where a source names none

BYTES_OF_UTF8, _BYTES_OF_CHARACTER = 4, 6  # at most: in UTF-8, and in JSON, where it may be \uXXXX
_BESIDE_THE_TEXT = 65536  # bytes of a row: its other fields
_CHUNK_BYTES = 1 << 17
_MAX_XZ_MEMORY = 256 << 20  # xz -9 takes 65 MB
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_BREAKS = (OSError, EOFError, zlib.error, lzma.LZMAError)  # of a compressed file
_BETWEEN = re.compile(r"[\s,]*+")
_NEXT_ELEMENT = re.compile(r"\}\s*+,\s*+\{")
_LONGEST_TOKEN = 16  # characters that JSON's parser may need to see together, such as \uXXXX\uXXXX
_MAX_DAMAGED = 20  # elements of an array: each may make the whole buffer be looked at


class _Reader(io.RawIOBase):
    """A file decompressed by zstd or xz as Python's own classes do it: streams one after the other."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _xz(raw: BinaryIO) -> Iterator[bytes]:
    """LZMAFile takes as much memory as a file asks for: up to 4 GB."""
    data = b""
    while data or (data := raw.read(_CHUNK_BYTES)):
        decompressor = lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)
        while not decompressor.eof:
            yield decompressor.decompress(data, _CHUNK_BYTES)
            data = b"" if not decompressor.needs_input else raw.read(_CHUNK_BYTES)
            if not data and decompressor.needs_input:
                raise EOFError("the file ends before its end-of-stream marker")
        data = decompressor.unused_data.lstrip(b"\0")  # padding


def _opened(path: Path, raw: BinaryIO) -> BinaryIO:
    """What a file holds, decompressed as it is read."""
    ending = path.suffix.lower()
    if ending == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if ending == ".bz2":
        return cast(BinaryIO, bz2.BZ2File(raw))
    if ending == ".xz":
        chunks = _xz(raw)
        left = b""

        def read(size: int) -> bytes:
            nonlocal left
            while not left and (chunk := next(chunks, None)) is not None:
                left = chunk
            found, left = left[:size], left[size:]
            return found

        return io.BufferedReader(_Reader(read), _CHUNK_BYTES)
    if ending == ".zst":
        return io.BufferedReader(_Reader(ZstdReader(raw).read), _CHUNK_BYTES)
    return raw


def json_rows(path: Path, max_bytes: int) -> Iterator[Row]:
    """The objects of a file of JSON lines, or of one array."""
    limit = _BYTES_OF_CHARACTER * max_bytes + _BESIDE_THE_TEXT
    with path.open("rb") as raw:
        stream = _opened(path, raw)
        rows = _first_rows(path, stream, limit)
        while True:
            try:
                row = next(rows, None)
            except _BREAKS as error:
                yield ReadFailure(raw.tell(), f"{error}: the rows from there on are lost")
                return
            if row is None:
                return
            yield row


def _first_rows(path: Path, stream: BinaryIO, limit: int) -> Iterator[Row]:
    line = stream.readline(limit).removeprefix(b"\xef\xbb\xbf")
    while line and not line.strip():
        line = stream.readline(limit)
    if line.lstrip().startswith(b"["):
        yield from _array(line, stream, limit)
        return
    if line.strip() == b"{":
        raise InputError(
            f"{path} is one JSON object over many lines: write each document as an object in one line, or all of them "
            "as one array"
        )
    while line:
        if len(line) == limit and not line.endswith(b"\n"):
            while (rest := stream.readline(limit)) and not rest.endswith(b"\n"):
                continue
            yield "oversize"
        elif line.strip():
            yield _parse(line)
        line = stream.readline(limit)


def _parse(line: bytes) -> Mapping[str, Any] | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "unreadable"
    return row if isinstance(row, dict) else "unreadable"


def _array(start: bytes, stream: BinaryIO, limit: int) -> Iterator[Row]:
    """The elements of an array, one after the other. Behind a damaged one, what looks like the next is looked for."""
    decoder, to_text = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")("surrogateescape")
    buffer, place, damaged = to_text.decode(start), 0, 0
    place = buffer.index("[") + 1
    ended = False

    def read_on() -> None:
        nonlocal buffer, place, ended
        data = stream.read(max(_CHUNK_BYTES, len(buffer) - place))  # twice as much each time: linear in all
        ended = not data
        buffer, place = buffer[place:] + to_text.decode(data, ended), 0

    while True:
        place = _BETWEEN.match(buffer, place).end()  # type: ignore[union-attr]
        if place == len(buffer):
            if ended:
                raise EOFError("the array does not end")
            read_on()
            continue
        if buffer[place] == "]":
            return
        try:
            value, end = decoder.raw_decode(buffer, place)
        except (ValueError, RecursionError) as error:
            # What ends too early may go on in what was not read yet.
            at_end = getattr(error, "pos", 0) >= len(buffer) - _LONGEST_TOKEN or "Unterminated" in str(error)
            if at_end and not ended and len(buffer) - place < limit:
                read_on()
                continue
            damaged += 1
            yield "oversize" if len(buffer) - place >= limit else "unreadable"
            while (following := _NEXT_ELEMENT.search(buffer, place)) is None and not ended:
                place = max(len(buffer) - _LONGEST_TOKEN, place)
                read_on()
            if following is None and buffer.rstrip().endswith("]"):
                return
            if following is None or damaged > _MAX_DAMAGED:
                raise EOFError(f"{damaged} elements of the array are damaged ({error})") from None
            place = following.end() - 1
            continue
        yield value if isinstance(value, dict) and _is_utf8(buffer[place:end]) else "unreadable"
        place = end


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_text(path: Path, text_field: str, max_bytes: int) -> Iterator[Row]:
    """A file of text, which is one document: UTF-8, or UTF-16 with a byte order mark."""
    with path.open("rb") as raw:
        try:
            content = _opened(path, raw).read(BYTES_OF_UTF8 * max_bytes + 1)
        except _BREAKS as error:
            yield ReadFailure(raw.tell(), f"{error}: the text is lost")
            return
    mark = next((mark for mark in _BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    try:
        yield {text_field: content[len(mark) :].decode(_BYTE_ORDER_MARKS.get(mark, "utf-8"))}
    except UnicodeDecodeError:
        yield "oversize" if len(content) > BYTES_OF_UTF8 * max_bytes else "unreadable"
