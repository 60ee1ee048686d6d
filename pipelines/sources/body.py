"""Some bytes of a remote file on their way here."""

from collections.abc import Iterator
from dataclasses import dataclass


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
