"""Frames of zstd and lz4 by the sizes that they state, so where each ends; the dictionary that a file may begin with.

https://www.rfc-editor.org/rfc/rfc8878#section-3.1, https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import xxhash
from fastwarc.stream_io import ZstdReader

from storage.errors import InputError

# https://iipc.github.io/warc-specifications/specifications/warc-zstd/: in the first frame, which others skip. Those of
# zstd have 110 kB by default.
DICTIONARY_MAGIC, MAX_DICTIONARY_BYTES = b"\x5d\x2a\x4d\x18", 16 << 20
ZSTD_MAGIC, LZ4_MAGIC = b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
# What a frame refers back to has to be held in memory: libzstd reads no more either, unless it is told to (--long).
MAX_ZSTD_WINDOW = 1 << 27
_SKIPPABLE = b"\x2a\x4d\x18"  # behind a byte from 0x50 to 0x5f
_CHUNK_BYTES = 1 << 17
_INDEPENDENT, _BLOCK_CHECKSUM, _SIZE, _CHECKSUM, _DICTIONARY = 0x20, 0x10, 0x08, 0x04, 0x01  # flags of lz4


class Content(Protocol):
    """Bytes that can be cut between two places: a file in memory, bytes, or a window of them."""

    def __getitem__(self, part: slice, /) -> bytes: ...

    def __len__(self) -> int: ...


class Window:
    """At most `size` bytes of a content from a place on, which are copied as far as they are asked for."""

    def __init__(self, content: Content, place: int, size: int) -> None:
        self._content, self._place, self._end = content, place, min(place + size, len(content))

    def __getitem__(self, part: slice, /) -> bytes:
        return self._content[self._place + part.start : min(self._place + part.stop, self._end)]

    def __len__(self) -> int:
        return self._end - self._place


class Frame(ABC):
    """A frame, to be read as a file that ends where it ends. It is a kind's own how long each block is."""

    def __init__(self, content: Content, place: int) -> None:
        self._content, self._place = content, place
        self._is_skipped = self._is_last = content[place + 1 : place + 4] == _SKIPPABLE
        self._known = place + 8 + self._number(place + 4, 4) if self._is_skipped else self._behind_header(place)
        self._first = self._known  # block; how far sizes are told is _known

    def read(self, size: int) -> bytes:
        while self._place >= self._known and not self._is_last:
            self._known, self._is_last = self._behind_block(self._known)
        data = self._content[self._place : min(self._place + size, self._known)]
        self._place += len(data)
        return data

    def tell(self) -> int:
        return self._place

    def end(self) -> int:
        """Raise EOFError where that is behind the file's end."""
        while self.read(_CHUNK_BYTES):
            continue
        if not self._is_last or self._place < self._known:
            raise EOFError("the file ends in a frame")
        return self._place

    @abstractmethod
    def _behind_header(self, place: int) -> int:
        """Return where the first block begins."""

    @abstractmethod
    def _behind_block(self, place: int) -> tuple[int, bool]:
        """Return where the block at a place ends, with what follows the last one; whether it is the last."""

    def _number(self, place: int, size: int) -> int:
        data = self._content[place : place + size]
        if len(data) < size:
            raise EOFError("the file ends in a frame")
        return int.from_bytes(data, "little")


class ZstdFrame(Frame):
    """`window_bytes`: how much memory it takes to read it; 0 for a frame that is skipped."""

    window_bytes = 0

    def _behind_header(self, place: int) -> int:
        descriptor = self._number(place + 4, 1)
        is_single, self._checksum_bytes = descriptor & 0x20, descriptor & 0x04
        size_bytes = (1 if is_single else 0, 2, 4, 8)[descriptor >> 6]
        behind = place + (5 if is_single else 6) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
        window = self._number(place + 5, 1)
        self.window_bytes = (
            self._number(behind - size_bytes, size_bytes) if is_single else (8 + (window & 7)) << 7 + (window >> 3)
        )
        return behind

    def _behind_block(self, place: int) -> tuple[int, bool]:
        header = self._number(place, 3)
        kind, block_bytes = header >> 1 & 3, header >> 3
        place += 3 + (1 if kind == 1 else block_bytes)  # kind 1: one byte, many times
        return (place + self._checksum_bytes, True) if header & 1 else (place, False)


