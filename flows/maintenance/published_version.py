"""A version of a corpus that was published, as its pages: who stayed, who left and for what, and each as extracted."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.corpus.filter import sample_of
from pipelines.corpus.shards import shard_files
from pipelines.dedup.index import first_doc_nos
from pipelines.denylist import DenyList, denied_hosts
from pipelines.settings import CorpusSettings
from pipelines.sources.work_units import documents_file
from pipelines.text.bad_words import BAD_WORDS, BadWords, read_bad_words
from storage.duckdb_connection import connect_quietly
from storage.errors import InputError
from storage.publish import read_manifest
from storage.workspace import Workspace

TAKEN_DOWN = "no text: its host was taken down"
_COLUMNS = ["url", "title", "text", "host"]
_UNIT_BITS = 32  # of a doc_no, below them the row


@dataclass(frozen=True)
class Page:
    """A page as it is shown. It has no text where it left before main content was extracted, or was taken down."""

    url: str
    title: str
    text: str
    no_text: str = "no text was extracted"  # said in place of it


class PublishedVersion:
    """A version of a corpus, and the documents that it was made of."""

    def __init__(self, workspace: Workspace, corpus: str, version: str) -> None:
        self.folder, self._corpus = workspace.corpus_version(corpus, version), corpus
        self._denied = DenyList([entry.host for entry in denied_hosts(workspace)])
        manifest = read_manifest(self.folder)
        if manifest is None or "segments" not in manifest["inputs"]:
            raise InputError(
                f"version {version} of corpus {corpus} is of an earlier neutral-residues: run `nr refresh CONFIG`"
            )
        self.manifest = manifest
        inputs = manifest["inputs"]
        self._documents = workspace.documents(inputs["documents_key"])
        self.first_doc_nos = first_doc_nos(inputs["refreshes"])
        self._unit = {first >> _UNIT_BITS: unit_id for unit_id, first in self.first_doc_nos.items()}
        # Who left is written by the version that filtered: this one, and those that it is incremental from.
        versions = {**dict.fromkeys(inputs["segments"]), version: None}
        self.judged_in = [workspace.corpus_version(corpus, name) for name in versions]

    def left_after_filter(self, reason: str, number: int) -> list[tuple[int, int | None, str]]:
        """Return doc_no, doc_no of the kept one that it is like, and a note, of documents in left.parquet."""
        found: list[tuple[int, int | None, str]] = []
        for folder in self.judged_in:
            left = pq.read_table(folder / "left.parquet")
            doc_nos = left.filter(pc.equal(left["reason"], reason))["doc_no"].to_pylist()[: number - len(found)]
            matches = _by_doc_no(folder / "duplicates.parquet", doc_nos)
            shared = _by_doc_no(folder / "contaminated.parquet", doc_nos)
            for doc_no in doc_nos:
                if match := matches.get(doc_no):
                    note = f"similarity {match['similarity']:.3f} ({match['method']})"
                    found.append((doc_no, match["kept_doc_no"], note))
                elif hit := shared.get(doc_no):
                    found.append((doc_no, None, f"shares with {hit['evaluation_set']}: {hit['ngram']}"))
                else:
                    found.append((doc_no, None, ""))
        return found

    def left_by_filter(self, reason: str, number: int) -> list[int]:
        bad_words = self.bad_words() if reason == BAD_WORDS else None
        files = list(self.files().values())
        with tempfile.TemporaryDirectory() as spill:
            return sample_of(reason, number, files, self.first_doc_nos, self.settings, Path(spill), bad_words)

    @property
    def settings(self) -> CorpusSettings:
        return CorpusSettings.model_validate(self.manifest["settings"])

    def files(self) -> dict[str, Path]:
        """Return the documents files by unit."""
        return {unit_id: documents_file(self._documents, unit_id) for unit_id in self.first_doc_nos}

    def bad_words(self) -> BadWords | None:
        """Return the list by which the version was made. Raises InputError where it is another now."""
        bad_words = read_bad_words(self._corpus, self.settings)
        if bad_words is not None and bad_words.content_hash != self.manifest["inputs"]["bad_words"]:
            raise InputError(
                f"`corpora.{self._corpus}.bad_words`: {self.settings.bad_words} is no longer the list by which version "
                f"{self.folder.name} was made; put that list back, or run `nr refresh CONFIG`"
            )
        return bad_words

    def kept_pages(self, number: int) -> Iterator[Page]:
        for file in shard_files(self.folder, "train"):
            with pq.ParquetFile(file) as shard:
                batches = shard.iter_batches(max(number, 1), columns=_COLUMNS)
                yield from map(self._page, next(batches).to_pylist())

    def page(self, doc_no: int) -> Page:
        """Return a document as it was extracted; without its text where its host was taken down."""
        file = documents_file(self._documents, self._unit[doc_no >> _UNIT_BITS])
        with connect_quietly() as connection:
            row = connection.execute(
                f"SELECT {', '.join(_COLUMNS)} FROM read_parquet(?) WHERE row = ?",  # noqa: S608
                [str(file), doc_no % (1 << _UNIT_BITS)],
            ).fetchone()
        assert row is not None
        return self._page(dict(zip(_COLUMNS, row, strict=True)))

    def _page(self, row: dict[str, Any]) -> Page:
        if self._denied.mask(pa.table({"host": [row["host"]]})).any():
            return Page(row["url"] or "", "", "", TAKEN_DOWN)
        return Page(row["url"] or "", row["title"] or "", row["text"] or "")


def _by_doc_no(path: Path, doc_nos: list[int]) -> dict[int, dict[str, Any]]:
    table = pq.read_table(path)
    wanted = pc.is_in(table["doc_no"], pc.cast(doc_nos, table["doc_no"].type)) if doc_nos else None
    return {row["doc_no"]: row for row in table.filter(wanted).to_pylist()} if wanted is not None else {}
