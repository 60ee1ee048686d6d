"""Files of texts, decompressed as they are read. Where one is damaged, reading goes on at its next part.

Parts are what was compressed as a unit: gzip's members, the streams of bzip2 and xz, frames of zstd
(https://www.rfc-editor.org/rfc/rfc8878#section-3.1).
"""

import bz2
import io
import lzma
import mmap
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from fastwarc.stream_io import ZstdReader

CHUNK_BYTES = 1 << 17
_FIRST_STEP = 1 << 10  # what is behind a part is copied at each: so it is given in small steps
_MAX_XZ_MEMORY = 256 << 20  # LZMAFile takes as much as a file asks for, up to 4 GB; xz -9 takes 65 MB
_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)
_MAX_DAMAGED = 1000  # parts of a file
_MAX_LOOKS = 20_000  # at what may begin a part, in one file
_BEGIN_BYTES = 1 << 10  # that a part has to give, or its end, to be taken for one
_PADDING = re.compile(rb"\0*+")

Content = mmap.mmap | bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """A part that could not be read to its end, and where reading goes on, if anywhere.

    `given` bytes of it had come before.
    """

    place: int
    error: str
    following: int | None
    given: int


class _Kind(NamedTuple):
    begin: "re.Pattern[bytes]"
    read: Callable[[Content, int], Iterator[bytes | int]]  # chunks of the part at a place, and then its end
    block_bytes: int = 1 << 18  # of which a reader needs no more to give something; zstd's blocks have 128 kB


def _by(decompressor: Callable[[], Any]) -> Callable[[Content, int], Iterator[bytes | int]]:
    def read(content: Content, place: int) -> Iterator[bytes | int]:
        part, step = decompressor(), _FIRST_STEP
        while not part.eof:
            if not (data := content[place : place + step]):
                raise EOFError("the file ends before its end-of-stream marker")
            place, step = place + len(data), min(2 * step, CHUNK_BYTES)
            while not part.eof and (chunk := part.decompress(data, CHUNK_BYTES)):
                yield chunk
                data = getattr(part, "unconsumed_tail", b"")
        yield place - len(part.unused_data)

    return read


class _Frame:
    """A frame of zstd, to be read up to its end, which the sizes of its blocks tell."""

    def __init__(self, content: Content, place: int) -> None:
        self._content, self._place = content, place
        if content[place + 1 : place + 4] == b"\x2a\x4d\x18":  # one to be skipped
            self._known, self._is_last = place + 8 + int.from_bytes(content[place + 4 : place + 8], "little"), True
            return
        [descriptor] = content[place + 4 : place + 5] or b"\0"
        is_single, self._checksum_bytes = descriptor & 0x20, descriptor & 0x04
        size_bytes = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
        self._known = place + (5 if is_single else 6) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
        self._is_last = False

    def read(self, size: int) -> bytes:
        if self._place >= self._known and not self._is_last:
            header = int.from_bytes(self._content[self._place : self._place + 3], "little")
            kind, block_bytes = header >> 1 & 3, header >> 3
            self._known += 3 + (1 if kind == 1 else block_bytes)  # kind 1: one byte, many times
            self._is_last = bool(header & 1)
            self._known += self._checksum_bytes if self._is_last else 0
        data = self._content[self._place : min(self._place + size, self._known)]
        self._place += len(data)
        return data

    def tell(self) -> int:
        return self._place

    def end(self) -> int:
        """Raises EOFError where that is behind the file's end."""
        while self.read(CHUNK_BYTES):
            continue
        if not self._is_last or self._place < self._known:
            raise EOFError("the file ends in a frame")
        return self._place


def _read_frame(content: Content, place: int) -> Iterator[bytes | int]:
    frame = _Frame(content, place)
    stream = ZstdReader(cast(BinaryIO, frame))
    while chunk := stream.read(CHUNK_BYTES):
        yield bytes(chunk)
    yield frame.end()


_KINDS = {
    ".gz": _Kind(re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"), _by(lambda: zlib.decompressobj(31))),
    ".bz2": _Kind(re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), _by(bz2.BZ2Decompressor), 1 << 20),
    ".xz": _Kind(re.compile(rb"\xfd7zXZ\x00\x00"), _by(lambda: lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY))),
    ".zst": _Kind(re.compile(rb"\x28\xb5\x2f\xfd"), _read_frame),
}


def decompressed(path: Path, raw: BinaryIO) -> Iterator[bytes | Damage]:
    """Yield the content of a file by chunks, and what was damaged in it, each said behind what came of it."""
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        while data := raw.read(CHUNK_BYTES):
            yield data
        return
    if not raw.read(1):
        return
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield from _parts(content, kind)


def _parts(content: mmap.mmap, kind: _Kind) -> Iterator[bytes | Damage]:
    place = damaged = 0
    looks = iter(range(_MAX_LOOKS))
    while place < len(content):
        given, end = 0, place
        try:
            for item in kind.read(content, place):
                if isinstance(item, int):
                    end = item
                else:
                    given += len(item)
                    yield item
        except _ERRORS as error:
            damaged += 1
            following = _next_part(content, kind, place + 1, looks) if damaged <= _MAX_DAMAGED else None
            yield Damage(place, str(error), following, given)
            if following is None:
                return
            place = following
        else:
            place = _PADDING.match(content, end).end()  # type: ignore[union-attr]


def _next_part(content: mmap.mmap, kind: _Kind, start: int, looks: Iterator[int]) -> int | None:
    for found in kind.begin.finditer(content, start):
        if next(looks, None) is None:
            break
        if _begins(content, kind, found.start()):
            return found.start()
    return None


def _begins(content: mmap.mmap, kind: _Kind, place: int) -> bool:
    """Tell whether something can be read at a place that looks like the beginning of a part.

    Not by more than a block: a gzip header can have a name without end, and each place in that name be another header.
    """
    given = 0
    try:
        for item in kind.read(content[place : place + kind.block_bytes], 0):
            given += _BEGIN_BYTES if isinstance(item, int) else len(item)
            if given >= _BEGIN_BYTES:
                return True
    except _ERRORS:
        return False
    return False


class _Reader(io.RawIOBase):
    """Chunks as a file; each damage ends a line, and is kept in `damage`."""

    def __init__(self, chunks: Iterator[bytes | Damage], damage: list[Damage]) -> None:
        self._chunks, self._damage, self._left = chunks, damage, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            item = next(self._chunks, None)
            if item is None:
                return 0
            if isinstance(item, Damage):
                self._damage.append(item)
                item = b"\n"
            self._left = item
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def as_file(path: Path, raw: BinaryIO, damage: list[Damage]) -> BinaryIO:
    """Return what `decompressed` gives, as a file of which each damage ends a line, and is appended to `damage`."""
    return io.BufferedReader(_Reader(decompressed(path, raw), damage), CHUNK_BYTES)
