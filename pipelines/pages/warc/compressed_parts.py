"""The parts of a compressed WARC file: gzip members, zstd frames, lz4 frames. Each should hold one record, whole.

Some files are compressed as one, or in blocks that are cut anywhere; others are damaged, or have padding between parts.
"""

import mmap
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property

from fastwarc.warc import HeaderMap

from pipelines.pages.warc.header import HEADER, HEADER_END, MAX_HEADER_BYTES, OVERLAP, length_in, runs_into_another
from pipelines.sources.compressed_files import (
    ERRORS,
    MAX_LOOKS,
    Damage,
    Kind,
    beginning,
    behind_padding,
    kind_of,
    next_part,
)
from pipelines.sources.compressed_frames import DICTIONARY_MAGIC, LZ4_MAGIC, ZSTD_MAGIC, Window

_SUFFIXES = {b"\x1f\x8b\x08": ".gz", ZSTD_MAGIC: ".zst", DICTIONARY_MAGIC: ".zst", LZ4_MAGIC: ".lz4"}
BEGIN = b"WARC/"
_SEARCHED_BYTES = 16 << 20  # for a header, which says that a file of odd beginning is not compressed
HEADER_BYTES = 1 << 13  # of a header that is looked at
_MOST_HEADERS_BYTES = 1 << 10  # that most are shorter than
_OWN = (b"WARC-Record-ID", b"WARC-Target-URI", b"WARC-Date")  # fields that tell a record from its neighbours
_CUT_HEADER_BYTES = 1 << 8  # that a header cut at its start is compressed to at most; of a longer one more is told
MAX_OFF = 16  # bytes by which a length may be too small: no more than a compressed page's checksum is lost by it
# Compressed, and decompressed, bytes of the first parts of a file, by which is told whether they are cut anywhere.
_WALKED_PARTS, _WALKED_BYTES, _WALKED_PLAIN_BYTES = 3, 16 << 20, 256 << 20


def suffix_by_content(content: mmap.mmap) -> str | None:
    """Return the suffix of files compressed as this one is: by its first bytes, or, where they are damaged, by others.

    None where it is not compressed.
    """
    start = content[:4]
    known = next((suffix for magic, suffix in _SUFFIXES.items() if start.startswith(magic)), None)
    if known or content[: len(BEGIN)] == BEGIN or HEADER.search(content, 0, _SEARCHED_BYTES):
        return known
    looks = iter(range(MAX_LOOKS))
    first = ((next_part(content, kind_of(suffix), 0, looks), suffix) for suffix in (".gz", ".zst", ".lz4"))
    return min(((place, suffix) for place, suffix in first if place is not None), default=(0, None))[1]


