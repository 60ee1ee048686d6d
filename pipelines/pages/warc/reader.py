"""Read a WARC file record by record. Damage costs the records that it hit, and is said."""

import io
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from fastwarc.stream_io import ZstdReader
from fastwarc.warc import ArchiveIterator, WarcRecord

from pipelines.pages.warc.capture import Capture, Item, PageLanguages, read_record
from pipelines.pages.warc.header import HEADER, MAX_HEADER_BYTES
from pipelines.pages.warc.recovery import Places
from pipelines.sources.compressed_frames import refuse_wide_window
from pipelines.sources.remote import ByteRange
from pipelines.sources.retries import ReadFailure
from storage.errors import InputError

RUNS_ON = "what it was compressed to was cut, and runs on into what follows"
CUT_HEADER = "a header runs into that of the next record"
PASSED_OVER, TAKES_IN = "what follows it could not be read", "its length takes in what seems to be the next record"
ONCE = ("WARC-Type", "WARC-Record-ID")  # in a header; twice in what is one header and the beginning of another
NOTHING = "it holds no record"
_HEAD_BYTES = 64
# Places at which a record seems to begin, but none can be read, beside one a record: each may cost a header.
MAX_FRUITLESS = 100


def read_warc(path: Path, max_bytes: int) -> Iterator[Capture | ReadFailure | None]:
    """Yield a Capture for each record that may be a page, a ReadFailure where reading broke, None for each companion.

    Raises InputError as read_items does.
    """
    for item in read_items(path, max_bytes):
        yield None if isinstance(item, PageLanguages) else item


def read_items(path: Path, max_bytes: int) -> Iterator[Item | ReadFailure]:
    """Yield a Capture for each record that may be a page, a ReadFailure where reading broke, for each companion None,
    or what it says of its page's languages.

    Behind damage it goes on at the next record that can be found: a gzip member, a frame of zstd or lz4, a header.
    Raises InputError when the file is no WARC at all (not one record can be read).
    """
    records = 0
    failure: ReadFailure | None = None  # said when it is known where reading went on
    with path.open("rb") as stream, ExitStack() as opened:
        places, lost_at_first, head = _places(path, stream, opened)
        lenient = _has_lf_headers(head)
        if lost_at_first is not None:
            yield lost_at_first
        place: int | None = places.behind_empty_parts(0)
        if place and places.bytes[:1] == b"\0":
            failure = ReadFailure(0, f"zero bytes stand there: reading goes on at byte {place}")
        known = fruitless = 0  # items of this run that were given already; runs that gave none
        while place is not None:
            run, number = _Run(places, place, lenient, max_bytes), 0
            for number, item in enumerate(run, 1):
                if failure is not None:
                    yield failure
                    failure = None
                if number > known:
                    records += 1
                    yield item
            fruitless += run.gave_nothing
            if fruitless > MAX_FRUITLESS + records:
                failure = failure and failure.behind(ReadFailure(0, ": the rest is lost"))
                break
            parts = places.parts
            if (parts and (run.broke or parts.stops_early(run.offset, places.read_to))) and (
                parts.is_cut(run.offset, not run.gave_nothing)
            ):
                # The way through the damage is in what was compressed as one.
                places, lost = _plain_places(*places.decompressed_beside(place), run.offset, opened)
                if lost is not None:
                    yield lost
                known, place = number, 0
                continue
            last, said, place = run.mend(places)
            known = 0
            if failure is not None and (last or said is None):
                yield failure
            failure = said.behind(failure) if said and failure and not last else said
            records += len(last)
            yield from last
        if failure is not None and records > 0:
            yield failure
        if records == 0:
            refuse_wide_window(path, places.bytes)
    if records == 0:
        raise InputError(_not_a_warc(path, run.broke or NOTHING, head))


def _places(path: Path, stream: BinaryIO, opened: ExitStack) -> tuple[Places, ReadFailure | None, bytes]:
    """Return the places of a file, what a copy lost, where they are those of one, and the file's first bytes.

    A copy has usual names in headers, or is decompressed for the lenient reader, of which only the bytes tell what it
    passed over.
    """
    try:
        places = opened.enter_context(closing(Places(stream)))
    except OSError as error:
        raise InputError(_not_a_warc(path, error, b"")) from None
    copy, head = places.with_usual_names(), places.beginning(_HEAD_BYTES)
    if copy is None and places.parts and _has_lf_headers(head):
        copy = places.decompressed_beside(places.behind_empty_parts(0))
    if copy is None:
        return places, None, head
    return *_plain_places(*copy, 0, opened), head


