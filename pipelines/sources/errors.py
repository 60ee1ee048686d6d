"""Errors of a request, of fetching in the end, and of reading what was fetched."""

from dataclasses import dataclass, replace

from pipelines.sources.addresses import redacted, redacted_text
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
