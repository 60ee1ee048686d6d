"""Retries requests with backoff and per-host Retry-After: the errors of a request, of fetching and of reading.

Exponential back-off with full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), and a
pause of ALL requests to a host that asks for one by Retry-After (RFC 9110, section 10.2.3).

Not urllib3.Retry or tenacity: a pause is the host's, for all threads and also those that have not asked yet; a download
that broke off after more bytes has not failed; and fsspec's errors count as those of HTTP do.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from pipelines.settings import FetchSettings
from pipelines.sources.urls import redacted, redacted_text
from storage.errors import InputError


class Transient(Exception):
    """A request that is worth repeating. `retry_after` is what the server asked for, in seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Permanent(Exception):
    """A request that will not succeed by being repeated. `missing`: there is no such file, or no such bytes in it."""

    def __init__(self, reason: str, missing: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing


class FetchError(InputError):
    """A file could not be fetched. `missing` as in Permanent."""

    def __init__(self, url: str, error: Permanent) -> None:
        super().__init__(f"{redacted(url)} could not be fetched: {redacted_text(str(error), url)}")
        self.missing = error.missing


@dataclass(frozen=True, slots=True)
class ReadFailure:
    """Reading broke behind the record that begins at `byte_offset` (compressed, 0 if none was read), or in it.

    `error` says where it goes on, or that the rest is lost. Among single records, the one at `byte_offset` is.
    """

    byte_offset: int
    error: str

    def behind(self, earlier: "ReadFailure") -> "ReadFailure":
        """Return one failure of two with no record between them."""
        return replace(earlier, error=f"{earlier.error.rpartition(': ')[0]}: {self.error.rpartition(': ')[2]}")


Result = TypeVar("Result")


class Stopped(Exception):
    """The caller wants no further request."""


class Retries:
    """At most `connections` requests at a time, repeated up to `attempts` times. Shared by threads."""

    def __init__(self, settings: FetchSettings) -> None:
        self._settings = settings
        self._connections = threading.BoundedSemaphore(settings.connections)
        self._not_before: dict[str, float] = {}  # by host, on the monotonic clock
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Make all requests that wait, now or later, raise Stopped."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def repeat(self, host: str, request: Callable[[], Result], progress: Callable[[], bool] = lambda: False) -> Result:
        """Return the result of `request`, made again while it raises Transient.

        A request that failed but made `progress` does not count. Raises Permanent when it is of no use to go on.
        """
        failures = 0
        while True:
            self._wait_for(host)
            try:
                with self._connections:
                    if self._pause(host) > 0:  # another request was told to wait while this one queued
                        continue
                    return request()
            except Transient as error:
                failures = 1 if progress() else failures + 1
                if failures >= self._settings.attempts:
                    raise Permanent(f"{error} (tried {failures} times)") from error
                if error.retry_after is not None:
                    pause = min(error.retry_after, self._settings.max_wait_seconds)
                    self._not_before[host] = max(self._not_before.get(host, 0), time.monotonic() + pause)
                self._sleep(self._jittered(failures))

    def _jittered(self, failures: int) -> float:
        longest = min(self._settings.first_wait_seconds * 2.0 ** (failures - 1), self._settings.max_wait_seconds)
        return random.uniform(0, longest)

    def _wait_for(self, host: str) -> None:
        while (left := self._pause(host)) > 0:
            self._sleep(left + self._jittered(1))  # so that they do not all start at once
        self._sleep(0)

    def _pause(self, host: str) -> float:
        return self._not_before.get(host, 0) - time.monotonic()

    def _sleep(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped


def retry_after_seconds(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, given as a number or as a date; None if it says nothing of
    use."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit() and len(value.strip()) < 10:
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)