def _plain_places(
    content: BinaryIO, damage: str | None, offset: int, opened: ExitStack
) -> tuple[Places, ReadFailure | None]:
    """Return the places of a copy, which is closed with what is `opened`, and what it lost of the file."""
    opened.callback(content.close)
    failure = ReadFailure(offset, f"{damage}: what was compressed with it is lost") if damage else None
    return opened.enter_context(closing(Places(content, is_plain=True))), failure


class _Run:
    """Records one after the other, each given when the next was reached: then it is what its length says.

    `broke` says what ended it, if it was not the file's end; the record at `offset` was the last that began.
    """

    def __init__(self, places: Places, place: int, lenient: bool, max_bytes: int) -> None:
        stream = places.stream_from(place)
        self._places, self._records = (
            places,
            iter(ArchiveIterator(stream, parse_http=False, max_header_len=MAX_HEADER_BYTES, quirks_mode=lenient)),
        )
        self._lenient, self._max_bytes, self._last = lenient, max_bytes, list[Item]()
        self._is_short, self.gave_nothing = False, True
        self._tells_first = not isinstance(stream, ZstdReader)  # it tells the second place for the first
        self.offset = place
        # The part that is read, and the number in it of the last record; how many it holds, once it was looked into.
        self.part, self._number, self._is_looked_into = place, 1, False
        self._held: int | None = None
        self._is_first, self._is_within = True, False  # the last record: of the file; in a part behind another
        self._length = 0
        self.broke: str | None = None

    def __iter__(self) -> Iterator[Item]:
        try:
            while (record := next(self._records, None)) is not None:
                if self._lenient and self._places.leaves_out(self.offset, record.stream_pos, bool(self._last)):
                    raise OSError(PASSED_OVER)
                yield from self._stored_to(record.stream_pos)
                self._last, self.gave_nothing = [], False
                # Without it there is no telling where the first record ends.
                if self._is_first and "Content-Length" not in record.headers:
                    raise OSError("its first record has no Content-Length")
                if self._tells_first:
                    self._note_part(record)
                    self.offset = self.part if self._is_within else record.stream_pos
                self._tells_first, self._is_first = True, False
                self._length = record.content_length
                if any(len(record.headers.get_multiple(name)) > 1 for name in ONCE) or (
                    not self._is_within and self._places.header_runs_on(self.offset)
                ):
                    raise OSError(CUT_HEADER)
                body = read_record(record, self.offset, self._max_bytes)
                self._last = [body.item]
                if (said := record.headers.get("Content-Length")) is not None and not said.strip().isdigit():
                    raise OSError("its Content-Length is no number")
                if body.length < record.content_length:
                    self._is_short, self.broke = True, "the file ends in it"
                    return
                if body.has_next:
                    raise OSError(TAKES_IN)
        except (KeyboardInterrupt, SystemExit):
            raise
        # A panic in the Rust libraries is a BaseException; whatever one record sets off costs that record only.
        except BaseException as error:  # noqa: BLE001
            self.broke = str(error) or type(error).__name__
            return
        if self.gave_nothing:
            self.broke = NOTHING
        if self._last and self._places.runs_on(self.offset):
            self.broke = RUNS_ON
            return
        yield from self._stored_to(None)

    def _stored_to(self, end: int | None) -> list[Item]:
        """Return the last record with what it takes in the file, up to `end`; None: where it says itself."""
        for item in self._last:
            if isinstance(item, Capture) and not self._is_within:
                item.stored_length = self._places.stored_length(item.offset, end)
        return self._last

    def _note_part(self, record: WarcRecord) -> None:
        """Keep the part in which a record begins. Raises OSError where it holds several, and hides a header that was
        cut: readers take it for more of the next one's.

        Of records within a part, readers tell where they were reading, which may be the beginning of the next part.
        """
        parts, place = self._places.parts, record.stream_pos
        if parts is None or self._is_first:
            self.part = place
            return
        holds_more = place == self.part or parts.holds_more(self.part, place, self._length)
        is_next = place != self.part and parts.begins_with(place, record.headers)
        if not self._is_looked_into and (holds_more or not is_next):
            self._is_looked_into = True
            self._held, hides_cut_header = parts.records_in(self.part)
            if hides_cut_header:
                self.offset = self.part
                raise OSError(CUT_HEADER)
        self._is_within = self._held is not None and self._number < self._held
        if (is_next or self._held is not None) and not self._is_within and place != self.part:
            self.part, self._number, self._held, self._is_looked_into = place, 0, None, False
        self._number += 1

    def mend(self, places: Places) -> tuple[list[Item], ReadFailure | None, int | None]:
        """Return what the last record gives, what is to be said of the damage, and where to go on, if anywhere."""
        if self.broke is None:
            return self._passed_over(places)
        end = places.end_of_record(self.offset, self._number) if self._last else None
        if self.broke == TAKES_IN:
            if places.is_whole(self.offset):
                return self._last, None, places.next_record(end or self.offset + 1)
            end = None
        following = places.next_record(self.offset + 1 if end is None else end)
        last = self._last
        if not end:
            last = [
                replace(item, fault="truncated", payload=b"") if isinstance(item, Capture) else None for item in last
            ]
        if self._is_short and following is None and isinstance(last[0], Capture) and self._last == last:
            return last, None, None  # a file that was cut: its last record says so
        return last, self._failure(self.broke, following), following

    def _passed_over(self, places: Places) -> tuple[list[Item], ReadFailure | None, int | None]:
        """Return what `mend` does, where the reader ended without an error. It may leave a cut header; a lenient
        one, whole records."""
        if places.parts:
            following, is_lost = places.next_unread(self.offset)
            return [], self._failure(PASSED_OVER, following) if is_lost else None, following
        # Behind the record's beginning whatever it says: else the next run would begin where this one did, for ever.
        start = places.end_of_record(self.offset) or self.offset + max(self._length, 1)
        if b"WARC/" not in places.bytes[start : start + MAX_HEADER_BYTES] and not places.leaves_out(
            self.offset, len(places.bytes), holds_record=True
        ):
            return [], None, None
        following = places.next_record(start)
        return [], self._failure(PASSED_OVER, following), following

    def _failure(self, error: str, following: int | None) -> ReadFailure:
        rest = "the rest is lost" if following is None else f"reading goes on at byte {following}"
        return ReadFailure(self.offset, f"{error}, after the record at byte {self.offset}: {rest}")


