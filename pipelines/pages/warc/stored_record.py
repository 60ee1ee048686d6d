"""Read one record of a WARC file again, by its place in it: a local file, or a byte range of a remote one."""

import io
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fastwarc.stream_io import ZstdReader
from fastwarc.warc import ArchiveIterator, WarcRecord

from pipelines.pages.warc.capture import Capture, read_record
from pipelines.pages.warc.header import MAX_HEADER_BYTES
from pipelines.pages.warc.recovery import Places
from pipelines.sources.addresses import redacted
from pipelines.sources.remote import ByteRange, Remote, is_remote
from storage.errors import InputError

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
        item = read_record(record, 0, max_bytes).item
        if isinstance(item, Capture) and is_wanted(item):
            return StoredRecord(warc_headers, *_http(record), item)
    return None


def _http(record: WarcRecord) -> tuple[str, Headers]:
    if not record.is_http_parsed:
        return "", ()
    return record.http_headers.status_line or "", record.http_headers.to_tuples()
