"""One record of a WARC file: what is taken of it, or of the record that goes with it.

The languages of a page are by who crawled it: `content_languages` of Common Crawl's index, as `hun,eng`, by CLD2. They
stand in the index since CC-MAIN-2018-39, in WARC files in the `metadata` record behind a page, in WET files in a header
(https://commoncrawl.org/blog/august-2018-crawl-archive-now-available-and-new-feature-language-annotations). They come
from the crawler, so opted-out pages have them too.

`read_stored` reads a record again by its place: in a local file, or a byte range of a remote one.
"""

import io
import json
import re
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fastwarc.stream_io import ZstdReader
from fastwarc.warc import ArchiveIterator, HeaderMap, WarcRecord, WarcRecordType

from pipelines.pages.warc.header import HEADER_END, LONGEST_FOLLOWING, MAX_HEADER_BYTES, holds_following
from pipelines.pages.warc.recovery import MAX_OFF, Places
from pipelines.sources.remote import ByteRange, Remote, is_remote
from pipelines.sources.urls import redacted
from storage.errors import InputError

MAX_METADATA_BYTES = 1 << 14  # of a record that is looked at; Common Crawl's have some 200
MAX_LANGUAGES = 3  # that Common Crawl names of a page
_CODES = re.compile(r"[a-z]{3}(?:,[a-z]{3})*")
_FIELD = b"languages-cld2:"


@dataclass(frozen=True, slots=True)
class PageLanguages:
    """Holds what a metadata record says of the languages of the record with this id."""

    record_id: str
    languages: str


def content_languages(written: str | None) -> str:
    """Return codes of languages as the index writes them, the main one first; '' where they are none."""
    codes = (written or "").strip()[: 4 * MAX_LANGUAGES - 1]
    return codes if _CODES.fullmatch(codes) else ""


def page_languages(record_id: str, metadata: bytes) -> PageLanguages | None:
    """Return what a metadata record on the record with this id says of its languages; None where it says nothing."""
    for line in metadata.splitlines():
        if line.startswith(_FIELD):
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                found = json.loads(line[len(_FIELD) :])["languages"][:MAX_LANGUAGES]
                languages = content_languages(",".join(item["code-iso-639-3"] for item in found))
                return PageLanguages(record_id, languages) if languages else None
    return None


# A body that lacks no more of the length that its HTTP header announces is whole where it ends as pages do: servers
# count line ends otherwise than they send them.
MAX_MISSING_SHARE = 0.05
_PAGE_END, _END_BYTES = re.compile(rb"</html\s*>\s*(?:<!--[^>]{0,500}-->\s*)*\Z", re.IGNORECASE), 2048
# Records that describe the crawl or go with a capture. They are counted, not listed as documents.
COMPANIONS = WarcRecordType.warcinfo | WarcRecordType.request | WarcRecordType.metadata
_CHUNK_BYTES = 1 << 16
_INTERIM, _MAX_INTERIM, _STATUS_LINE = range(100, 200), 10, re.compile(rb"HTTP/\d(?:\.\d)?[ \t]+\d{3}", re.IGNORECASE)
_ODD_STATUS = re.compile(r"(?:HTTP/\d(?:\.\d)?|ICY)[ \t]+([1-5]\d\d)(?!\d)", re.IGNORECASE)


@dataclass(slots=True)  # frozen, it would take four microseconds more, of some hundred that a page may take
class Capture:
    """One record that may be a page. `fault` says why its payload was not read, then payload is empty."""

    offset: int  # of the record in the file; in a gzip WARC, of its compressed member
    record_id: str
    record_type: str
    url: str
    date: str  # WARC-Date as written
    status: int | None
    content_type: str
    identified_type: str  # what the crawler took the payload for
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
    content_languages: str = ""  # that the crawler found: `hun,eng`
    stored_length: int | None = None  # from `offset` on, compressed; None where the record cannot be read by itself


Item = Capture | PageLanguages | None  # of a record: one that may be a page; of a companion, what it tells, if anything


