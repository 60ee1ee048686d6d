"""Finds where records of a damaged WARC file begin: places from which reading can go on.

Parts of a compressed file that begin with a record, or, where no compression is, lines that begin one.
"""

import mmap
import os
import re
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

from fastwarc.stream_io import ZstdReader

from pipelines.pages.warc.compressed_parts import BEGIN, HEADER_BYTES, MAX_OFF, Parts, suffix_by_content
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
    runs_into_another,
)
from pipelines.sources.compressed_files import CHUNK_BYTES, MAX_LOOKS, Damage, kind_of, parts
from pipelines.sources.compressed_frames import dictionary_frame

_NO_SPACE = re.compile(rb"\S")
_MAX_PLAIN_BYTES = 32 << 30  # that a file is decompressed to beside it
_MAX_PLAIN_WITHOUT = 64 << 20  # that it is before the first header


class Places:
    """A file, and where in it records begin. To be closed. Raises OSError where its dictionary cannot be read."""

    def __init__(self, stream: BinaryIO, is_plain: bool = False) -> None:
        self._stream = stream
        self.bytes = _content(stream)
        self._is_file = not is_plain
        suffix = None if is_plain else suffix_by_content(self.bytes)
        self._dictionary = b"" if is_plain else dictionary_frame(self.bytes)
        self._looks = iter(range(MAX_LOOKS))
        # None where the file is not compressed.
        self.parts = Parts(self.bytes, kind_of(suffix, self._dictionary), self._looks) if suffix else None

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

    def next_record(self, start: int) -> int | None:
        """Return the first place from `start` on at which a record begins; None where none is found."""
        pattern = self.parts.kind.begin if self.parts else HEADER
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
        assert self.parts
        end = self.parts.end(place) or len(self.bytes)
        rest = self.parts.behind_empty(end)
        if rest == len(self.bytes):
            return None, False
        is_zeroed = self.bytes[end : end + 1] == b"\0"  # a part may have stood there
        return (rest, is_zeroed) if self._begins(rest) else (self.next_record(rest), True)

    def runs_on(self, place: int) -> bool:
        """Tell whether the part at `place` has no end, and others begin in it.

        It was cut there, and decompressors take what follows for more of it, if they can, up to the file's end.
        """
        if not self.parts or not self._begins(place) or self.parts.end(place) is not None:
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
        return _NO_SPACE.search(self.bytes, end, following) is not None

    def header_runs_on(self, place: int) -> bool:
        """Tell whether the header at `place` was cut before its type, where readers take the next for more of it."""
        if self.parts:
            return self.parts.holds_cut_header(place)
        return runs_into_another(self.bytes[place : self._end_of_header(place)])

    def behind_empty_parts(self, place: int) -> int:
        return self.parts.behind_empty(place) if self.parts else place

    def beginning(self, size: int) -> bytes:
        """Return the first bytes of the file, decompressed; none where they are damaged."""
        if self.parts is None:
            return self.bytes[:size]
        data: bytes = b""
        place: int | None = 0
        while place is not None and (more := self.parts.beginning(self.behind_empty_parts(place), size)):
            data += more
            place = self.parts.end(self.behind_empty_parts(place)) if len(data) < size else None
        return data

    def with_usual_names(self) -> tuple[BinaryIO, str | None] | None:
        """Return the same as decompressed_beside, with names in headers as readers know them; None where they do."""
        header = self.beginning(HEADER_BYTES)
        end = HEADER_END.search(header)
        if not HEADER.match(header) or end is None or has_usual_names(header[: end.end()]):
            return None
        plain, damage = self.decompressed_beside(self.behind_empty_parts(0))
        with mmap.mmap(plain.fileno(), 0) as content:
            put_usual_names(content)
        return plain, damage

    def end_of_record(self, place: int, number: int = 1) -> int | None:
        """Return where the record at `place` ends, if its length is right; None if it is not.

        number: which of the part there it is.
        """
        if self.parts:
            is_right = self.parts.is_one_record(place) or self.parts.ends_as_said(place, number)
            return (self.parts.end(place) or place + 1) if is_right else None
        header_end = self._end_of_header(place)
        length = length_in(self.bytes[place:header_end])
        if length is None or self.header_runs_on(place) or header_end + length > len(self.bytes):
            return None
        end = header_end + length
        behind = self.bytes[end : end + MAX_OFF + len("\r\n\r\nWARC/1.0\r\nX:")]
        return end if behind.startswith((b"\r\n\r\n", b"\n\n")) or HEADER.search(behind) else None

    def stored_length(self, place: int, end: int | None) -> int | None:
        """Return how many bytes the record at `place` takes up to the next one at `end` (None: up to where it ends).

        None where it cannot be read by itself: it is compressed with others, or stands in no file of the user's.
        """
        if not self._is_file or not self._may_begin(place) or (self.parts and self.parts.are_cut_anywhere):
            return None
        if end is None:
            end = self.end_of_record(place)
        elif not self._may_begin(end):
            return None
        return end - place if end is not None and end > place else None

    def _may_begin(self, place: int) -> bool:
        return self.parts.may_begin(place) if self.parts else self.bytes[place : place + len(BEGIN)] == BEGIN

    def is_whole(self, place: int) -> bool:
        """Tell whether the record at `place` only quotes another, where it seems to take in the one that follows.

        A digest says so, or what was compressed with it; or what it holds does not lead on to a further record.
        """
        if self.parts:
            return self.parts.is_one_record(place)
        start = self._end_of_header(place)
        inner = following_in(self.bytes, start, start + (length_in(self.bytes[place:start]) or 0))
        end = None if inner is None else self.end_of_record(inner)
        return end is None or not RECORD_OR_END.match(self.bytes, end) or digest_says_so(self._plain(place))

    def _plain(self, place: int) -> Iterator[bytes]:
        while chunk := self.bytes[place : place + CHUNK_BYTES]:
            yield chunk
            place += len(chunk)

    def _end_of_header(self, place: int) -> int:
        found = HEADER_END.search(self.bytes, place, place + HEADER_BYTES)
        return found.end() if found else min(place + HEADER_BYTES, len(self.bytes))

    def _begins(self, place: int) -> bool:
        if self.parts:
            return self.parts.begin_record(place)
        return names_its_type(self.bytes[place : self._end_of_header(place)])

    def decompressed_beside(self, place: int) -> tuple[BinaryIO, str | None]:
        """Return what the file holds from `place` on, behind damage too, in a temporary file without a name.

        And what damage was met, if any.
        """
        plain = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 (the caller closes it)
        damage: list[str] = []
        before: bytes | None = b""  # the end of what held no header yet
        content = parts(self.bytes, self.parts.kind, place, to_damage=True) if self.parts else self._plain(place)
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
