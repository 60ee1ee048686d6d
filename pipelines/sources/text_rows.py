"""The rows of files of texts, JSON and plain, in each compression: one that is damaged costs itself where that can be.

What a row decompresses to is bounded, whatever the file says: nothing is held that is longer than a text may be.
"""

import codecs
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pipelines.sources.compressed_text import CHUNK_BYTES, Damage, as_file, decompressed
from pipelines.sources.errors import ReadFailure
from storage.errors import InputError

# A row, why it cannot be read (unreadable, oversize), or where the file breaks.
Row = Mapping[str, Any] | str | ReadFailure

URL = "url"  # the field that holds the address where a source names none

BYTES_OF_UTF8, _BYTES_OF_CHARACTER = 4, 6  # at most: in UTF-8, and in JSON, where it may be \uXXXX
_BESIDE_THE_TEXT = 65536  # bytes of a row: its other fields
_CONTINUATION_BYTES = bytes(range(0x80, 0xC0))  # of UTF-8: no character begins with one
_BYTE_ORDER_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_BETWEEN = re.compile(r"[\s,]*+")
_NEXT_ELEMENT = re.compile(r"\}\s*+,\s*+\{")
_LONGEST_TOKEN = 16  # characters that JSON's parser may need to see together, such as \uXXXX\uXXXX
_MAX_DAMAGED = 20  # elements of an array: each may make the whole buffer be looked at


def json_rows(path: Path, max_bytes: int) -> Iterator[Row]:
    """Yield the objects of a file of JSON lines, or of one array."""
    limit = _BYTES_OF_CHARACTER * max_bytes + _BESIDE_THE_TEXT
    damage: list[Damage] = []
    with path.open("rb") as raw:
        rows: Iterator[Row | None] = _first_rows(path, as_file(path, raw, damage), limit)
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


def _failure(damage: Damage) -> ReadFailure:
    rest = "the rest is lost" if damage.following is None else f"reading goes on at byte {damage.following}"
    return ReadFailure(damage.place, f"{damage.error}, in what is compressed from byte {damage.place} on: {rest}")


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
    """Also what is an element of an array, of which damage took the beginning."""
    try:
        row = json.loads(line.rstrip(b" \t\r\n,]"))
    except (ValueError, RecursionError):
        return "unreadable"
    return row if isinstance(row, dict) else "unreadable"


def _array(start: bytes, stream: BinaryIO, limit: int) -> Iterator[Row]:
    """Yield the elements of an array, one after the other. Behind a damaged one, what looks like the next is looked
    for.
    """
    decoder, to_text = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")("surrogateescape")
    buffer, place, damaged = to_text.decode(start), 0, 0
    place = buffer.index("[") + 1
    ended = False

    def read_on() -> None:
        nonlocal buffer, place, ended
        data = stream.read(max(CHUNK_BYTES, len(buffer) - place))  # twice as much each time: linear in all
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
    """Yield a file of text, which is one document: UTF-8, or UTF-16 with a byte order mark.

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
        yield {text_field: _joined(pieces) if encoding == "utf-8" else b"".join(pieces).decode(encoding)}
    except UnicodeDecodeError:
        yield "unreadable"


def _joined(pieces: list[bytes]) -> str:
    """The text of pieces between which something is lost, perhaps from within a character."""
    last = len(pieces) - 1
    whole = []
    for number, piece in enumerate(pieces):
        piece = piece.lstrip(_CONTINUATION_BYTES) if number else piece
        whole.append(codecs.getincrementaldecoder("utf-8")().decode(piece, final=number == last))
    return "\n\n".join(whole)
