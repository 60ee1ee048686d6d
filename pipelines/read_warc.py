"""Read a WARC file record by record. A damaged record costs itself, a damaged file what comes after the damage."""

import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fastwarc.warc import ArchiveIterator, HeaderMap, WarcRecord, WarcRecordType

from storage.errors import InputError

# Records that describe the crawl or go with a capture. They are counted, not listed as documents.
COMPANIONS = WarcRecordType.warcinfo | WarcRecordType.request | WarcRecordType.metadata
MAX_HEADER_BYTES = 1 << 20  # of a WARC or HTTP header; more is an attack or damage


@dataclass(frozen=True, slots=True)
class Capture:
    """One record that may be a page. `fault` says why its payload was not read, then payload is empty."""

    offset: int  # of the record in the file; in a gzip WARC, of its compressed member
    record_id: str
    record_type: str
    url: str
    date: str  # WARC-Date as written
    status: int | None
    content_type: str
    transfer_encoding: str
    content_encoding: str
    robots: tuple[str, ...]  # values of X-Robots-Tag
    tdm_reservation: str
    content_usage: tuple[str, ...]  # values of Content-Usage
    content_signal: tuple[str, ...]  # values of Content-Signal
    payload_digest: str
    length: int  # of the body, as declared
    payload: bytes
    fault: str | None


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Reading broke after the record at `byte_offset` (compressed, 0 if none was read): the rest is lost.

    Among single records, the one at `byte_offset` is.
    """

    byte_offset: int
    error: str


def read_warc(path: Path, max_bytes: int) -> Iterator[Capture | ReadFailure | None]:
    """Yield a Capture for each record that may be a page, None for each companion, a ReadFailure where reading broke.

    Raises InputError when the file is no WARC at all (not one record can be read).
    """
    records, offset, end = 0, 0, 0
    with path.open("rb") as stream:
        lenient = _has_lf_headers(_head(path))
        iterator = iter(ArchiveIterator(stream, parse_http=False, max_header_len=MAX_HEADER_BYTES, quirks_mode=lenient))
        while True:
            try:
                record = next(iterator, None)
                if record is None:
                    break
                # Without it there is no telling where the record ends.
                if records == 0 and "Content-Length" not in record.headers:
                    raise OSError("its first record has no Content-Length")
                offset, end = record.stream_pos, record.stream_pos + record.content_length
                capture = None if record.record_type & COMPANIONS else _capture(record, max_bytes)
            except OSError as error:
                if records == 0:
                    raise InputError(_not_a_warc(path, error)) from None
                yield ReadFailure(offset, f"{error} after the record at byte {offset}: the records behind it are lost")
                return
            records += 1
            yield capture
    if records == 0:
        raise InputError(_not_a_warc(path, "it holds no record"))
    if lenient and _holds_a_record_behind(path, end):
        yield ReadFailure(offset, f"no record could be read behind the one at byte {offset}: the rest is lost")


def read_records(path: Path, lengths: Sequence[int], max_bytes: int) -> Iterator[Capture | ReadFailure | None]:
    """As read_warc, of a file that holds single records one after the other, each in a gzip member of its own.

    Their lengths are known, so a damaged one costs itself only. Offsets are those in this file.
    """
    offset = 0
    with path.open("rb") as stream:
        for length in lengths:
            try:
                member = io.BytesIO(stream.read(length))
                record = next(iter(ArchiveIterator(member, parse_http=False, max_header_len=MAX_HEADER_BYTES)), None)
                if record is None:
                    raise OSError("no record is there")
                capture = (
                    None if record.record_type & COMPANIONS else replace(_capture(record, max_bytes), offset=offset)
                )
            except OSError as error:
                yield ReadFailure(offset, f"{error}: the record is lost")
            else:
                yield capture
            offset += length


def _capture(record: WarcRecord, max_bytes: int) -> Capture:
    headers = record.headers
    fault = None if "Content-Length" in headers else "truncated"
    try:
        record.parse_http(max_header_len=MAX_HEADER_BYTES, quirks_mode=True)  # servers that end lines in LF
    except OSError:
        fault = fault or "bad_http"
    http = record.http_headers if record.is_http_parsed else HeaderMap()  # empty for records that are not HTTP
    length, payload = record.content_length, b""
    is_conversion = record.record_type == WarcRecordType.conversion  # a page's text, as in Common Crawl's WET files
    if fault is None and (is_conversion or record.record_type == WarcRecordType.response):
        if length > max_bytes:
            fault = "oversize"
        else:
            payload = record.reader.read(max_bytes)
            # A file that was cut gives a short last payload and no error; a crawler that cut a page says so, or keeps
            # the server's length.
            if len(payload) != length or "WARC-Truncated" in headers or _http_length(http) > length:
                fault, payload = "truncated", b""
    return Capture(
        offset=record.stream_pos,
        record_id=(headers.get("WARC-Record-ID") or "").strip("<> "),
        record_type=str(record.record_type),
        url=(headers.get("WARC-Target-URI") or "").strip("<> "),
        date=headers.get("WARC-Date") or "",
        status=http.status_code,
        content_type=(headers if is_conversion else http).get("Content-Type") or "",
        transfer_encoding=(http.get("Transfer-Encoding") or "").lower(),
        content_encoding=(http.get("Content-Encoding") or "").lower(),
        robots=http.get_multiple("X-Robots-Tag"),
        tdm_reservation=http.get("TDM-Reservation") or "",
        content_usage=http.get_multiple("Content-Usage"),
        content_signal=http.get_multiple("Content-Signal"),
        payload_digest=headers.get("WARC-Payload-Digest") or "",
        length=length,
        payload=payload,
        fault=fault,
    )


def _http_length(http: HeaderMap) -> int:
    """Length of the body that the server announced; 0 if it is of no use, as for bodies that are stored decoded."""
    announced = (http.get("Content-Length") or "").strip()
    encoded = "Content-Encoding" in http or "Transfer-Encoding" in http
    return int(announced) if not encoded and announced.isascii() and announced.isdigit() and len(announced) < 19 else 0


def _head(path: Path) -> bytes:
    """The first bytes of a file, decompressed if it is gzip."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    if head[:2] == b"\x1f\x8b":
        with suppress(zlib.error):
            head = zlib.decompressobj(31).decompress(head, 64)
    return head


def _has_lf_headers(head: bytes) -> bool:
    """Whether the lines of the first record end in LF alone, against the standard, as if edited by hand.

    Only then is the reader lenient: else it would pass over damage in silence.
    """
    return head.startswith(b"WARC/") and not head.partition(b"\n")[0].endswith(b"\r")


def _holds_a_record_behind(path: Path, end: int) -> bool:
    """Whether an uncompressed file goes on with a record where the lenient reader took it to end."""
    with path.open("rb") as stream:
        if stream.read(2) == b"\x1f\x8b":
            return False
        stream.seek(end)
        return b"\nWARC/" in stream.read(MAX_HEADER_BYTES)


def _not_a_warc(path: Path, error: object) -> str:
    if _head(path).startswith(b"filedesc://"):
        return f"{path} is an ARC v1 file, which is not read: convert it to WARC, or take it out of the source's paths"
    return f"{path} is not a WARC file ({error}): give WARC 1.0 or 1.1, or take it out of the source's paths"
