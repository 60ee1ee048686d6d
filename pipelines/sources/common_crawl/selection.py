"""A selection: the pages of a snapshot that its index gave, frozen in the workspace, and its batches of byte ranges."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.settings import CommonCrawlIndexSource
from pipelines.sources.remote import LANGUAGES, LOCATION, ByteRange, Remote, Span, coalesce
from storage.keys import hash_of
from storage.publish import Manifest, make_once
from storage.workspace import Workspace

SELECTION_VERSION = 1  # raise it when the same source comes to select other pages
PAGES_PER_BATCH = 500  # about 12 MB, a work unit
MAX_GAP_BYTES = 64 << 10  # between a page and the next, request and metadata records take a few kB
MAX_REQUEST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Record:
    """The place of a record: a path below the server, offset and length of its compressed member."""

    path: str
    place: ByteRange
    languages: str | None  # of its page, by the index


def freeze_selection(
    name: str,
    source: CommonCrawlIndexSource,
    crawl: str,
    remote: Remote,
    workspace: Workspace,
    say: Callable[[str], None],
) -> str:
    """Return the key of the selection that this source makes in a snapshot, read from the index if it is not in the
    workspace.

    Raises as read_index does.
    """
    from pipelines.sources.common_crawl.columnar_index import (
        read_index,  # with DuckDB, of which a worker process has no use
    )

    content = source.identity()
    key = hash_of("selection", SELECTION_VERSION, crawl, content)

    def select(partial: Path) -> Manifest:
        read_index(name, source, crawl, remote, partial, say)
        units = _write_units(partial)
        counts = {column: sum(units[column].to_pylist()) for column in ("pages", "requests", "bytes")}
        return Manifest("selection", key, inputs={"crawl": crawl}, settings=content, counts=counts)

    make_once(workspace.selection(key), select, workspace.lock(f"selection-{key}"), resumable=True)
    return key


def read_units(key: str, workspace: Workspace) -> pa.Table:
    """Return the batches of a selection: unit_id, first (row in selection.parquet), pages, requests, bytes (to
    download).
    """
    return pq.read_table(workspace.selection(key) / "units.parquet")


def read_batch(key: str, first: int, pages: int, workspace: Workspace) -> list[Record]:
    """Return the records of a batch, sorted by path and offset."""
    with pq.ParquetFile(workspace.selection(key) / "selection.parquet") as file:
        ends = np.cumsum([file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)])
        begin, last = np.searchsorted(ends, [first, first + pages - 1], side="right").tolist()
        before = int(ends[begin - 1]) if begin else 0
        return _records(file.read_row_groups(range(begin, last + 1)).slice(first - before, pages))


def requests_of(records: list[Record]) -> Iterator[tuple[str, Span]]:
    """Yield the requests that fetch these records, neighbours together."""
    for path, same in groupby(records, key=lambda record: record.path):
        for span in coalesce((record.place for record in same), MAX_GAP_BYTES, MAX_REQUEST_BYTES):
            yield path, span


def _write_units(folder: Path) -> pa.Table:
    selection = pq.read_table(folder / "selection.parquet", read_dictionary=["warc_filename"])
    rows = []
    for first in range(0, selection.num_rows, PAGES_PER_BATCH):
        records = _records(selection.slice(first, PAGES_PER_BATCH))
        spans = [span for _, span in requests_of(records)]
        rows.append(
            {
                "unit_id": hash_of("ranges", [(item.path, item.place.offset, item.place.length) for item in records]),
                "first": first,
                "pages": len(records),
                "requests": len(spans),
                "bytes": sum(span.whole.length for span in spans),
            }
        )
    units = pa.Table.from_pylist(rows)
    pq.write_table(units, folder / "units.parquet")
    return units


def _records(rows: pa.Table) -> list[Record]:
    paths, offsets, lengths = (rows[column].to_pylist() for column in LOCATION)
    languages = rows[LANGUAGES].to_pylist() if LANGUAGES in rows.column_names else [None] * rows.num_rows
    return [
        Record(path, ByteRange(offset, length), of)
        for path, offset, length, of in zip(paths, offsets, lengths, languages, strict=True)
    ]
