"""Finds where records of a damaged WARC file begin: places from which reading can go on.

Gzip members, zstd frames and lz4 frames that begin with a record, or, where no compression is, lines that begin one.
"""

import mmap
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import BinaryIO, cast

from fastwarc.stream_io import ZstdReader

from pipelines.pages.warc.header import (
    HEADER,
    HEADER_END,
    OVERLAP,
    RECORD_OR_END,
    digest_says_so,
    following_in,
    has_usual_names,
    length_in,
    names_its_type,
    put_usual_names,
)
from pipelines.sources.compressed_files import (
    CHUNK_BYTES,
    ERRORS,
    MAX_LOOKS,
    Damage,
    beginning,
    behind_padding,
    kind_of,
    next_part,
    parts,
)
from pipelines.sources.compressed_frames import DICTIONARY_MAGIC, LZ4_MAGIC, ZSTD_MAGIC, Window, dictionary_frame

_SUFFIXES = {b"\x1f\x8b\x08": ".gz", ZSTD_MAGIC: ".zst", DICTIONARY_MAGIC: ".zst", LZ4_MAGIC: ".lz4"}
_BEGIN = b"WARC/"
_SEARCHED_BYTES = 16 << 20  # for a header, which says that a file of odd beginning is not compressed
_HEADER_BYTES = 1 << 13  # of a header that is looked at
_CUT_HEADER_BYTES = 1 << 8  # that a header cut at its start is compressed to at most; of a longer one more is told
MAX_OFF = 16  # bytes by which a length may be too small: no more than a compressed page's checksum is lost by it
# Compressed, and decompressed, bytes of the first parts of a file, by which is told whether they are cut anywhere.
_WALKED_PARTS, _WALKED_BYTES, _WALKED_PLAIN_BYTES = 3, 16 << 20, 256 << 20
_MAX_PLAIN_BYTES = 32 << 30  # that a file is decompressed to beside it
_MAX_PLAIN_WITHOUT = 64 << 20  # that it is before the first header