class Lz4Frame(Frame):
    def _behind_header(self, place: int) -> int:
        self._begin = place
        self._flags, sizes = self._number(place + 4, 1), self._number(place + 5, 1) >> 4 & 7
        if self._flags >> 6 != 1 or sizes < 4:
            raise OSError("no frame of lz4 is there")
        self._max_block_bytes = 1 << 2 * sizes + 8
        return place + 7 + (8 if self._flags & _SIZE else 0) + (4 if self._flags & _DICTIONARY else 0)

    @property
    def has_own_blocks(self) -> bool:
        """Tell whether each block can be read without those before it."""
        return not self._is_skipped and bool(self._flags & _INDEPENDENT) and not self._flags & _DICTIONARY

    def _behind_block(self, place: int) -> tuple[int, bool]:
        size = self._number(place, 4) & 0x7FFFFFFF  # the highest bit: it is not compressed
        if size == 0:
            return place + 4 + (4 if self._flags & _CHECKSUM else 0), True
        if size > self._max_block_bytes:
            raise OSError("a block of lz4 is longer than its frame allows")
        return place + 4 + size + (4 if self._flags & _BLOCK_CHECKSUM else 0), False

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield where each block begins and ends."""
        place = self._first
        while True:
            end, is_last = self._behind_block(place)
            if is_last:
                return
            yield place, end
            place = end

    def of_one_block(self, place: int, end: int) -> bytes:
        """Return a frame that holds a single block of this one."""
        flags = self._flags & ~(_SIZE | _CHECKSUM)
        descriptor = bytes([flags]) + self._content[self._begin + 5 : self._begin + 6]
        check = xxhash.xxh32_intdigest(descriptor) >> 8 & 0xFF
        return LZ4_MAGIC + descriptor + bytes([check]) + self._content[place:end] + bytes(4)


def refuse_wide_window(path: Path, content: Content) -> None:
    """Raise InputError where a file begins with a frame of zstd that takes more memory than MAX_ZSTD_WINDOW."""
    if content[0:4] not in (ZSTD_MAGIC, DICTIONARY_MAGIC):
        return
    try:
        frame = ZstdFrame(content, 0)
        if content[0:4] == DICTIONARY_MAGIC:
            frame = ZstdFrame(content, frame.end())
    except (OSError, EOFError):  # said where it is read
        return
    if frame.window_bytes > MAX_ZSTD_WINDOW:
        raise InputError(
            f"{path} was compressed by zstd with a window of {frame.window_bytes >> 20:,} MB (--long), and at most "
            f"{MAX_ZSTD_WINDOW >> 20} MB are read: write it again by `zstd -dc --long=31 FILE | zstd -o OTHER`"
        )


def dictionary_frame(content: Content) -> bytes:
    """Return the dictionary that a zstd file begins with, decompressed; b"" if it has none.

    Raises OSError where it is damaged or larger than MAX_DICTIONARY_BYTES.
    """
    start = content[0:8]
    if start[:4] != DICTIONARY_MAGIC:
        return b""
    data = content[8 : 8 + min(int.from_bytes(start[4:], "little"), MAX_DICTIONARY_BYTES + 1)]
    if data[:4] == ZSTD_MAGIC:
        reader, data = ZstdReader(io.BytesIO(data)), b""
        while len(data) <= MAX_DICTIONARY_BYTES and (chunk := reader.read(_CHUNK_BYTES)):
            data += chunk
    if len(data) > MAX_DICTIONARY_BYTES:
        raise OSError(f"its dictionary has more than {MAX_DICTIONARY_BYTES >> 20} MB")
    return data
