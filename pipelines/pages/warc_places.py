"""Where records of a damaged WARC file begin: places from which reading can go on.

Gzip members, zstd frames and lz4 frames that begin with a record, or, where no compression is, lines that begin one.
"""

import mmap
import os
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from fastwarc.stream_io import Lz4Reader, ZstdReader

MAGICS = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_READERS: dict[str, Any] = {"zstd": ZstdReader, "lz4": Lz4Reader}
_BEGIN = b"WARC/"
# Not only at a line's start: the record before may have been cut.
_HEADER = re.compile(rb"WARC/1\.[01][ \t]*\r?\n(?=[!-9;-~]+:)")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_FIELD = rb"(?im)^%b[ \t]*:[ \t]*([^\r\n]*)"
_TYPE, _LENGTH = re.compile(_FIELD % b"WARC-Type"), re.compile(_FIELD % b"Content-Length")
_HEADER_BYTES = 1 << 13  # of a header that is looked at
_CHUNK_BYTES = 1 << 16
_HEAD_BYTES = 1 << 12  # of a gzip member, in which its first bytes are told
_BLOCK_BYTES = 1 << 18  # of a frame: nothing is told before its first block is whole, of 128 kB in zstd, 64 in lz4
_STEP_BYTES = 1 << 9  # of frames that may be damaged: what a step gave before the damage is lost
_MAX_FRAMES = 4  # that may seem to begin in a record before the next one does
_OVERLAP = 64  # of chunks, between which a header may begin
MAX_OFF = 16  # bytes by which a length may be too small: no more than a compressed page's checksum is lost by it
_MAX_LOOKS = 20_000  # at what may begin a member, in one file: some microseconds each
_MAX_WHOLE_MEMBER = 1 << 20  # bytes that a member which begins in the middle of a record may have: BGZF has 64 kB
_BGZF = re.compile(rb"\x1f\x8b\x08\x04.{8}BC", re.DOTALL)  # blocks that are cut anywhere, as bgzip writes them
_PADDING = re.compile(rb"\0*+")
_MAX_PLAIN_BYTES = 32 << 30  # that a file is decompressed to beside it