class Places:
    """A file, and where in it records begin. To be closed. Raises OSError where its dictionary cannot be read."""

    def __init__(self, stream: BinaryIO, is_plain: bool = False) -> None:
        self._stream = stream
        self.bytes = _content(stream)
        self._is_file = not is_plain
        suffix = None if is_plain else self._suffix()
        self._dictionary = b"" if is_plain else dictionary_frame(self.bytes)
        self._kind = None if suffix is None else kind_of(suffix, self._dictionary)
        self._looks = iter(range(MAX_LOOKS))

    def _suffix(self) -> str | None:
        """Return the suffix of files compressed as this one is: by its first bytes, or, where they are damaged, by
        others.
        """
        start = self.bytes[:4]
        known = next((suffix for magic, suffix in _SUFFIXES.items() if start.startswith(magic)), None)
        if known or self.bytes[: len(_BEGIN)] == _BEGIN or HEADER.search(self.bytes, 0, _SEARCHED_BYTES):
            return known
        looks = iter(range(MAX_LOOKS))
        first = ((next_part(self.bytes, kind_of(suffix), 0, looks), suffix) for suffix in (".gz", ".zst", ".lz4"))
        return min(((place, suffix) for place, suffix in first if place is not None), default=(0, None))[1]

    @property
    def is_compressed(self) -> bool:
        return self._kind is not None

    def close(self) -> None:
        self.bytes.close()

    @property
    def read_to(self) -> int:
        """Return how far the stream was read, with what a reader holds ready."""
        return self._stream.tell()

    def stream_from(self, place: int) -> BinaryIO | ZstdReader:
        """Return the file from a place on, as a reader of records takes it."""
        self._stream.seek(place)
        return ZstdReader(self._stream, dictionary=self._dictionary) if place and self._dictionary else self._stream

    def is_cut(self, place: int, holds_record: bool) -> bool:
        """Tell whether what is compressed as one is not one record: it holds several, or is cut anywhere.

        holds_record: a record was read at `place`, which readers tell of those too that begin within a part.
        """
        if self._kind is None:
            return False
        if self._is_cut_anywhere or (holds_record and not self._begins(place)):
            return True
        return self._holds_another(place) and not self._fills(place)

    @cached_property
    def _is_cut_anywhere(self) -> bool:
        """Tell whether one of the first parts begins in the middle of a record."""
        place: int | None = self.behind_empty_parts(0)
        for _ in range(_WALKED_PARTS):
            assert place is not None
            end = self._end_of_part(place, _WALKED_BYTES)
            if (place := self._next_filled(place + 1 if end is None else end)) is None:
                return False
            if not self._begins(place):
                return True
        return False

    def _holds_another(self, place: int) -> bool:
        """Tell whether a second record begins in the part at a place."""
        if not self._begins(place):
            return False
        before = b""
        for chunk in self._chunks(place):
            data = before + chunk
            if HEADER.search(data, 0 if before else len(_BEGIN)):
                return True
            before = data[-OVERLAP:]
        return False

    def next_record(self, start: int) -> int | None:
        """Return the first place from `start` on at which a record begins; None where none is found."""
        pattern = HEADER if self._kind is None else self._kind.begin
        for found in pattern.finditer(self.bytes, start):
            if self._begins(found.start()):
                return found.start()
            if next(self._looks, None) is None:
                break
        return None

    def next_unread(self, place: int) -> tuple[int | None, bool]:
        """Return where reading goes on behind the record at `place`, which is a part, and whether anything is lost.

        Readers take an empty part, and what is none, for the file's end.
        """
        end = self._end_of_part(place) or len(self.bytes)
        rest = self.behind_empty_parts(end)
        if rest == len(self.bytes):
            return None, False
        is_zeroed = self.bytes[end : end + 1] == b"\0"  # a part may have stood there
        return (rest, is_zeroed) if self._begins(rest) else (self.next_record(rest), True)

    def runs_on(self, place: int) -> bool:
        """Tell whether the part at `place` has no end, and others begin in it.

        It was cut there, and decompressors take what follows for more of it, if they can, up to the file's end.
        """
        if self._kind is None or not self._begins(place) or self._end_of_part(place) is not None:
            return False
        return self.next_record(place + 1) is not None

    def leaves_out(self, place: int, following: int, holds_record: bool) -> bool:
        """Tell whether anything stands between a place, or the end of the record there, and the record that follows.

        A lenient reader passes over it, if it is a record that was cut, or one whose beginning the length took in.
        """
        end = place
        if holds_record:
            end = self._end_of_header(place)
            end += length_in(self.bytes[place:end]) or 0
        return bool(self.bytes[end:following].strip())

    def header_runs_on(self, place: int) -> bool:
        """Tell whether the header at `place` was cut before its type, where readers take the next for more of it."""
        if self._kind is None:
            end = self._end_of_header(place)
            found = HEADER.search(self.bytes, place + len(_BEGIN), end)
            if found is None or names_its_type(self.bytes[place : found.start()]):
                return False
            return names_its_type(self.bytes[found.end() : end])
        following = self._kind.begin.search(self.bytes, place + 1, place + _CUT_HEADER_BYTES)
        if following is None or not self._begins(following.start()):
            return False
        header = self._begin(place, _HEADER_BYTES)
        return header is not None and header.startswith(_BEGIN) and not HEADER_END.search(header)

    def stops_early(self, place: int, read_to: int) -> bool:
        """Tell whether a reader that ended behind the record at `place` took it for the file's end where it is not."""
        assert self._kind is not None
        size, is_part = len(self.bytes), self._begin(place, 1) is not None
        part = place if is_part else next_part(self.bytes, self._kind, place, self._looks)
        while part is not None and (end := self._end_of_part(part, _WALKED_BYTES)) is not None:
            behind = behind_padding(self.bytes, end)
            if behind == size:
                return False
            if self._begin(part, 1) == b"" or (is_part and self._begin(behind, 1) is None):
                return True
            part = behind if is_part else next_part(self.bytes, self._kind, behind, self._looks)
        return read_to < size

    def behind_empty_parts(self, place: int) -> int:
        while self._kind is not None:
            place = behind_padding(self.bytes, place)
            end = self._end_of_part(place) if self._begin(place, 1) == b"" else None
            if end is None:
                break
            place = end
        return place

    def _next_filled(self, start: int) -> int | None:
        assert self._kind is not None
        while (place := next_part(self.bytes, self._kind, start, self._looks)) is not None:
            if (start := self.behind_empty_parts(place)) == place:
                return place
        return None

    def with_usual_names(self) -> tuple[BinaryIO, str | None] | None:
        """Return the same as decompressed_beside, with names in headers as readers know them; None where they do."""
        place = self.behind_empty_parts(0)
        start = self.bytes[place : place + _HEADER_BYTES]
        header = start if self._kind is None else self._begin(place, _HEADER_BYTES) or b""
        end = HEADER_END.search(header)
        if not HEADER.match(header) or end is None or has_usual_names(header[: end.end()]):
            return None
        plain, damage = self.decompressed_beside(place)
        with mmap.mmap(plain.fileno(), 0) as content:
            put_usual_names(content)
        return plain, damage

    def _end_of_part(self, place: int, size: int | None = None) -> int | None:
        """Return the place where a part ends; None where it is damaged, or has more than `size` bytes."""
        assert self._kind is not None
        content = self.bytes if size is None else Window(self.bytes, place, size)
        start, given = place if size is None else 0, 0
        with suppress(*ERRORS):
            for item in self._kind.read(content, start):
                if isinstance(item, int):
                    return place + item - start
                given += len(item) if isinstance(item, bytes) else 0
                if isinstance(item, Damage) or (size is not None and given > _WALKED_PLAIN_BYTES):
                    break
        return None

    def end_of_record(self, place: int) -> int | None:
        """Return where the record at `place` ends, if its length is right; None if it is not."""
        if self._kind is not None:
            return (self._end_of_part(place) or place + 1) if self._fills(place) else None
        header_end = self._end_of_header(place)
        length = length_in(self.bytes[place:header_end])
        runs_into_another = HEADER.search(self.bytes, place + len(_BEGIN), header_end)
        if length is None or runs_into_another or header_end + length > len(self.bytes):
            return None
        end = header_end + length
        behind = self.bytes[end : end + MAX_OFF + len("\r\n\r\nWARC/1.0\r\nX:")]
        return end if behind.startswith((b"\r\n\r\n", b"\n\n")) or HEADER.search(behind) else None

    def stored_length(self, place: int, end: int | None) -> int | None:
        """Return how many bytes the record at `place` takes up to the next one at `end` (None: up to where it ends).

        None where it cannot be read by itself: it is compressed with others, or stands in no file of the user's.
        """
        if not self._is_file or not self._may_begin(place) or (self._kind is not None and self._is_cut_anywhere):
            return None
        if end is None:
            end = self.end_of_record(place)
        elif not self._may_begin(end):
            return None
        return end - place if end is not None and end > place else None

    def _may_begin(self, place: int) -> bool:
        if self._kind is None:
            return self.bytes[place : place + len(_BEGIN)] == _BEGIN
        return self._kind.begin.match(self.bytes, place) is not None

    def is_whole(self, place: int) -> bool:
        """Tell whether the record at `place` only quotes another, where it seems to take in the one that follows.

        A digest says so, or what was compressed with it; or what it holds does not lead on to a further record.
        """
        if self._kind is not None:
            return self._fills(place)
        start = self._end_of_header(place)
        inner = following_in(self.bytes, start, start + (length_in(self.bytes[place:start]) or 0))
        end = None if inner is None else self.end_of_record(inner)
        return end is None or not RECORD_OR_END.match(self.bytes, end) or digest_says_so(self._plain(place))

    def _plain(self, place: int) -> Iterator[bytes]:
        while chunk := self.bytes[place : place + CHUNK_BYTES]:
            yield chunk
            place += len(chunk)

    def _fills(self, place: int) -> bool:
        """Tell whether what is compressed at a place is whole, and one record of the length that it says."""
        assert self._kind is not None
        header, size, is_whole = b"", 0, False
        with suppress(*ERRORS):
            for item in self._kind.read(self.bytes, place, 0):
                is_whole = isinstance(item, int)
                if isinstance(item, bytes):
                    header += item[: max(_HEADER_BYTES - len(header), 0)]
                    size += len(item)
        found = HEADER_END.search(header)
        length = length_in(header[: found.end()]) if found else None
        if not is_whole or found is None or length is None:
            return False
        return 0 <= size - found.end() - length <= MAX_OFF + len("\r\n\r\n")

    def _end_of_header(self, place: int) -> int:
        found = HEADER_END.search(self.bytes, place, place + _HEADER_BYTES)
        return found.end() if found else min(place + _HEADER_BYTES, len(self.bytes))

    def _begins(self, place: int) -> bool:
        if self._kind is None:
            return names_its_type(self.bytes[place : self._end_of_header(place)])
        return self._begin(place, len(_BEGIN)) == _BEGIN

    def _begin(self, place: int, size: int) -> bytes | None:
        """Return the first bytes that the part at a place gives; None where none is there."""
        assert self._kind is not None
        is_one = self._kind.begin.match(self.bytes, place)
        return beginning(self.bytes, self._kind, place, size) if is_one else None

    def _chunks(self, place: int) -> Iterator[bytes]:
        """Yield what the part at a place holds, around damage within it and up to damage that ends it."""
        assert self._kind is not None
        with suppress(*ERRORS):
            for item in self._kind.read(self.bytes, place, 0):
                if isinstance(item, bytes):
                    yield item

    def decompressed_beside(self, place: int) -> tuple[BinaryIO, str | None]:
        """Return what the file holds from `place` on, behind damage too, in a temporary file without a name.

        And what damage was met, if any.
        """
        plain = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (the caller closes it)
        damage: list[str] = []
        before: bytes | None = b""  # the end of what held no header yet
        content = self._plain(place) if self._kind is None else parts(self.bytes, self._kind, place, to_damage=True)
        for item in content:
            if isinstance(item, Damage):
                damage.append(item.error)
                continue
            plain.write(item)
            if before is not None:
                before = None if HEADER.search(before + item) else (before + item)[-OVERLAP:]
            if plain.tell() > (limit := _MAX_PLAIN_BYTES if before is None else _MAX_PLAIN_WITHOUT):
                what = "" if before is None else " without a record"
                damage.append(f"decompressed, it has more than {limit >> 20} MB{what}")
                break
        plain.flush()
        return plain, damage[0] if damage else None


def _content(stream: BinaryIO) -> mmap.mmap:
    """Return what a file holds; of an empty one, which cannot be mapped, a zero byte."""
    if not os.fstat(stream.fileno()).st_size:
        return mmap.mmap(-1, 1)
    return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
