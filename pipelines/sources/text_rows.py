"""The rows of files of texts, JSON and plain, in each compression: one that is damaged costs itself where that can be.

What a row decompresses to is bounded, whatever the file says: nothing is held that is longer than a text may be.
"""

import codecs
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.sources.compressed_files import CHUNK_BYTES, Damage, as_file, decompressed
from pipelines.sources.retries import ReadFailure
from storage.errors import InputError

# A row, why it cannot be read (unreadable, oversize), or where the file breaks.
Row = Mapping[str, Any] | str | ReadFailure

Decode = Callable[[bytes], str | None]  # a text in a charset that nobody names; None where none fits

URL = "url"  # the field that holds the address where a source names none

BYTES_OF_UTF8, _BYTES_OF_CHARACTER = 4, 6  # at most: in UTF-8, and in JSON, where it may be \uXXXX
_BESIDE_THE_TEXT = 65536  # bytes of a row: its other fields
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))  # of UTF-8: no character begins with one
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
# Bare control characters cost no text, nor do numbers of thousands of digits, which Python refuses.
_LENIENT = json.JSONDecoder(strict=False, parse_int=lambda digits: int(digits) if len(digits) < 1000 else float(digits))
_BETWEEN = re.compile(r"[\s,]*+")
_NEXT_ELEMENT = re.compile(r"(?:\}\s*+,|\n)\s*+(?=\{)")  # a string has no line end in it: it was cut there
_LONGEST_TOKEN = 16  # characters that JSON's parser may need to see together, such as \uXXXX\uXXXX
_LONGEST_START = 1 << 10  # of an element: its bracket and first key
_MAX_REREAD = 20  # times the longest row: of damaged elements of an array, which are looked at again for the next one


def json_rows(path: Path, max_bytes: int) -> Iterator[Row]:
    """Yield the objects of a file of JSON lines, or of one array."""
    limit = _BYTES_OF_CHARACTER * max_bytes + _BESIDE_THE_TEXT
    damage: list[Damage] = []
    with path.open("rb") as raw:
        rows: Iterator[Row | None] = _first_rows(path, _in_utf8(as_file(path, raw, damage)), limit)
        while True:
            try:
                row = next(rows, None)
            except (OSError, EOFError) as error:
                ends = damage and damage[-1].following is None
                row = None if ends else ReadFailure(raw.tell(), f"{error}: the rows from there on are lost")
                rows = iter(())
            yield from map(_failure, damage)
            damage.clear()
            if row is None:
                return
            yield row