class Places:
    """A file, and where in it records begin. To be closed."""

    def __init__(self, stream: BinaryIO) -> None:
        self.bytes = _content(stream)
        self._magic = next((magic for magic in MAGICS if self.bytes[: len(magic)] == magic), None)
        self.compression = None if self._magic is None else MAGICS[self._magic]
        self._looks = iter(range(_MAX_LOOKS))

    def close(self) -> None:
        self.bytes.close()

    def has_own_member(self, place: int) -> bool:
        """Tell whether one record, and no other, lies in what is compressed from `place` on as a unit."""
        if self._magic is None or _BGZF.match(self.bytes) or not self._begins(place):
            return False
        before = b""
        for chunk in self._chunks(place, self.next_record(place + 1) or len(self.bytes)):
            data = before + chunk
            if _HEADER.search(data, 0 if before else len(_BEGIN)):
                return False
            before = data[-_OVERLAP:]
        return True

    def next_record(self, start: int) -> int | None:
        """Return the first place from `start` on at which a record begins; None where none is found."""
        for place in self._candidates(start):
            if next(self._looks, None) is None:
                break
            if self._begins(place):
                return place
        return None

    def _candidates(self, start: int) -> Iterator[int]:
        if self._magic is None:
            yield from (found.start() for found in _HEADER.finditer(self.bytes, start))
            return
        place = self.bytes.find(self._magic, start)
        while place >= 0:
            yield place
            place = self.bytes.find(self._magic, place + 1)

    def leads_on(self, place: int) -> bool:
        """Tell whether records may lie in what is compressed from `place` on, although a reader got none out of it."""
        return self._begins(place) or _BGZF.match(self.bytes) is not None

    def next_unread(self, place: int) -> tuple[int | None, bool]:
        """Return where reading goes on behind the last record, which is at `place`, and whether anything between is
        lost.

        Readers take an empty member, and what is no member, for the file's end.
        """
        if self.compression == "gzip" and self.has_own_member(place):
            rest = self.behind_empty_members(self._end_of_member(place) or len(self.bytes))
            if rest == len(self.bytes):
                return None, False
            return (rest, False) if self._begins(rest) else (self.next_record(rest), True)
        if self.next_record(place + 1) is None:
            return None, False
        end = self._end_of_member(place) if self.compression == "gzip" else self.end_of_record(place)
        following = self.next_record(end) if end else None
        return following, self.compression == "gzip" and following is not None

    def behind_empty_members(self, place: int) -> int:
        while True:
            place = _PADDING.match(self.bytes, place).end()  # type: ignore[union-attr]
            data, member = self.bytes[place : place + _HEAD_BYTES], zlib.decompressobj(31)
            try:
                if not data or member.decompress(data, 1) or not member.eof:
                    return place
            except zlib.error:
                return place
            place += len(data) - len(member.unused_data)

    def _end_of_member(self, place: int) -> int | None:
        """None where it is damaged."""
        member = zlib.decompressobj(31)
        with suppress(zlib.error):
            while not member.eof and (data := self.bytes[place : place + _CHUNK_BYTES]):
                place += len(data)
                while member.decompress(data, _CHUNK_BYTES):
                    data = member.unconsumed_tail
        return place - len(member.unused_data) if member.eof else None

    def end_of_record(self, place: int) -> int | None:
        """Return where the record at `place` ends, if its length is right; None if it is not."""
        if self._magic is not None:
            end = self.next_record(place + 1) or len(self.bytes)
            # Only gzip tells where a member ends; what follows it may be a damaged one.
            frames = islice(self._candidates(place + 1), _MAX_FRAMES) if self.compression != "gzip" else ()
            ends = [*(frame for frame in frames if frame < end), end]
            return next((end for end in ends if self._fills(place, end)), None)
        header_end = self._end_of_header(place)
        length = _declared(self.bytes[place:header_end])
        runs_into_another = _HEADER.search(self.bytes, place + len(_BEGIN), header_end)
        if length is None or runs_into_another or header_end + length > len(self.bytes):
            return None
        end = header_end + length
        behind = self.bytes[end : end + MAX_OFF + len("\r\n\r\nWARC/1.0\r\nX:")]
        return end if behind.startswith((b"\r\n\r\n", b"\n\n")) or _HEADER.search(behind) else None

    def _fills(self, place: int, end: int) -> bool:
        """Tell whether what is compressed between two places is one record of the length that it says."""
        header, size = b"", 0
        for chunk in self._chunks(place, end):
            header += chunk[: max(_HEADER_BYTES - len(header), 0)]
            size += len(chunk)
        found = _HEADER_END.search(header)
        length = _declared(header[: found.end()]) if found else None
        return (
            found is not None and length is not None and 0 <= size - found.end() - length <= MAX_OFF + len("\r\n\r\n")
        )

    def _end_of_header(self, place: int) -> int:
        found = _HEADER_END.search(self.bytes, place, place + _HEADER_BYTES)
        return found.end() if found else min(place + _HEADER_BYTES, len(self.bytes))

    def _begins(self, place: int) -> bool:
        if self._magic is None:
            return _TYPE.search(self.bytes[place : self._end_of_header(place)]) is not None
        end = min(place + (_HEAD_BYTES if self.compression == "gzip" else _BLOCK_BYTES), len(self.bytes))
        return self._decompressed(place, end, len(_BEGIN)) == _BEGIN

    def _decompressed(self, place: int, end: int, size: int) -> bytes:
        data = b""
        for chunk in self._chunks(place, end, size):
            data += chunk
            if len(data) >= size:
                break
        return data[:size]

    def _chunks(self, place: int, end: int, size: int = _CHUNK_BYTES) -> Iterator[bytes]:
        """Return what is compressed between two places, up to damage."""
        assert self.compression is not None
        if self.compression != "gzip":
            reader = _READERS[self.compression](_Part(self.bytes, place, end))
            with suppress(OSError):
                while chunk := reader.read(min(size, _STEP_BYTES)):
                    yield bytes(chunk)
            return
        member = zlib.decompressobj(31)
        with suppress(zlib.error):
            while place < end and not member.eof:
                data = self.bytes[place : min(place + _CHUNK_BYTES, end)]
                place += len(data)
                while chunk := member.decompress(data, size):
                    yield chunk
                    data = member.unconsumed_tail


