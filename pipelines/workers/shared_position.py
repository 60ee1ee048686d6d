"""Shares which record a worker process reads, in memory that outlives it, so that the pool skips one that killed it."""

import mmap
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

_BYTES = 8
NOTHING = -1  # no record was come to
TOGETHER = -2  # the documents of many records were measured together


@dataclass(frozen=True)
class Poison:
    """Records of a unit that ended the processes which read it, by their number in the file."""

    records: Collection[int] = field(default_factory=frozenset)  # they are passed over
    stop: int | None = None  # the one that cannot even be passed over: reading ends before it
    apart: bool = False  # a process ended among the documents of many: each is measured by itself, to tell which it was

    def message(self) -> dict[str, Any]:
        return {"records": sorted(self.records), "stop": self.stop, "apart": self.apart}

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> "Poison":
        return cls(frozenset(message["records"]), message["stop"], message["apart"])


class ReadingPlace:
    """A number that two processes share: 2n while record n is read, 2n + 1 while its document is made, else NOTHING or
    TOGETHER."""

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (as long as this object)
            self._file.truncate(_BYTES)
            descriptor = self._file.fileno()
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, _BYTES)

    def write(self, place: int) -> None:
        self._memory[:] = place.to_bytes(_BYTES, "little", signed=True)

    def read(self) -> tuple[int, bool]:
        """Return the number of the record (or NOTHING, TOGETHER), and whether it was read already."""
        place = int.from_bytes(self._memory[:], "little", signed=True)
        return (place, False) if place < 0 else divmod(place, 2)  # type: ignore[return-value]
