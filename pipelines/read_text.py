"""Read text sources, JSONL or Parquet: texts that enter the pipeline after main content."""

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.read_warc import ReadFailure
from storage.errors import InputError

JSONL_SUFFIXES = (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz")


@dataclass(frozen=True, slots=True)
class TextRecord:
    """One row of a text source. `fault` says why there is no text in it: unreadable, no_text or oversize."""

    record_id: str
    title: str
    text: str
    fault: str | None


def read_text(path: Path, options: Mapping[str, Any], max_bytes: int) -> Iterator[TextRecord | ReadFailure]:
    """Yield a TextRecord per row, and a ReadFailure where the file breaks.

    `options` holds text_field, id_field and title_field. Raises InputError when the file is of no known kind or has
    no column for the text.
    """
    rows: Iterator[Mapping[str, Any] | str | ReadFailure]
    if path.suffix == ".parquet":
        rows = _parquet_rows(path, [options[name] for name in ("text_field", "id_field", "title_field")])
    elif path.name.endswith(JSONL_SUFFIXES):
        rows = _jsonl_rows(path, max_bytes)
    else:
        raise InputError(f"{path} is of no known kind: a text source reads {', '.join(JSONL_SUFFIXES)} and .parquet")
    for number, row in enumerate(rows):
        if isinstance(row, ReadFailure):
            yield row
        else:
            # A remote file is read under another name than its own.
            yield _record(row, options, f"{options.get('file_name', path.name)}:{number}", max_bytes)


def _record(row: Mapping[str, Any] | str, options: Mapping[str, Any], name: str, max_bytes: int) -> TextRecord:
    if isinstance(row, str):
        return TextRecord(name, "", "", row)
    if options["id_field"] and row.get(options["id_field"]) is not None:
        name = str(row[options["id_field"]])
    title = str(row.get(options["title_field"]) or "") if options["title_field"] else ""
    text = row.get(options["text_field"])
    if not isinstance(text, str):
        return TextRecord(name, title, "", "no_text")
    return TextRecord(name, title, "", "oversize") if len(text) > max_bytes else TextRecord(name, title, text, None)


def _jsonl_rows(path: Path, max_bytes: int) -> Iterator[Mapping[str, Any] | str | ReadFailure]:
    """Rows, or the fault of a line that is no JSON object or is longer than JSON of `max_bytes` can be (\\uXXXX)."""
    limit = 6 * max_bytes + 65536
    with path.open("rb") as raw, gzip.open(raw) if path.suffix == ".gz" else raw as stream:
        while True:
            try:
                line = stream.readline(limit)
                oversize = len(line) == limit and not line.endswith(b"\n")
                while oversize and (rest := stream.readline(limit)) and not rest.endswith(b"\n"):
                    continue
            except (OSError, EOFError) as error:
                yield ReadFailure(raw.tell(), f"{error}: the lines from there on are lost")
                return
            if not line:
                return
            if not line.strip():
                continue
            yield "oversize" if oversize else _parse(line)


def _parse(line: bytes) -> Mapping[str, Any] | str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return "unreadable"
    return row if isinstance(row, dict) else "unreadable"


def _parquet_rows(path: Path, fields: list[str | None]) -> Iterator[Mapping[str, Any] | str | ReadFailure]:
    columns = [field for field in fields if field is not None]
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a Parquet file ({error}): take it out of the source's paths") from None
    with file:
        if missing := set(columns) - set(file.schema_arrow.names):
            raise InputError(
                f"{path} has no column {sorted(missing)}, only {file.schema_arrow.names}: set the source's field names"
            )
        try:
            for batch in file.iter_batches(batch_size=256, columns=columns):
                yield from batch.to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            yield ReadFailure(0, f"{error}: the rows from there on are lost")