class _Part:
    """What stands between two places, to be read as a file; it is copied only as far as it is read."""

    def __init__(self, content: mmap.mmap, place: int, end: int) -> None:
        self._content, self._place, self._end = content, place, end

    def read(self, size: int) -> bytes:
        data = self._content[self._place : min(self._place + min(size, _CHUNK_BYTES), self._end)]
        self._place += len(data)
        return data

    def tell(self) -> int:
        return self._place


def _declared(header: bytes) -> int | None:
    found = _LENGTH.search(header)
    digits = found[1].strip() if found else b""
    return int(digits) if digits.isdigit() and len(digits) < 19 else None


def _content(stream: BinaryIO) -> mmap.mmap:
    """Return what a file holds; of an empty one, which cannot be mapped, a zero byte."""
    if not os.fstat(stream.fileno()).st_size:
        return mmap.mmap(-1, 1)
    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def decompress_beside(stream: BinaryIO, place: int, compression: str) -> tuple[BinaryIO, str | None]:
    """Return what a file holds from `place` on, in a temporary file without a name: what stands behind damage as well.

    And what damage was met, if any.
    """
    plain = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (the caller closes it)
    stream.seek(place)
    damage: list[str] = []
    for chunk in _gunzip(stream, place, damage) if compression == "gzip" else _other(stream, compression, damage):
        plain.write(chunk)
        if plain.tell() > _MAX_PLAIN_BYTES:
            damage.append(f"decompressed, it has more than {_MAX_PLAIN_BYTES >> 30} GB")
            break
    plain.flush()
    return plain, damage[0] if damage else None


def _other(stream: BinaryIO, compression: str, damage: list[str]) -> Iterator[bytes]:
    reader = _READERS[compression](stream)
    try:
        while chunk := reader.read(_STEP_BYTES):
            yield bytes(chunk)
    except OSError as error:
        damage.append(str(error))


def _gunzip(stream: BinaryIO, place: int, damage: list[str]) -> Iterator[bytes]:
    """Yield all members; behind a damaged one those that can be told to be whole."""
    looks, magic = iter(range(_MAX_LOOKS)), next(iter(MAGICS))
    with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while place >= 0:
            member, begin = _Member(), place
            try:
                while not member.eof and (data := content[place : place + _CHUNK_BYTES]):
                    place += len(data)
                    yield from member.up_to_damage(data)
                place = _PADDING.match(content, place - member.unused).end()  # type: ignore[union-attr]
                if content[place : place + len(magic)] == magic:
                    continue
                if place < len(content):
                    damage.append("what follows a member is none")
            except zlib.error as error:
                damage.append(str(error))
                place = begin + 1
            place = content.find(magic, place)
            while place >= 0 and not _is_whole(content, place):
                place = content.find(magic, place + 1) if next(looks, None) is not None else -1


class _Member:
    """A gzip member, of which all is given that stands before damage: records were counted up to there."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused(self) -> int:
        return len(self._inflate.unused_data)

    def up_to_damage(self, data: bytes) -> Iterator[bytes]:
        """Raises zlib.error behind it."""
        waiting = [data]
        while waiting and not self.eof:
            data, before = waiting.pop(), self._inflate.copy()
            try:
                chunk = self._inflate.decompress(data, _CHUNK_BYTES)
            except zlib.error:
                if len(data) <= 1:
                    raise
                # zlib keeps to itself what it made of these bytes before the damage: half of them at a time.
                self._inflate, half = before, len(data) // 2
                waiting += [data[half:], data[:half]]
            else:
                if chunk:
                    waiting.append(self._inflate.unconsumed_tail)  # if it is empty, more may come all the same
                    yield chunk


def _is_whole(content: mmap.mmap, place: int) -> bool:
    """Tell whether what seems to be a member is one, by its checksum."""
    member = zlib.decompressobj(31)
    with suppress(zlib.error):
        data = content[place : place + _MAX_WHOLE_MEMBER]
        start = member.decompress(data, len(_BEGIN))
        if start == _BEGIN:
            return True
        member.decompress(member.unconsumed_tail, _MAX_WHOLE_MEMBER)
    return member.eof


def head(path: Path) -> bytes:
    """Return the first bytes of a file, decompressed if it is gzip."""
    with path.open("rb") as stream:
        start = stream.read(4096)
    if start[:2] == b"\x1f\x8b":
        with suppress(zlib.error):
            start = zlib.decompressobj(31).decompress(start, 64)
    return start
