"""Evaluation sets that a corpus is kept clear of: held-out sides of corpora, or files."""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpus.shards import shard_files
from storage.errors import InputError
from storage.keys import content_hash
from storage.publish import read_manifest
from storage.workspace import Workspace

SUFFIXES = (".txt", ".jsonl", ".jsonl.gz", ".parquet")
MAX_TEXT_BYTES = 256 << 20  # of a .txt file, and of a line of JSONL


@dataclass(frozen=True, slots=True)
class DecontaminationSet:
    """A set by its name in the config, with the hash of its content."""

    name: str
    content_hash: str
    texts: Callable[[], Iterator[str]]


def evaluation_sets(corpus: str, names: Sequence[str], workspace: Workspace) -> list[DecontaminationSet]:
    """Return the sets that corpora.<corpus>.decontaminate names. Raises InputError for one that is not there."""
    return [
        _of_file(corpus, name, workspace) if is_file(name) else _held_out(corpus, name, workspace) for name in names
    ]


def is_file(name: str) -> bool:
    return name.endswith(SUFFIXES)


def _held_out(corpus: str, name: str, workspace: Workspace) -> DecontaminationSet:
    version = workspace.current_version(name)
    manifest = read_manifest(workspace.corpus_version(name, version)) if version else None
    if version is None or manifest is None:
        raise InputError(
            f"corpora.{corpus}.decontaminate: {name} is neither a published corpus nor a file "
            f"({', '.join(SUFFIXES)}); correct the name, or publish {name} first"
        )
    files = shard_files(workspace.corpus_version(name, version), "held_out")

    def texts() -> Iterator[str]:
        for file in files:
            yield from _strings_of_parquet(file, ["text"])

    return DecontaminationSet(name, str(manifest["counts"]["content_hash_held_out"]), texts)


def _of_file(corpus: str, name: str, workspace: Workspace) -> DecontaminationSet:
    path = Path(name).expanduser()
    if not path.is_file():
        raise InputError(f"corpora.{corpus}.decontaminate: there is no file {path}; correct the path")

    def texts() -> Iterator[str]:
        try:
            if name.endswith(".parquet"):
                yield from _strings_of_parquet(path, None)
            elif name.endswith(".txt"):
                with path.open(encoding="utf-8", errors="replace") as file:
                    yield file.read(MAX_TEXT_BYTES)
            else:
                with gzip.open(path, "rb") if name.endswith(".gz") else path.open("rb") as lines:
                    while line := lines.readline(MAX_TEXT_BYTES):
                        yield from _strings(json.loads(line)) if line.strip() else ()
        except (OSError, EOFError, ValueError) as error:  # pyarrow's and json's errors are ValueErrors
            raise InputError(f"corpora.{corpus}.decontaminate: {path} cannot be read: {error}") from error

    return DecontaminationSet(name, content_hash(path, workspace), texts)


def _strings_of_parquet(path: Path, columns: list[str] | None) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        if columns is None:
            texts = (pa.types.is_string, pa.types.is_large_string)
            columns = [field.name for field in file.schema_arrow if any(kind(field.type) for kind in texts)]
        for batch in file.iter_batches(512, columns=columns):
            for column in batch.columns:
                yield from (text for text in column.to_pylist() if text is not None)


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value: question, choices and answers, whatever a task calls them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)
