"""Byte ranges: neighbours are asked for in one request."""

from collections.abc import Iterable
from dataclasses import dataclass

LOCATION = ("warc_filename", "warc_record_offset", "warc_record_length")  # columns of the index, and of a selection


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`length` bytes of a file from `offset` on."""

    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Span:
    """One request, and the ranges that are cut out of its answer, in the order of their offsets."""

    whole: ByteRange
    parts: tuple[ByteRange, ...]


def coalesce(ranges: Iterable[ByteRange], max_gap: int, max_length: int) -> list[Span]:
    """Join ranges that lie at most `max_gap` bytes apart, up to `max_length` bytes a request.

    A single range that is longer stays whole. Equal ranges come out once; ranges may overlap.
    """
    spans: list[list[ByteRange]] = []
    end = 0
    for part in sorted(set(ranges), key=lambda part: (part.offset, part.length)):
        start = spans[-1][0].offset if spans else 0
        if spans and part.offset - end <= max_gap and max(end, part.end) - start <= max_length:
            spans[-1].append(part)
            end = max(end, part.end)
        else:
            spans.append([part])
            end = part.end
    return [Span(_hull(parts), tuple(parts)) for parts in spans]


def _hull(parts: list[ByteRange]) -> ByteRange:
    offset = parts[0].offset
    return ByteRange(offset, max(part.end for part in parts) - offset)