class _FromUtf16(io.RawIOBase):
    """A file in UTF-16, which Windows writes, as one in UTF-8."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, b""
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            if not (data := self._stream.read(CHUNK_BYTES)):
                return 0
            self._left = self._decoder.decode(data).encode()
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def _in_utf8(stream: io.BufferedReader) -> io.BufferedReader:
    if stream.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return io.BufferedReader(_FromUtf16(stream), CHUNK_BYTES)
    return stream


def _failure(damage: Damage) -> ReadFailure:
    rest = "the rest is lost" if damage.following is None else f"reading goes on at byte {damage.following}"
    return ReadFailure(damage.place, f"{damage.error}, in what is compressed from byte {damage.place} on: {rest}")


def _first_rows(path: Path, stream: BinaryIO, limit: int) -> Iterator[Row]:
    line = stream.readline(limit).removeprefix(b"\xef\xbb\xbf")
    while line and not line.strip():
        line = stream.readline(limit)
    if line.lstrip().startswith(b"["):
        yield from _Array(line, stream, limit).rows()
        return
    second = stream.readline(limit) if line.endswith(b"\n") and _goes_on(line) else None
    if second is not None and (_parses(line, b"0]}") or not second.lstrip().startswith(b"{")):
        raise InputError(
            f"{path} is one JSON object over many lines: write each document as an object in one line, or all of them "
            "as one array (`jq -c '.data[]' FILE > rows.jsonl` does, where they are in its field data)"
        )
    while line:
        if len(line) == limit and not line.endswith(b"\n"):
            while (rest := stream.readline(limit)) and not rest.endswith(b"\n"):
                continue
            yield "oversize"
        elif line.strip():
            yield from _parse(line)
        line, second = stream.readline(limit) if second is None else second, None


def _goes_on(line: bytes) -> bool:
    """Tell whether a line is the beginning of an object that may go on in the next one; not one cut within a value."""
    try:
        text = line.decode().strip()
        if text.startswith("{") and text.endswith(("{", "[", ",", ":")):
            _LENIENT.raw_decode(text)
    except json.JSONDecodeError as error:
        return error.pos == len(text)
    except (ValueError, RecursionError):
        return False
    return False


def _parses(line: bytes, end: bytes) -> bool:
    try:
        _LENIENT.decode((line.rstrip() + end).decode())
    except (ValueError, RecursionError):
        return False
    return True


def _parse(line: bytes) -> Iterator[Mapping[str, Any] | str]:
    """Read a line of JSON, also one that is an element of an array of which damage took the beginning.

    A line holds several objects where files were put together of which one has no line end at its end.
    """
    content = line.rstrip(b" \t\r\n,]")
    try:
        row = json.loads(content)
    except ValueError:
        yield from _parse_leniently(content)
    except RecursionError:
        yield "unreadable"
    else:
        yield row if isinstance(row, dict) else "unreadable"


def _parse_leniently(content: bytes) -> Iterator[Mapping[str, Any] | str]:
    place = 0
    try:
        text = content.decode()
        while place < len(text):
            row, place = _LENIENT.raw_decode(text, place)
            yield row if isinstance(row, dict) else "unreadable"
            place = _BETWEEN.match(text, place).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        yield "unreadable"


class _Array:
    """The elements of an array, one after the other. Behind a damaged one, what looks like the next is looked for."""

    def __init__(self, start: bytes, stream: BinaryIO, limit: int) -> None:
        self._stream, self._limit, self._left = stream, limit, _MAX_REREAD * limit
        self._decoder, self._to_text = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._buffer, self._ended = self._to_text.decode(start), False
        self._place = self._buffer.index("[") + 1
        self._next_element: re.Pattern[str] | None = None  # known by the first key of an element, as the others begin

    def rows(self) -> Iterator[Row]:
        while True:
            self._place = _BETWEEN.match(self._buffer, self._place).end()  # type: ignore[union-attr]
            if self._place == len(self._buffer):
                if self._ended:
                    raise EOFError("the array does not end")
                self._read_on()
            elif self._buffer[self._place] == "]" and self._is_end():
                return
            else:
                yield from self._element()

    def _element(self) -> Iterator[Row]:
        """Yield the element at the place, or nothing where more of it is to be read first."""
        try:
            value, end = self._decoder.raw_decode(self._buffer, self._place)
        except (ValueError, RecursionError) as error:
            size = len(self._buffer) - self._place
            is_open = "Unterminated" in str(error)  # said of a string's beginning
            read_to = len(self._buffer) if is_open else getattr(error, "pos", len(self._buffer))
            # What ends too early may go on in what was not read yet.
            if read_to >= len(self._buffer) - _LONGEST_TOKEN and not self._ended and size < self._limit:
                self._read_on()
                return
            yield "oversize" if size >= self._limit else "unreadable"
            self._left -= read_to - self._place
            self._to_next(error)
            return
        if isinstance(value, dict) and value and self._next_element is None:
            key = re.escape(json.JSONEncoder(ensure_ascii=False).encode(next(iter(value))))
            self._next_element = re.compile(rf"\}}\s*+,\s*+(?=\{{)|(?=\{{\s*+{key}\s*+:)")
        is_row = isinstance(value, dict) and _is_utf8(self._buffer[self._place : end])
        self._place = end
        yield value if is_row else "unreadable"

    def _to_next(self, error: Exception) -> None:
        pattern = self._next_element or _NEXT_ELEMENT
        self._place += 1
        while (following := pattern.search(self._buffer, self._place)) is None and not self._ended:
            self._place = max(len(self._buffer) - _LONGEST_START, self._place)
            self._read_on()
        if following is not None and self._left > 0:
            self._place = following.end()
        elif following is None and self._buffer.rstrip().endswith("]"):
            self._place = self._buffer.rindex("]")
        else:
            raise EOFError(f"too much of the array is damaged ({error})") from None

    def _is_end(self) -> bool:
        """Tell whether nothing follows the bracket at the place."""
        while not (rest := self._buffer[self._place + 1 :].strip()) and not self._ended:
            self._read_on()
        return not rest

    def _read_on(self) -> None:
        data = self._stream.read(max(CHUNK_BYTES, len(self._buffer) - self._place))  # doubled: linear in all
        self._ended = not data
        self._buffer, self._place = self._buffer[self._place :] + self._to_text.decode(data, self._ended), 0


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_text(path: Path, text_field: str, max_bytes: int, decode: Decode = lambda content: None) -> Iterator[Row]:
    """Yield a file of text, which is one document: UTF-8, UTF-16 with a byte order mark, or what `decode` makes of it.

    What was compressed with a damaged byte is left out, whole: there is no telling what of it is right.
    """
    limit = BYTES_OF_UTF8 * max_bytes
    content, seams = bytearray(), list[int]()
    with path.open("rb") as raw:
        for item in decompressed(path, raw):
            if isinstance(item, Damage):
                yield _failure(item)
                del content[len(content) - item.given :]
                seams.append(len(content))
            else:
                content += item
            if len(content) > limit:
                yield "oversize"
                return
    if seams and not content:
        return
    if seams and b"\0" in content:  # UTF-16, of which bytes are lost: which are the halves of a character?
        yield "unreadable"
        return
    mark = next((mark for mark in _BYTE_ORDER_MARKS if content.startswith(mark)), b"")
    encoding = _BYTE_ORDER_MARKS.get(mark, "utf-8")
    pieces = [bytes(content[start:end]) for start, end in zip([len(mark), *seams], [*seams, None], strict=True)]
    try:
        text: str | None = _joined(pieces) if encoding == "utf-8" else b"".join(pieces).decode(encoding)
    except UnicodeDecodeError:
        text = None if seams else decode(bytes(content))
    yield "unreadable" if text is None else {text_field: text}


def _joined(pieces: list[bytes]) -> str:
    """Return the text of pieces between which something is lost, perhaps from within a character."""
    last = len(pieces) - 1
    whole = []
    for number, piece in enumerate(pieces):
        piece = piece.lstrip(_CONTINUATION_BYTES) if number else piece
        whole.append(codecs.getincrementaldecoder("utf-8")().decode(piece, final=number == last))
    return "\n\n".join(whole)