class Read(NamedTuple):
    """A record read, how many bytes of its body were there, whether the next is in it, and the HTTP header it has."""

    item: Item
    length: int
    has_next: bool
    http: HeaderMap | None = None


def read_record(record: WarcRecord, offset: int, max_bytes: int) -> Read:
    if record.record_type & COMPANIONS:
        return _companion(record)
    headers = record.headers
    fault = None if "Content-Length" in headers else "truncated"
    if not record.is_http and _is_http(headers.get("Content-Type")):
        record.is_http = True
    try:
        record.parse_http(max_header_len=MAX_HEADER_BYTES, quirks_mode=True)  # servers that end lines in LF
    except OSError:
        fault = fault or "bad_http"
    http = record.http_headers if record.is_http_parsed else HeaderMap()  # empty for records that are not HTTP
    length, payload = record.content_length, b""
    is_conversion = record.record_type == WarcRecordType.conversion  # a page's text, as in Common Crawl's WET files
    if fault is None and (is_conversion or record.record_type == WarcRecordType.response) and length <= max_bytes:
        payload = record.reader.read(max_bytes)
        came, is_cut = len(payload), len(payload) != length
        http, payload = _behind_interim(http, payload)
        length -= came - len(payload)
        # The server's length covers it all: a page that quotes a record.
        has_next = _http_length(http) != length and holds_following(payload)
        # A file that was cut gives a short last payload and no error; a crawler that cut a page says so, or keeps
        # the server's length.
        if is_cut or "WARC-Truncated" in headers or _lacks_its_end(payload, http):
            fault, payload = "truncated", b""
    else:
        came, has_next = _read_over(record)
        has_next = has_next and _http_length(http) != length
        is_page = is_conversion or record.record_type == WarcRecordType.response
        fault = fault or ("oversize" if is_page else None)
    capture = Capture(
        offset=offset,
        record_id=(headers.get("WARC-Record-ID") or "").strip("<> "),
        record_type=str(record.record_type),
        url=(headers.get("WARC-Target-URI") or "").strip("<> "),
        date=headers.get("WARC-Date") or "",
        status=http.status_code or _odd_status(http.status_line),
        content_type=_values(headers if is_conversion else http, "Content-Type"),
        identified_type=headers.get("WARC-Identified-Payload-Type") or "",
        transfer_encoding=_values(http, "Transfer-Encoding").lower(),
        content_encoding=_values(http, "Content-Encoding").lower(),
        robots=http.get_multiple("X-Robots-Tag"),
        tdm_reservation=_values(http, "TDM-Reservation"),
        content_usage=http.get_multiple("Content-Usage"),
        content_signal=http.get_multiple("Content-Signal"),
        payload_digest=headers.get("WARC-Payload-Digest") or "",
        length=length,
        payload=payload,
        fault=fault,
        content_languages=content_languages(headers.get("WARC-Identified-Content-Language")),
    )
    return Read(capture, length if fault == "bad_http" else came, has_next, http if record.is_http_parsed else None)


def _behind_interim(http: HeaderMap, payload: bytes) -> tuple[HeaderMap, bytes]:
    """Return the header of the server's answer, and its body, where interim ones (100 Continue) were sent before it.

    https://www.rfc-editor.org/rfc/rfc9110#section-15.2
    """
    for _ in range(_MAX_INTERIM):
        if http.status_code not in _INTERIM or not _STATUS_LINE.match(payload):
            break
        end = HEADER_END.search(payload, 0, MAX_HEADER_BYTES)
        if end is None:
            break
        http = HeaderMap()
        try:
            http.parse(io.BytesIO(payload[: end.end()]))
        except (OSError, ValueError):
            return HeaderMap(), payload
        payload = payload[end.end() :]
    return http, payload


def _companion(record: WarcRecord) -> Read:
    page = record.headers.get("WARC-Concurrent-To") if record.record_type == WarcRecordType.metadata else None
    if page is None or record.content_length > MAX_METADATA_BYTES:
        return Read(None, *_read_over(record))
    content = record.reader.read(MAX_METADATA_BYTES)
    return Read(page_languages(page.strip("<> "), content), len(content), holds_following(content))