class Parts:
    """The parts of a file that is compressed as `kind`. `looks`: how many false beginnings may still be tried."""

    def __init__(self, content: mmap.mmap, kind: Kind, looks: Iterator[int]) -> None:
        self._bytes, self.kind, self._looks = content, kind, looks
        self._last_header = (-1, b"")  # one after the other is asked for twice

    def may_begin(self, place: int) -> bool:
        return self.kind.begin.match(self._bytes, place) is not None

    def begin_record(self, place: int) -> bool:
        """Tell whether a part begins at a place, and a record with it."""
        return self.beginning(place, len(BEGIN)) == BEGIN

    def beginning(self, place: int, size: int) -> bytes | None:
        """Return the first bytes that the part at a place gives; None where none is there."""
        return beginning(self._bytes, self.kind, place, size) if self.may_begin(place) else None

    def end(self, place: int, size: int | None = None) -> int | None:
        """Return the place where a part ends; None where it is damaged, or has more than `size` bytes."""
        content = self._bytes if size is None else Window(self._bytes, place, size)
        start, given = place if size is None else 0, 0
        with suppress(*ERRORS):
            for item in self.kind.read(content, start):
                if isinstance(item, int):
                    return place + item - start
                given += len(item) if isinstance(item, bytes) else 0
                if isinstance(item, Damage) or (size is not None and given > _WALKED_PLAIN_BYTES):
                    break
        return None

    def behind_empty(self, place: int) -> int:
        while True:
            place = behind_padding(self._bytes, place)
            end = self.end(place) if self.beginning(place, 1) == b"" else None
            if end is None:
                return place
            place = end

    def is_cut(self, place: int, holds_record: bool) -> bool:
        """Tell whether what is compressed as one is not one record: it holds several, or is cut anywhere.

        holds_record: a record was read at `place`, which readers tell of those too that begin within a part.
        """
        if self.are_cut_anywhere or (holds_record and not self.begin_record(place)):
            return True
        return self._holds_another(place) and not self.is_one_record(place)

    @cached_property
    def are_cut_anywhere(self) -> bool:
        """Tell whether one of the first parts begins in the middle of a record."""
        place: int | None = self.behind_empty(0)
        for _ in range(_WALKED_PARTS):
            assert place is not None
            end = self.end(place, _WALKED_BYTES)
            if (place := self._next_filled(place + 1 if end is None else end)) is None:
                return False
            if not self.begin_record(place):
                return True
        return False

    def _next_filled(self, start: int) -> int | None:
        while (place := next_part(self._bytes, self.kind, start, self._looks)) is not None:
            if (start := self.behind_empty(place)) == place:
                return place
        return None

    def _holds_another(self, place: int) -> bool:
        """Tell whether a record begins in the part at a place, behind its beginning."""
        before, start = b"", len(BEGIN) if self.begin_record(place) else 0
        for chunk in self._chunks(place):
            data = before + chunk
            if HEADER.search(data, 0 if before else start):
                return True
            before = data[-OVERLAP:]
        return False

    def is_one_record(self, place: int) -> bool:
        """Tell whether what is compressed at a place is whole, and one record of the length that it says."""
        header, size, is_whole = b"", 0, False
        with suppress(*ERRORS):
            for item in self.kind.read(self._bytes, place, 0):
                is_whole = isinstance(item, int)
                if isinstance(item, bytes):
                    header += item[: max(HEADER_BYTES - len(header), 0)]
                    size += len(item)
        found = HEADER_END.search(header)
        length = length_in(header[: found.end()]) if found else None
        if not is_whole or found is None or length is None or runs_into_another(header[: found.end()]):
            return False
        return 0 <= size - found.end() - length <= MAX_OFF + len("\r\n\r\n")

    def begins_with(self, place: int, headers: HeaderMap) -> bool:
        """Tell whether the part at a place begins with the record of these headers."""
        header = self._header(place)
        return bool(header) and all((headers.get_bytes(name) or b"") in header for name in _OWN)

    def holds_more(self, place: int, end: int, length: int) -> bool:
        """Tell whether a part that ends at `end` seems to hold more than one record, whose block has a length: by its
        size, which gzip tells at a member's end. Members are not padded, as a rule.

        Of lz4 readers tell the place of a second record so that it shows.
        """
        if self.kind is kind_of(".gz"):
            size = int.from_bytes(self._bytes[end - 4 : end], "little")
        elif self.kind.begin is kind_of(".zst").begin:
            size = sum(map(len, self._chunks(place)))
        else:
            return False
        return size > len(self._header(place)) + length + len("\r\n\r\n")

    def _header(self, place: int) -> bytes:
        """Return the header with which the part at a place begins, or what there is of it; nothing if it is none."""
        if self._last_header[0] != place:
            header = b""
            for size in (_MOST_HEADERS_BYTES, HEADER_BYTES):
                header = self.beginning(place, size) or b""
                if (end := HEADER_END.search(header)) or not header.startswith(BEGIN):
                    header = header[: end.end()] if end and header.startswith(BEGIN) else b""
                    break
            self._last_header = place, header
        return self._last_header[1]

    def holds_cut_header(self, place: int) -> bool:
        """Tell whether the part at `place` begins with the beginning of a header, and the next record follows it, in
        the same part or in the next one.
        """
        header = self._header(place)
        if not header or HEADER_END.search(header):
            return runs_into_another(header)
        following = self.kind.begin.search(self._bytes, place + 1, place + _CUT_HEADER_BYTES)
        return following is not None and self.begin_record(following.start())

    def records_in(self, place: int) -> tuple[int | None, bool]:
        """Return how many records the part at a place holds, and whether a header in it was cut before its type, also
        at its end. None where that is not told.
        """
        count, data, left = 0, b"", 0  # behind the last header; bytes of its record that are not there yet
        for chunk in self._chunks(place) if self.begin_record(place) else ():
            data, left = (data + chunk)[left:], max(left - len(data) - len(chunk), 0)
            while left == 0 and (end := HEADER_END.search(data := data.lstrip(b"\r\n"))):
                header = data[: end.end()]
                if runs_into_another(header):
                    return None, True
                if not header.startswith(BEGIN):
                    return count or None, False  # readers end there
                if (length := length_in(header)) is None:
                    return None, False
                count += 1
                left = max(end.end() + length - len(data), 0)
                data = data[end.end() + length :]
            if len(data) > MAX_HEADER_BYTES:
                return None, False
        seems_cut = left == 0 and data[: len(BEGIN)] == BEGIN[: len(data)] != b""
        hides_cut_header = seems_cut and self.begin_record(self.behind_empty(self.end(place) or place))
        return None if left or seems_cut else count or None, hides_cut_header

    def ends_as_said(self, place: int, number: int) -> bool:
        """Tell whether the record of that number in the part at a place ends where its length says: blank lines follow
        it, whatever stands behind them.
        """
        data, left = b"", 0  # behind the last header; bytes of its record that are not there yet
        for chunk in self._chunks(place) if self.begin_record(place) else ():
            data, left = (data + chunk)[left:], max(left - len(data) - len(chunk), 0)
            while left == 0 and number and (end := HEADER_END.search(data := data.lstrip(b"\r\n"))):
                if (length := length_in(data[: end.end()])) is None:
                    return False
                number -= 1
                left = max(end.end() + length - len(data), 0)
                data = data[end.end() + length :]
            if (number == 0 and len(data) >= len("\r\n\r\n")) or len(data) > MAX_HEADER_BYTES:
                break
        return number == 0 and left == 0 and data.startswith((b"\r\n\r\n", b"\n\n"))

    def stops_early(self, place: int, read_to: int) -> bool:
        """Tell whether a reader that ended behind the record at `place` took it for the file's end where it is not."""
        size, is_part = len(self._bytes), self.beginning(place, 1) is not None
        part = place if is_part else next_part(self._bytes, self.kind, place, self._looks)
        while part is not None and (end := self.end(part, _WALKED_BYTES)) is not None:
            behind = behind_padding(self._bytes, end)
            if behind == size:
                return False
            if self.beginning(part, 1) == b"" or (is_part and self.beginning(behind, 1) is None):
                return True
            part = behind if is_part else next_part(self._bytes, self.kind, behind, self._looks)
        return read_to < size

    def _chunks(self, place: int) -> Iterator[bytes]:
        """Yield what the part at a place holds, around damage within it and up to damage that ends it."""
        with suppress(*ERRORS):
            for item in self.kind.read(self._bytes, place, 0):
                if isinstance(item, bytes):
                    yield item
