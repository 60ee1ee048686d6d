"""Remote files: parts of them, whole ones, and downloads that go on where they broke."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pipelines.settings import FetchSettings
from pipelines.sources.fsspec_stores import Buckets
from pipelines.sources.http_ranges import Body, Http
from pipelines.sources.retries import FetchError, Permanent, Retries, Stopped, Transient
from pipelines.sources.urls import redacted, redacted_text
from storage.errors import InputError
from storage.files import write_atomically

# Byte ranges: neighbours are asked for in one request.


LOCATION = ("warc_filename", "warc_record_offset", "warc_record_length")  # columns of the index, and of a selection
LANGUAGES = "content_languages"  # a column of the index since CC-MAIN-2018-39


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


Result = TypeVar("Result")
PROGRESS_BYTES = 1 << 20  # a download that broke after so much is not counted as a failure: it goes on from there


def is_remote(path: str) -> bool:
    return "://" in path


class Remote:
    """Remote files sharing one rate limit and retry policy. Threads may share it; every method raises FetchError."""

    def __init__(self, settings: FetchSettings) -> None:
        self.connections = settings.connections
        self._max_unsized_gb = settings.max_unsized_gb
        self._retries = Retries(settings)
        self._http, self._buckets = Http(settings), Buckets()

    def stop(self) -> None:
        """End all waits and downloads soon: they raise Stopped, and what came stays on disk."""
        self._retries.stop()

    def read(self, url: str, wanted: ByteRange) -> bytes:
        """Read exactly these bytes of a file."""

        def request() -> bytes:
            with self._open(url, wanted.offset, wanted.end) as body:
                if body.offset != wanted.offset:
                    raise Permanent("the server does not send byte ranges")
                return _whole(body, wanted.length, wanted.length)

        return self._repeat(url, request)

    def read_tail(self, url: str, length: int) -> tuple[bytes, int]:
        """Return the last bytes of a file, at most `length`, and the size of the file."""

        def request() -> tuple[bytes, int]:
            with self._open(url, -length, None) as body:
                total = _known(body.total)
                return _whole(body, total - body.offset, length), total

        return self._repeat(url, request)

    def read_all(self, url: str, max_bytes: int) -> bytes:
        """Read all of a file that is no larger than `max_bytes`."""

        def request() -> bytes:
            with self._open(url, 0, None) as body:
                return _whole(body, body.total, max_bytes)

        return self._repeat(url, request)

    def size(self, url: str) -> int:
        def request() -> int:
            with self._open(url, 0, 1) as body:
                return _known(body.total)

        return self._repeat(url, request)

    def download(self, url: str, path: Path) -> None:
        """Bring a file here, from where an earlier download of it to `path` ended, in this process or another."""
        state = path.with_name(f"{path.name}.state.json")
        size_at_failure = _size(path)

        def request() -> None:
            self._continue(url, path, state)

        def progress() -> bool:
            nonlocal size_at_failure
            before, size_at_failure = size_at_failure, _size(path)
            return size_at_failure - before >= PROGRESS_BYTES

        if not _read_state(state, url).get("whole"):
            self._repeat(url, request, progress)

    def expand(self, url: str) -> list[str]:
        """Return the addresses that a pattern of a bucket or the hub stands for; an https:// address stands for
        itself.
        """
        if _is_http(url) or not set("*?[") & set(url):
            return [url]
        return self._repeat(url, lambda: self._buckets.expand(url))

    def _continue(self, url: str, path: Path, state: Path) -> None:
        have, known = _size(path), _read_state(state, url)
        if have and not known:  # of another address, or of a version that nothing is known of
            have = 0
        if have and have == known["total"]:  # ended between the last byte and the note that it was the last
            write_atomically(state, json.dumps({**known, "whole": True}))
            return
        try:
            self._append(url, path, state, have, known)
        except Permanent as error:
            if not (have and error.missing):
                raise
            self._forget(path, state)  # it has become shorter than what is here
            raise Transient(str(error)) from error

    def _append(self, url: str, path: Path, state: Path, have: int, known: dict[str, Any]) -> None:
        with self._open(url, have, None, known.get("etag") if have else None) as body:
            if body.offset and (body.offset != have or known["total"] != body.total):
                self._forget(path, state)
                raise Transient("the file changed while it was fetched")
            write_atomically(state, json.dumps({"url": redacted(url), "total": body.total, "etag": body.etag}))
            with path.open("r+b" if path.exists() else "wb") as file:
                file.truncate(body.offset)
                file.seek(body.offset)
                for chunk in body.chunks:
                    self._refuse_more(file.tell() + len(chunk), body.total)
                    file.write(chunk)
                    if self._retries.stopped:
                        raise Stopped
        if body.total is not None and _size(path) != body.total:
            raise Transient(f"the body ended after {_size(path)} of {body.total} bytes")
        write_atomically(state, json.dumps({**_read_state(state, url), "whole": True}))

    def _refuse_more(self, came: int, total: int | None) -> None:
        if total is not None and came > total:
            raise Permanent(f"more than {total} bytes came, which is all that it may have")
        if total is None and came > self._max_unsized_gb * 1e9:
            raise Permanent(
                f"more than {self._max_unsized_gb:g} GB came from a server that does not tell the file's size; raise "
                "fetch.max_unsized_gb where it is that large"
            )

    def _forget(self, path: Path, state: Path) -> None:
        path.unlink(missing_ok=True)
        state.unlink(missing_ok=True)

    @contextmanager
    def _open(self, url: str, offset: int, end: int | None, etag: str | None = None) -> Iterator[Body]:
        files = self._http if _is_http(url) else self._buckets
        with files.open(url, offset, end, etag) as body:
            yield body

    def _repeat(self, url: str, request: Callable[[], Result], progress: Callable[[], bool] = lambda: False) -> Result:
        try:
            host = urlsplit(url).netloc
        except ValueError as error:
            raise InputError(f"{redacted(url)} is no address: {redacted_text(str(error), url)}") from None
        try:
            return self._retries.repeat(host, request, progress)
        except Permanent as error:
            raise FetchError(url, error) from None  # libraries name the whole address, which a traceback would log


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _whole(body: Body, expected: int | None, max_bytes: int) -> bytes:
    if expected is not None and expected > max_bytes:
        raise Permanent(f"it has {expected} bytes, {max_bytes} at most were expected")
    data = bytearray()
    for chunk in body.chunks:
        data += chunk
        if len(data) > max_bytes:
            raise Permanent(f"more than the {max_bytes} bytes came that were expected at most")
    if expected is not None and len(data) != expected:
        raise Transient(f"the body ended after {len(data)} of {expected} bytes")
    return bytes(data)


def _known(total: int | None) -> int:
    if total is None:
        raise Permanent("the server does not tell its size")
    return total


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read_state(state: Path, url: str) -> dict[str, Any]:
    try:
        known = dict(json.loads(state.read_bytes()))
    except (FileNotFoundError, ValueError):
        return {}
    return known if known.get("url") == redacted(url) else {}
