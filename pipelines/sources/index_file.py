"""One Parquet file of the columnar index, far away: its footer, and those of its column chunks that are needed."""

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.sources.index_condition import Condition, may_fit
from pipelines.sources.ranges import ByteRange, coalesce
from pipelines.sources.remote import Remote
from storage.errors import InputError

MAX_FOOTER_BYTES = 64 << 20
MAX_GAP_BYTES = 16 << 10  # between column chunks; it is read along, which costs less than another request
MAX_REQUEST_BYTES = 64 << 20


class FooterReader:
    """Reads footers. Files of one index are alike, so the size of one footer is a good guess at the next."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._guess = 16 << 10
        self._lock = threading.Lock()

    def read(self, url: str) -> pq.FileMetaData:
        """The footer of a Parquet file. Raises FetchError, and InputError when it is none."""
        tail, total = self._remote.read_tail(url, self._guess)
        needed = int.from_bytes(tail[-8:-4], "little") + 8
        if tail[-4:] != b"PAR1" or needed > min(total, MAX_FOOTER_BYTES):
            raise InputError(f"{url} is not a Parquet file: check the source's `server`")
        if needed > len(tail):
            with self._lock:
                self._guess = max(self._guess, needed + needed // 8)
            missing = ByteRange(total - needed, needed - len(tail))
            tail = self._remote.read(url, missing) + tail
        try:
            return pq.read_metadata(io.BytesIO(b"PAR1" + tail[-needed:]))
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"{url} has a broken footer ({error}): check the source's `server`") from None


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file of the index, and what of it must be read: the column chunks of the row groups that may fit."""

    url: str
    metadata: pq.FileMetaData
    columns: tuple[str, ...]
    row_groups: tuple[int, ...]
    chunks: tuple[ByteRange, ...]  # of all row_groups

    @property
    def download_bytes(self) -> int:
        return sum(chunk.length for chunk in self.chunks)

    def fetch(self, remote: Remote, path: Path) -> None:
        """Write the needed columns of the needed row groups to a local Parquet file, one row group at a time."""
        schema = pa.schema([self.metadata.schema.to_arrow_schema().field(column) for column in self.columns])
        with pq.ParquetWriter(path, schema, compression="zstd") as writer:
            for row_group in self.row_groups:
                chunks = [chunk for _, chunk in _chunks(self.metadata, row_group, self.columns)]
                sparse = _SparseFile([
                    (span.whole.offset, remote.read(self.url, span.whole))
                    for span in coalesce(chunks, MAX_GAP_BYTES, MAX_REQUEST_BYTES)
                ])  # fmt: skip
                try:
                    with pq.ParquetFile(pa.PythonFile(sparse, mode="r"), metadata=self.metadata) as file:
                        writer.write_table(file.read_row_group(row_group, columns=list(self.columns)).cast(schema))
                except (pa.ArrowInvalid, OSError) as error:
                    raise InputError(f"{self.url} cannot be read ({error}): check the source's `server`") from None


def plan_file(url: str, metadata: pq.FileMetaData, wanted: Condition) -> IndexFile:
    """What of a file must be read for a condition. Raises InputError when it lacks a column."""
    of_column = _places(metadata)
    columns = tuple(wanted.columns)
    if missing := [column for column in columns if column not in of_column]:
        raise InputError(
            f"the index has no column {', '.join(missing)}; it has {', '.join(of_column)} "
            "(content_languages came with CC-MAIN-2018-39): change the source's conditions"
        )
    row_groups = tuple(
        number for number in range(metadata.num_row_groups) if may_fit(metadata.row_group(number), of_column, wanted)
    )
    chunks = tuple(chunk for number in row_groups for _, chunk in _chunks(metadata, number, columns))
    return IndexFile(url, metadata, columns, row_groups, chunks)


def _places(metadata: pq.FileMetaData) -> dict[str, int]:
    return {metadata.schema.column(place).path: place for place in range(metadata.num_columns)}


def _chunks(metadata: pq.FileMetaData, row_group: int, columns: Sequence[str]) -> list[tuple[str, ByteRange]]:
    of_column, group = _places(metadata), metadata.row_group(row_group)
    found = []
    for column in columns:
        chunk = group.column(of_column[column])
        starts = [chunk.data_page_offset]
        if chunk.dictionary_page_offset is not None and chunk.dictionary_page_offset > 0:
            starts.append(chunk.dictionary_page_offset)
        found.append((column, ByteRange(min(starts), chunk.total_compressed_size)))
    return found


class _SparseFile(io.RawIOBase):
    """A file of which only some parts are here. Reading elsewhere is an error, never a silent zero."""

    def __init__(self, parts: list[tuple[int, bytes]]) -> None:
        self._parts = parts
        self._end = max((offset + len(data) for offset, data in parts), default=0)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._end}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        for offset, data in self._parts:
            start = self._position - offset
            if 0 <= start < len(data):
                piece = data[start:] if size < 0 else data[start : start + size]
                self._position += len(piece)
                return piece
        raise OSError(f"byte {self._position} was not fetched")