def _read_over(record: WarcRecord) -> tuple[int, bool]:
    """Read what is not needed, by chunks: how much of it is there, and whether the next record seems to be in it."""
    came, before, found = 0, b"", False
    while came < record.content_length:
        chunk = record.reader.read(min(_CHUNK_BYTES, record.content_length - came))
        if not chunk:
            break
        came += len(chunk)
        found = found or holds_following(data := before + chunk)
        before = data[-LONGEST_FOLLOWING:]
    return came, found


def _lacks_its_end(body: bytes, http: HeaderMap) -> bool:
    """Tell whether a body is shorter than the server announced, and not by so little that it is a whole page."""
    missing = _http_length(http) - len(body)
    if missing <= MAX_OFF:
        return False
    return missing > MAX_MISSING_SHARE * len(body) or not _PAGE_END.search(body, max(len(body) - _END_BYTES, 0))


def _is_http(content_type: str | None) -> bool:
    """Tell whether a record's type is that of HTTP in other letters than the library knows."""
    return content_type is not None and content_type.lower().startswith("application/http")


def _odd_status(status_line: str | None) -> int | None:
    """Return the status in a line that browsers read though it is not as the standard has it: `http/1.1  200OK`."""
    found = _ODD_STATUS.match(status_line or "")
    return int(found[1]) if found else None


def _values(headers: HeaderMap, name: str) -> str:
    """Return a header that may stand there several times, as if it was one: RFC 9110, 5.3."""
    return ", ".join(headers.get_multiple(name))


def _http_length(http: HeaderMap) -> int:
    """Return the length of the body that the server announced; 0 if it is of no use, as for bodies that are stored
    decoded."""
    announced = (http.get("Content-Length") or "").strip()
    encoded = "Content-Encoding" in http or "Transfer-Encoding" in http
    return int(announced) if not encoded and announced.isascii() and announced.isdigit() and len(announced) < 19 else 0


Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as it stands in its file: the headers of the WARC and of HTTP in their order, and what is taken of it.

    `status_line` and `http_headers` are empty where it is no answer of a server.
    """

    warc_headers: Headers
    status_line: str
    http_headers: Headers
    capture: Capture


def read_stored(
    file: str, place: ByteRange | None, is_wanted: Callable[[Capture], bool], remote: Remote, max_bytes: int
) -> StoredRecord:
    """Return the record at a place of a file, a path or an address; None: the first wanted one of a local file.

    Raises InputError where there is no such record, and FetchError.
    """
    name = redacted(file)
    if is_remote(file) and place is None:
        raise InputError(
            f"{name}: where in it the record stands is not known (an earlier neutral-residues read it, or it is "
            "compressed together with others): download the file, and give it with --file"
        )
    try:
        if is_remote(file) and place is not None:
            found = _first(io.BytesIO(remote.read(file, place)), is_wanted, max_bytes, 1)
        else:
            with Path(file).open("rb") as stream, closing(Places(stream)) as places:
                start, looks = (place.offset, 1) if place else (0, None)
                found = _first(places.stream_from(start), is_wanted, max_bytes, looks)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error}): if it was moved, give it with --file") from None
    if found is None:
        raise InputError(f"{name} does not have the record there: it is not the file that was read, or is damaged")
    return found


def _first(
    stream: BinaryIO | ZstdReader, is_wanted: Callable[[Capture], bool], max_bytes: int, looks: int | None
) -> StoredRecord | None:
    """Return the first wanted record, among the first `looks` (None: all)."""
    records = ArchiveIterator(stream, parse_http=False, max_header_len=MAX_HEADER_BYTES, quirks_mode=True)
    for number, record in enumerate(records):
        if number == looks:
            break
        warc_headers = record.headers.to_tuples()
        item, *_, http = read_record(record, 0, max_bytes)
        if isinstance(item, Capture) and is_wanted(item):
            of_http = ("", ()) if http is None else (http.status_line or "", http.to_tuples())
            return StoredRecord(warc_headers, *of_http, item)
    return None
