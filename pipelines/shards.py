"""Shards of a corpus: Parquet files of one side, with their schema."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("doc_no", pa.uint64(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("date", pa.string()),
        pa.field("title", pa.string()),
        pa.field("language", pa.string(), nullable=False),
        pa.field("language_score", pa.float32(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("characters", pa.int64(), nullable=False),
        pa.field("unit_id", pa.string(), nullable=False),
    ]
)
ROW_GROUP_CHARACTERS = 8_000_000
SHARD_CHARACTERS = 400_000_000  # some 150 MB of Parquet


class ShardWriter:
    """Writes documents in order to `<folder>/<side>-00000.parquet`, -00001, and so on."""

    def __init__(self, folder: Path, side: str) -> None:
        self._folder, self._side = folder, side
        self._rows: list[Mapping[str, Any]] = []
        self._buffered = self._in_shard = self._shards = 0
        self._writer: pq.ParquetWriter | None = None
        self._hash = hashlib.sha256()
        self.documents = self.characters = 0

    @property
    def content_hash(self) -> str:
        """Hash of ids and texts in order, whatever the layout of the files."""
        return self._hash.hexdigest()

    def add(self, document: Mapping[str, Any]) -> None:
        self._rows.append(document)
        self.documents += 1
        self.characters += document["characters"]
        self._buffered += document["characters"]
        self._hash.update(f"{document['doc_id']}\0{document['text']}\0".encode())
        if self._buffered >= ROW_GROUP_CHARACTERS:
            self._write_row_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._rows:
            self._write_row_group()
        if self._writer is not None:
            self._writer.close()

    def _write_row_group(self) -> None:
        if self._writer is None:
            path = self._folder / f"{self._side}-{self._shards:05d}.parquet"
            self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
            self._shards += 1
        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
        self._in_shard += self._buffered
        self._rows, self._buffered = [], 0
        if self._in_shard >= SHARD_CHARACTERS:
            self._writer.close()
            self._writer, self._in_shard = None, 0
