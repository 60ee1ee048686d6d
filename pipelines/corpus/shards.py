"""Shards of a corpus: Parquet files of one split, named by number and content, with their schema.

`train-00000-3f2a….parquet`: the second part is the hash of the ids and texts in the file, so that equal names are equal
content. A later version takes over the shards of its parent by hard link and adds its own behind them.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from storage.files import link
from storage.keys import KEY_CHARACTERS


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable, {"description": description})


SCHEMA = pa.schema(
    [
        _field("doc_id", pa.string(), "hash of WARC-Record-ID, address, date and payload digest"),
        _field("doc_no", pa.uint64(), "place in the order of deduplication: refresh, unit, row"),
        _field("url", pa.string(), "address; of a text source its name and the document's"),
        _field("host", pa.string(), "host of the address, in lower case; of a text source its name"),
        _field("date", pa.string(), "when it was fetched, ISO 8601", nullable=True),
        _field("title", pa.string(), "title as the page gives it", nullable=True),
        _field("language", pa.string(), "ISO 639-3, identified on the main content"),
        _field("language_score", pa.float32(), "how sure that is, 0 to 1"),
        _field("text", pa.large_string(), "main content, UTF-8, after the corpus's text steps"),
        _field("characters", pa.int64(), "length of text in Unicode characters"),
        _field("unit_id", pa.string(), "work unit that it was read from: work_units in the catalog"),
        _field(
            "warc_filename", pa.string(), "WARC file as Common Crawl's index names it; else its address or name", True
        ),
        _field("warc_record_offset", pa.int64(), "place of its record in that file, in (compressed) bytes", True),
        _field("warc_record_length", pa.int64(), "length of its record there", True),
    ]
)
# DuckDB and `datasets` read a row group at a time, on one thread: some 3 MB of Parquet.
ROW_GROUP_CHARACTERS = 8_000_000
SHARD_CHARACTERS = 400_000_000  # some 150 MB of Parquet
_NAME = re.compile(r"[a-z_]+-(\d{5,})-[0-9a-f]{16}\.parquet")


def shard_files(version: Path, split: str, *, repeats: bool = False) -> list[Path]:
    """Return the shards of a split (train | held_out) in order, with or without re-hydration's repeats (rehydrate.py).

    With them it is what one trains on; without, each document once.
    """
    return sorted(version.glob(f"{split}-*.parquet" if repeats else f"{split}-[0-9]*.parquet"))


class ShardWriter:
    """Writes documents in order to `<folder>/<split>-<number>-<hash>.parquet`, numbered from `first` on."""

    def __init__(self, folder: Path, split: str, first: int = 0) -> None:
        self._folder, self._split, self._number = folder, split, first
        self._rows: list[Mapping[str, Any]] = []
        self._buffered = self._in_shard = 0
        self._writer: pq.ParquetWriter | None = None
        self._hash = hashlib.sha256()
        self.documents = self.characters = 0

    def add(self, document: Mapping[str, Any]) -> None:
        self._rows.append(document)
        self.documents += 1
        self.characters += document["characters"]
        self._buffered += document["characters"]
        add_to_hash(self._hash, document)
        if self._buffered >= ROW_GROUP_CHARACTERS:
            self._write_row_group()
        if self._in_shard >= SHARD_CHARACTERS:
            self._end_shard()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if self._rows:
                self._write_row_group()
            self._end_shard()
        elif self._writer is not None:
            self._writer.close()

    @property
    def _partial(self) -> Path:
        return self._folder / f".{self._split}.parquet"

    def _write_row_group(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._partial, SCHEMA, compression="zstd")
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
        self._in_shard += self._buffered
        self._rows, self._buffered = [], 0

    def _end_shard(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        content = self._hash.hexdigest()[:KEY_CHARACTERS]
        self._partial.rename(self._folder / f"{self._split}-{self._number:05d}-{content}.parquet")
        self._writer, self._in_shard, self._hash = None, 0, hashlib.sha256()
        self._number += 1


def take_over(version: Path, folder: Path, split: str, goes: Callable[[pa.Table], Any] | None) -> tuple[int, int]:
    """Put the shards of a split of another version into `folder`, less the documents that `goes` marks in a table of
    doc_no, doc_id, host. Returns how many documents and characters went.

    A shard that loses nothing is linked, the others, and those without the columns of today, are written anew under
    their number.
    """
    documents = characters = 0
    for file in shard_files(version, split):
        table = pq.read_table(file, columns=["doc_no", "doc_id", "host", "characters"]) if goes else None
        gone = table.filter(goes(table)) if goes and table is not None else None
        if (gone is None or not gone.num_rows) and pq.read_schema(file).equals(SCHEMA):
            link(file, folder / file.name)
            continue
        documents += gone.num_rows if gone else 0
        characters += sum(gone["characters"].to_pylist()) if gone else 0
        doc_nos = set(gone["doc_no"].to_pylist()) if gone else set()
        with ShardWriter(folder, split, number_of(file)) as writer:
            for row in read_shards([file]):
                if row["doc_no"] not in doc_nos:
                    writer.add(row)
    return documents, characters


def read_shards(files: list[Path]) -> Iterator[dict[str, Any]]:
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(512):
                yield from batch.to_pylist()


def content_hash(files: list[Path]) -> str:
    """Hash of ids and texts in order, whatever the layout of the files."""
    digest = hashlib.sha256()
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(512, columns=["doc_id", "text"]):
                for row in batch.to_pylist():
                    add_to_hash(digest, row)
    return digest.hexdigest()


def add_to_hash(digest: Any, document: Mapping[str, Any]) -> None:
    digest.update(f"{document['doc_id']}\0{document['text']}\0".encode())


def number_of(file: Path) -> int:
    found = _NAME.fullmatch(file.name)
    assert found is not None, file
    return int(found[1])
