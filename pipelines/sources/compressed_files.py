"""Compressed files part by part, as they are read. Where one is damaged, reading goes on at its next part.

Parts are what was compressed as a unit: gzip's members, the streams of bzip2 and xz, frames of zstd and lz4, and of
those the blocks where each stands for itself.
"""

import bz2
import codecs
import io
import lzma
import mmap
import re
import sys
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from fastwarc.stream_io import Lz4Reader, ZstdReader

from pipelines.sources.compressed_frames import (
    LZ4_MAGIC,
    ZSTD_MAGIC,
    Content,
    Lz4Frame,
    Window,
    ZstdFrame,
    refuse_wide_window,
)

CHUNK_BYTES = 1 << 17
_FIRST_STEP = 1 << 10  # what is behind a part is copied at each: so it is given in small steps
_MAX_XZ_MEMORY = 256 << 20  # LZMAFile takes as much as a file asks for, up to 4 GB; xz -9 takes 65 MB
ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError)
_MAX_DAMAGED = 1000  # parts of a file
MAX_LOOKS = 20_000  # at what may begin a part and does not, in one file
_BEGIN_BYTES = 1 << 10  # that a part has to give, or its end, to be taken for one
_CAREFUL_STEPS = (1 << 9, 1)  # bytes at a time, where a part is known to be damaged
_PADDING = re.compile(rb"\0*+")
_START_BYTES = 64
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Damage:
    """A part that could not be read to its end, and where reading goes on, if anywhere.

    `given` bytes of it had come before.
    """

    place: int
    error: str
    following: int | None
    given: int


Item = bytes | Damage | int


class _Read(Protocol):
    """Chunks of the part at a place, damage within it that does not end it, and then where it ends.

    The first `sure` bytes come by CHUNK_BYTES, the others by `step`: a reader keeps to itself what it made in the step
    that met damage.
    """

    def __call__(self, content: Content, place: int, sure: int = ..., step: int = ...) -> Iterator[Item]: ...


class Kind(NamedTuple):
    begin: "re.Pattern[bytes]"
    read: _Read
    block_bytes: int = 1 << 18  # of which a reader needs no more to give something; zstd's blocks have 128 kB
    padding: int = 0  # bytes, of which a multiple, all zero, may stand between parts


def _size(given: int, sure: int, step: int) -> int:
    return min(CHUNK_BYTES, sure - given) if given < sure else step


def _by(decompressor: Callable[[], Any]) -> _Read:
    def read(content: Content, place: int, sure: int = sys.maxsize, step: int = CHUNK_BYTES) -> Iterator[Item]:
        part, taken, given = decompressor(), _FIRST_STEP, 0
        while not part.eof:
            if not (data := content[place : place + taken]):
                raise EOFError("the file ends before its end-of-stream marker")
            place, taken = place + len(data), min(2 * taken, CHUNK_BYTES)
            while not part.eof and (chunk := part.decompress(data, _size(given, sure, step))):
                given += len(chunk)
                yield chunk
                data = getattr(part, "unconsumed_tail", b"")
        yield place - len(part.unused_data)

    return read


def _read_all(reader: Any, sure: int, step: int) -> Iterator[bytes]:
    given = 0
    while chunk := reader.read(_size(given, sure, step)):
        given += len(chunk)
        yield bytes(chunk)


def _read_zstd(
    content: Content, place: int, sure: int = sys.maxsize, step: int = CHUNK_BYTES, *, dictionary: bytes = b""
) -> Iterator[Item]:
    frame = ZstdFrame(content, place)
    yield from _read_all(ZstdReader(cast(BinaryIO, frame), dictionary=dictionary or None), sure, step)
    yield frame.end()


def _read_lz4(content: Content, place: int, sure: int = sys.maxsize, step: int = CHUNK_BYTES) -> Iterator[Item]:
    frame, given = Lz4Frame(content, place), 0
    try:
        for chunk in _read_all(Lz4Reader(cast(BinaryIO, frame)), sure, step):
            given += len(chunk)
            yield chunk
    except OSError:
        if not (frame.has_own_blocks and (yield from _blocks_around_damage(frame, given))):
            raise
    yield frame.end()


def _blocks_around_damage(frame: Lz4Frame, given: int) -> Generator[Item, None, bool]:
    """Yield what the blocks of a frame hold behind the first `given` bytes; whether it is one of them that is damaged.

    Raises OSError or EOFError where it is their sizes.
    """
    came, is_damaged = 0, False
    for begin, end in list(frame.blocks()):
        try:
            block = b"".join(_read_all(Lz4Reader(io.BytesIO(frame.of_one_block(begin, end))), 0, CHUNK_BYTES))
        except OSError as error:
            yield Damage(begin, str(error), end, 0)
            given, is_damaged = 0, True
        else:
            came += len(block)
            if came > given:
                yield block[max(given - came, -len(block)) :]
                given = came
    return is_damaged