def read_records(path: Path, places: Iterable[ByteRange], max_bytes: int) -> Iterator[Item | ReadFailure]:
    """Yield what read_items does, of single records of a file, each by itself: uncompressed, or in a gzip member of its
    own.

    Their places are known, so a damaged one costs itself only. Offsets are those in this file.
    """
    with path.open("rb") as stream:
        for place in places:
            try:
                stream.seek(place.offset)
                member = io.BytesIO(stream.read(place.length))
                record = next(iter(ArchiveIterator(member, parse_http=False, max_header_len=MAX_HEADER_BYTES)), None)
                if record is None:
                    raise OSError("no record is there")
                item = read_record(record, place.offset, max_bytes).item
            except OSError as error:
                yield ReadFailure(place.offset, f"{error}: the record is lost")
            else:
                yield item


def _has_lf_headers(head: bytes) -> bool:
    """Tell whether the lines of the first record end in LF alone, against the standard, as if edited by hand.

    Only then is the reader lenient: else it would pass over damage in silence.
    """
    found = HEADER.search(head)
    line, end, _ = head[found.start() if found else 0 :].partition(b"\n")
    return line.startswith(b"WARC/") and bool(end) and not line.endswith(b"\r")


def _not_a_warc(path: Path, error: object, head: bytes) -> str:
    if head.startswith(b"filedesc://"):
        return (
            f"{path} is an ARC v1 file, which is not read: convert it (`pip install warcio`, `warcio recompress "
            "A.arc.gz A.warc.gz`), or take it out of the source's paths"
        )
    return f"{path} is not a WARC file ({error}): give WARC 1.0 or 1.1, or take it out of the source's paths"
