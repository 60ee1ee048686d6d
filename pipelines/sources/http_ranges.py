"""Byte ranges over HTTP(S), one request at a time: what repeats them is `retries`."""

import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import urllib3
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError

from pipelines.settings import FetchSettings
from pipelines.sources.retries import Permanent, Transient, retry_after_seconds

# Connections whose answers must have their headers in time: a server that drips them would hold one for hours.


class _Deadline:
    """Ends the connection when the headers have not come within its time-out, however many bytes of them have."""

    sock: Any
    timeout: Any

    def getresponse(self) -> Any:
        late = threading.Event()
        timer = threading.Timer(self.timeout, _end, (self.sock, late))
        timer.daemon = True
        timer.start()
        try:
            response = super().getresponse()  # type: ignore[misc]
        finally:
            timer.cancel()
        if late.is_set():  # else headers that were cut would be taken for whole ones
            response.close()
            raise TimeoutError(f"the headers did not come within {self.timeout:g} s")
        return response


def _end(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):  # it is closed already
        sock.shutdown(socket.SHUT_RDWR)


class _Http(_Deadline, HTTPConnection):
    pass


class _Https(_Deadline, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


def with_header_deadline(manager: PoolManager) -> PoolManager:
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager


# Some bytes of a remote file on their way here.


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes of a file from `offset` on, which is 0 where a server ignores ranges.

    `total` is the size of the whole file and `etag` its version, as far as the server tells. Reading `chunks` raises
    Transient where the connection breaks.
    """

    offset: int
    total: int | None
    etag: str | None
    chunks: Iterator[bytes]


CHUNK_BYTES = 1 << 16
MIN_BYTES_PER_SECOND = 1000  # a server that drips never times out, and would hold a connection for ever
MISSING = (404, 410, 416)
TRANSIENT = (408, 425, 429)  # and all of 5xx
_CONTENT_RANGE = re.compile(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(\d{1,18}|\*)")


class Http:
    """Opens remote files at an offset. Connections are kept and may be used by several threads."""

    def __init__(self, settings: FetchSettings) -> None:
        self._settings = settings
        self._pools: dict[str | None, urllib3.PoolManager] = {}

    @contextmanager
    def open(self, url: str, offset: int, end: int | None, etag: str | None) -> Iterator[Body]:
        """Open the bytes [offset, end) of a file; a negative offset counts from its end, no `end` is its end.

        With an `etag`, all of the file comes if it is another version. Raises Transient and Permanent.
        """
        headers = {"Range": f"bytes={offset}" if offset < 0 else f"bytes={offset}-{'' if end is None else end - 1}"}
        if etag is not None and not etag.startswith("W/"):  # a weak one is not for ranges (RFC 9110, 13.1.5)
            headers["If-Range"] = etag
        response = self._request(url, headers)
        try:
            _refuse(response)
            first, total = _extent(response)
            yield Body(first, total, response.headers.get("ETag"), self._chunks(response))
        finally:
            response.close()  # an answer that was not read to its end must not be taken for the next one's

    def _request(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        try:
            url, credentials = _split_credentials(url)
            return self._pool(url).request(
                "GET",
                url,
                headers={
                    **headers,
                    **credentials,
                    "User-Agent": self._settings.user_agent,
                    "Accept-Encoding": "identity",
                },
                timeout=self._settings.timeout_seconds,
                retries=urllib3.Retry(total=None, connect=0, read=0, redirect=5, status=0, other=0),
                preload_content=False,
                decode_content=False,
            )
        except (LocationValueError, UnicodeError) as error:
            raise Permanent(f"{error}; correct the address") from error
        except MaxRetryError as error:
            if "redirect" in str(error.reason):
                raise Permanent("the server redirects in circles") from error
            raise Transient(_reason(error.reason or error)) from error
        except (HTTPError, OSError) as error:
            raise Transient(_reason(error)) from error

    def _chunks(self, response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
        with _Pace(response, self._settings.timeout_seconds) as pace:
            while chunk := pace.read():
                yield chunk

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = (
            None if urllib.request.proxy_bypass(parts.hostname or "") else urllib.request.getproxies().get(parts.scheme)
        )
        if proxy not in self._pools:
            size = self._settings.connections
            self._pools[proxy] = with_header_deadline(
                urllib3.PoolManager(maxsize=size) if proxy is None else urllib3.ProxyManager(proxy, maxsize=size)
            )
        return self._pools[proxy]


class _Pace:
    """Reads a body, and ends one that comes too slowly, counted over `seconds` of waiting for it.

    A thread ends a read that waits for longer: the sizes of chunks and trailers may drip too, and are no content.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, seconds: float) -> None:
        self._response, self._seconds = response, seconds
        self._since: float | None = None  # when the read under way began
        self._waited, self._received = 0.0, 0
        self._late, self._over = threading.Event(), threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def read(self) -> bytes:
        """Return what has come, b'' at the end. Raises Transient."""
        self._since = started = time.monotonic()
        try:
            chunk = _read(self._response)
        except Transient as error:
            if self._late.is_set():
                raise self._too_slow(started) from error
            raise
        finally:
            self._since = None
        if self._late.is_set():  # else a body that was cut would be taken for a whole one
            raise self._too_slow(started)
        self._waited += time.monotonic() - started
        self._received += len(chunk)
        if self._waited > self._seconds:
            if self._received < self._waited * MIN_BYTES_PER_SECOND:
                raise self._too_slow(time.monotonic())
            self._waited, self._received = 0.0, 0
        return chunk

    def _too_slow(self, started: float) -> Transient:
        waited = self._waited + time.monotonic() - started
        return Transient(f"only {self._received} bytes came in {waited:.0f} s")

    def _watch(self) -> None:
        while not self._over.wait(self._seconds / 4):
            since = self._since
            if since is not None and time.monotonic() - since > self._seconds:
                self._late.set()
                with suppress(OSError, RuntimeError, ValueError):  # it is over already
                    self._response.shutdown()
                return


def _split_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without user and password, and the header that says them (RFC 7617)."""
    parts = urllib3.util.parse_url(url)
    if parts.auth is None:
        return url, {}
    return parts._replace(auth=None).url, urllib3.util.make_headers(basic_auth=unquote(parts.auth))


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    try:
        return response.read1(CHUNK_BYTES)
    except (HTTPError, OSError) as error:
        raise Transient(_reason(error)) from error


def _refuse(response: urllib3.BaseHTTPResponse) -> None:
    status = response.status
    if status in (200, 206):
        return
    if status >= 500 or status in TRANSIENT:
        raise Transient(f"HTTP status {status}", retry_after_seconds(response.headers.get("Retry-After")))
    if status == 403:
        raise Permanent("HTTP status 403: it is private, or the server bars who asks too much; wait a day")
    raise Permanent(f"HTTP status {status}", missing=status in MISSING)


def _extent(response: urllib3.BaseHTTPResponse) -> tuple[int, int | None]:
    """Return the first byte that comes and size of the whole file."""
    if response.status == 206:
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None or found[1] is None:
            raise Permanent("the server sends byte ranges without saying which")
        return int(found[1]), None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None


def _reason(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