_KINDS = {
    ".gz": Kind(re.compile(rb"\x1f\x8b\x08[\x00-\x1f]"), _by(lambda: zlib.decompressobj(31))),
    ".bz2": Kind(re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), _by(bz2.BZ2Decompressor), 1 << 20),
    ".xz": Kind(
        re.compile(rb"\xfd7zXZ\x00\x00"), _by(lambda: lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)), padding=4
    ),
    ".zst": Kind(re.compile(re.escape(ZSTD_MAGIC)), _read_zstd),
    ".lz4": Kind(re.compile(re.escape(LZ4_MAGIC)), _read_lz4, 5 << 20),
}


def kind_of(suffix: str, dictionary: bytes = b"") -> Kind:
    """Return how files of a suffix are read, in which case `dictionary` is that of zstd's frames."""
    kind = _KINDS[suffix]
    return kind._replace(read=partial(_read_zstd, dictionary=dictionary)) if dictionary else kind


def _kind_of_content(path: Path, start: bytes) -> Kind | None:
    """Return how a file is compressed, given its first bytes; None where it is not.

    Names tell it, but for what a program unpacked or packed on its way and left under its name.
    """
    by_name = _KINDS.get(path.suffix.lower())
    if by_name and by_name.begin.match(start):
        return by_name
    if found := next((kind for kind in _KINDS.values() if kind.begin.match(start)), None):
        return found
    return None if _is_text(start) else by_name


def _is_text(start: bytes) -> bool:
    try:
        return _CONTROLS.search(codecs.getincrementaldecoder("utf-8")().decode(start)) is None
    except UnicodeDecodeError:
        return False


def decompressed(path: Path, raw: BinaryIO) -> Iterator[bytes | Damage]:
    """Yield the content of a file by chunks, and what was damaged in it, each said behind what came of it.

    Raises InputError where zstd would take too much memory.
    """
    kind = _kind_of_content(path, raw.read(_START_BYTES))
    raw.seek(0)
    if kind is None:
        while data := raw.read(CHUNK_BYTES):
            yield data
        return
    if not raw.read(1):
        return
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for item in parts(content, kind):
            if isinstance(item, Damage) and item.following is None and item.given == 0:
                refuse_wide_window(path, content)
            yield item


def parts(content: mmap.mmap, kind: Kind, place: int = 0, to_damage: bool = False) -> Iterator[bytes | Damage]:
    """Yield what the parts from a place on hold, and what is damaged in them.

    to_damage: all that a damaged part gives before it is known to be damaged, of which the last may be wrong.
    """
    damaged, looks = 0, iter(range(MAX_LOOKS))
    while place < len(content):
        given, end = 0, place
        try:
            for item in kind.read(content, place):
                if isinstance(item, int):
                    end = item
                    continue
                given += len(item) if isinstance(item, bytes) else 0
                yield item
        except ERRORS as error:
            for chunk in _up_to_damage(content, kind, place, given) if to_damage else ():
                given += len(chunk)
                yield chunk
            damaged += 1
            following = next_part(content, kind, place + 1, looks) if damaged <= _MAX_DAMAGED else None
            yield Damage(place, str(error), following, given)
            if following is None:
                return
            place = following
        else:
            place = behind_padding(content, end)
            is_padding = kind.padding and (place - end) % kind.padding == 0
            if end < place < len(content) and not is_padding:
                yield Damage(end, "zero bytes stand there", place, 0)


def _up_to_damage(content: Content, kind: Kind, place: int, given: int) -> Iterator[bytes]:
    """Yield what a damaged part holds behind `given` bytes of it."""
    for step in _CAREFUL_STEPS:
        came = 0
        try:
            for item in kind.read(content, place, given, step):
                came += len(item) if isinstance(item, bytes) else 0
                if came > given and isinstance(item, bytes):
                    yield item[given - came :]
                    given = came
        except ERRORS:
            continue


def behind_padding(content: mmap.mmap, place: int) -> int:
    return _PADDING.match(content, place).end()  # type: ignore[union-attr]


def next_part(content: mmap.mmap, kind: Kind, start: int, looks: Iterator[int]) -> int | None:
    """Return the first place from `start` on at which a part begins; `looks` are those at what does not begin one."""
    for found in kind.begin.finditer(content, start):
        if beginning(content, kind, found.start()) is not None:
            return found.start()
        if next(looks, None) is None:
            break
    return None


def beginning(content: Content, kind: Kind, place: int, size: int = _BEGIN_BYTES) -> bytes | None:
    """Return the first `size` bytes, or all, of the part that begins at a place; None where none does.

    Not by more than a block: a gzip header can have a name without end, and each place in that name be another header.
    """
    data = b""
    try:
        for item in kind.read(Window(content, place, kind.block_bytes), 0, 0, size):
            if isinstance(item, Damage):
                return None
            if isinstance(item, int):
                return data
            data += item
            if len(data) >= size:
                return data[:size]
    except ERRORS:
        return None
    return None


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


def as_file(path: Path, raw: BinaryIO, damage: list[Damage]) -> io.BufferedReader:
    """Return what `decompressed` gives, as a file of which each damage ends a line, and is appended to `damage`."""
    return io.BufferedReader(_Reader(decompressed(path, raw), damage), CHUNK_BYTES)
