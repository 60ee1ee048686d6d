"""Decontamination: a document that shares an n-gram of words with an evaluation set goes.

Texts are compared in lower case, with digits as 0, without diacritics and with white space for punctuation, as
datatrove does (its n is 12; 13 is that of Brown et al., "Language models are few-shot learners", 2020, appendix C).
A text of an evaluation set with fewer words than n cannot be found. Evaluation sets are held-out splits of corpora, or
files.
"""

import gzip
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipelines.corpus.read_documents import DocumentFiles
from pipelines.corpus.shards import shard_files
from pipelines.corpus.summary import CorpusFunnel
from pipelines.dedup.index import among
from pipelines.dedup.lines import LineRule
from pipelines.dedup.signature import mix64
from pipelines.pages.characters import clean, pieces
from pipelines.pages.charset.decode import decode_plain_text
from pipelines.settings import CorpusSettings
from pipelines.settings.corpora import FILES_OF_SETS, names_a_file
from pipelines.sources.text_rows import BYTES_OF_UTF8, plain_text
from pipelines.text.words import words
from storage.errors import InputError
from storage.keys import content_hash, hash_of
from storage.publish import read_manifest
from storage.workspace import Workspace

MAX_TEXT_BYTES = 256 << 20  # of a .txt file, and of a line of JSONL
MAX_NGRAMS = 50_000_000  # 10 bytes each in the end, 30 while they are sorted
# Kinds of files that are read otherwise than they were: corpora with such sets are made anew.
_READ_ANEW = {".txt": "in its charset", ".parquet": "nested strings"}
_BLOCK = 1 << 22
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_DIGITS, _NO_WORD = re.compile(r"\d"), re.compile(r"[\W_]+")
_PLANES = (*range(0x300, 0x1E950), *range(0xE0100, 0xE01F0))  # where Unicode has its combining marks
_MARKS = {place: None for place in _PLANES if unicodedata.category(chr(place)) == "Mn"}
_CONTAMINATED = pa.schema(
    [
        ("doc_no", pa.uint64()),
        ("doc_id", pa.string()),
        ("url", pa.string()),
        ("evaluation_set", pa.string()),
        ("ngram", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class DecontaminationSet:
    """A set by its name in the config, with the hash of its content."""

    name: str
    content_hash: str
    texts: Callable[[], Iterator[str]]


def evaluation_sets(corpus: str, names: Sequence[str], workspace: Workspace) -> list[DecontaminationSet]:
    """Return the sets that corpora.<corpus>.decontaminate names. Raises InputError for one that is not there."""
    return [
        _of_file(corpus, name, workspace) if names_a_file(name) else _held_out(corpus, name, workspace)
        for name in names
    ]


def _held_out(corpus: str, name: str, workspace: Workspace) -> DecontaminationSet:
    version = workspace.current_version(name)
    manifest = read_manifest(workspace.corpus_version(name, version)) if version else None
    if version is None or manifest is None:
        raise InputError(
            f"corpora.{corpus}.decontaminate: {name} is neither a published corpus nor a file "
            f"({', '.join(FILES_OF_SETS)}); correct the name, or publish {name} first"
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
                yield _plain_text(path)
            else:
                with gzip.open(path, "rb") if name.endswith(".gz") else path.open("rb") as lines:
                    while line := lines.readline(MAX_TEXT_BYTES):
                        yield from _strings(json.loads(line)) if line.strip() else ()
        except (OSError, EOFError, ValueError, RecursionError, ArithmeticError, LookupError) as error:
            raise InputError(f"corpora.{corpus}.decontaminate: {path} cannot be read: {error}") from error

    content, read = content_hash(path, workspace), _READ_ANEW.get(path.suffix)
    return DecontaminationSet(name, hash_of(content, read) if read else content, texts)


def _plain_text(path: Path) -> str:
    for row in plain_text(path, "text", MAX_TEXT_BYTES // BYTES_OF_UTF8, decode_plain_text):
        if isinstance(row, dict):
            return str(row["text"])
    raise ValueError(f"it is in no charset that is known, or has more than {MAX_TEXT_BYTES >> 20} MB")


def _strings_of_parquet(path: Path, columns: list[str] | None) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        if columns is None:
            columns = [field.name for field in file.schema_arrow if _has_text(field.type)]
        for batch in file.iter_batches(512, columns=columns):
            for column in batch.columns:
                yield from _strings(column.to_pylist())


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _has_text(kind.value_type)
    if pa.types.is_nested(kind):
        return any(_has_text(kind.field(number).type) for number in range(kind.num_fields))
    return any(test(kind) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view))


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in a JSON value: question, choices and answers, whatever a task calls them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


@dataclass(frozen=True, slots=True)
class Contamination:
    """A document's overlap with an evaluation set: its first n-gram that is in one."""

    evaluation_set: str
    ngram: str


class NgramIndex:
    """The n-grams of evaluation sets, as sorted 64-bit hashes.

    A false hit has probability (n-grams of the sets) / 1.8e19 for each n-gram of a document: 1e-4 in a corpus of 10^8
    documents of 500 words against a million n-grams.
    """

    def __init__(self, sets: Sequence[DecontaminationSet], n: int, language: str) -> None:
        """Raise InputError when the sets have more than MAX_NGRAMS n-grams, or one of them none."""
        self._n, self._language, self._names = n, language, [item.name for item in sets]
        hashes, owners = [np.empty(0, np.uint64)], [np.empty(0, np.uint16)]
        for number, item in enumerate(sets):
            own = _ngrams_of_set(item, n, language)
            if not len(own):
                raise InputError(
                    f"`decontaminate`: no text of {item.name} has {n} words, so that nothing of it can be found; "
                    "lower `decontamination_ngram`, or leave the set out"
                )
            hashes.append(own)
            owners.append(np.full(len(own), number, np.uint16))
            if sum(map(len, hashes)) > MAX_NGRAMS:
                raise InputError(
                    f"`decontaminate`: the sets up to {item.name} have more than {MAX_NGRAMS:,} n-grams, which memory "
                    "has no room for; leave the largest out"
                )
        # The first set that has an n-gram is the one named.
        self._hashes, first = np.unique(np.concatenate(hashes), return_index=True)
        self._owners = np.concatenate(owners)[first]

    def find(self, text: str) -> Contamination | None:
        """Return what a text shares with a set, or None."""
        running: list[str] = []
        for piece in pieces(simplified(text)):
            kept = max(len(running) - self._n + 1, 0)  # an n-gram may lie in two pieces
            running = running[kept:] + words(piece, self._language)
            if found := self._find(running):
                return found
        return None

    def _find(self, running: list[str]) -> Contamination | None:
        hashes = _ngram_hashes(running, self._n)
        if not len(hashes) or not len(self._hashes):
            return None
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        hits = self._hashes[places] == hashes
        if not hits.any():
            return None
        first = int(hits.argmax())
        return Contamination(self._names[self._owners[places[first]]], " ".join(running[first : first + self._n]))


def simplified(text: str) -> str:
    """Lower case, digits as 0, no diacritics, nothing unseen, a space for what is in no word."""
    text = clean(text).lower()
    if not text.isascii():
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).translate(_MARKS))
    return _NO_WORD.sub(" ", _DIGITS.sub("0", text)).strip()


def _ngrams_of_set(item: DecontaminationSet, n: int, language: str) -> npt.NDArray[np.uint64]:
    """Return hashes without repeats; memory stays within twice what is kept, however long the set."""
    found, waiting, size = np.empty(0, np.uint64), [], 0
    for text in item.texts():
        waiting.append(_ngram_hashes(words(simplified(text), language), n))
        size += len(waiting[-1])
        if size >= _BLOCK:
            found, waiting, size = np.unique(np.concatenate([found, *waiting])), [], 0
            if len(found) > MAX_NGRAMS:
                return found
    return np.unique(np.concatenate([found, *waiting]))


def _ngram_hashes(running: Sequence[str], n: int) -> npt.NDArray[np.uint64]:
    if len(running) < n:
        return np.empty(0, np.uint64)
    hashes = np.fromiter((xxhash.xxh3_64_intdigest(word.encode()) for word in running), np.uint64, len(running))
    combined = np.zeros(len(running) - n + 1, np.uint64)
    for place in range(n):
        combined *= _MULTIPLIER
        combined += hashes[place : place + len(combined)]
    return mix64(combined)


def remove_by_text(
    folder: Path,
    kept: pa.Table,
    files: DocumentFiles,
    lines: LineRule | None,
    sets: Sequence[DecontaminationSet],
    settings: CorpusSettings,
    funnel: CorpusFunnel,
) -> pa.Table:
    """Return the documents that line deduplication and decontamination leave; contaminated.parquet says who shares
    what.
    """
    ngrams = NgramIndex(sets, settings.decontamination_ngram, settings.language) if sets else None
    left: list[int] = []
    shared: dict[int, Contamination] = {}
    if lines or ngrams:
        for document in files.rows(kept["doc_no"].to_numpy(), lines):
            left.append(document["doc_no"])
            if ngrams and (contamination := ngrams.find(document["text"])):
                shared[document["doc_no"]] = contamination
        remain = among(kept["doc_no"].to_numpy(), np.array(left, np.uint64))
        funnel.add_table("line_dedup", "seen_lines", kept.filter(~remain))
        kept = kept.filter(remain)
    contaminated = np.isin(kept["doc_no"].to_numpy(), np.array([*shared], np.uint64))
    table = kept.filter(contaminated)
    funnel.add_table("decontamination", "contaminated", table)
    rows = [
        {**row, "evaluation_set": shared[row["doc_no"]].evaluation_set, "ngram": shared[row["doc_no"]].ngram}
        for row in table.select(["doc_no", "doc_id", "url"]).to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(rows, _CONTAMINATED), folder / "contaminated.parquet", compression="zstd")
    return kept.filter(~contaminated)
