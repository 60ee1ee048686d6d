"""Tells what became of each page that a corpus version was made of, in a form that joins Common Crawl's columnar index.

The form is that of https://github.com/commoncrawl/cc-index-annotations: columns of the index to join by (crawl,
warc_filename, warc_record_offset name a capture exactly), and ours under a prefix.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.maintenance.rollback import current
from pipelines.corpus.filter import sample_of, write_judged
from pipelines.corpus.shards import shard_files
from pipelines.dedup.index import first_doc_nos
from pipelines.documents.row import SCHEMA, STAGE_OF_REASON
from pipelines.settings import CorpusSettings
from pipelines.sources.work_units import documents_file
from pipelines.text.bad_words import BAD_WORDS, BadWords, read_bad_words
from storage.errors import InputError, os_sentence
from storage.publish import read_manifest
from storage.workspace import Workspace

# Where a document that the filter kept is neither in a shard nor in left.parquet, its host was taken down since.
_VERDICTS = """
WITH documents AS (
    SELECT u.first_doc_no + row AS doc_no, *
    FROM (FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME FROM no_document)
    JOIN units u USING (unit_id)),
sides AS (SELECT doc_no, starts_with(parse_filename(filename), 'train') AS is_train
          FROM read_parquet($shards, filename = true)),
left_later AS (
    SELECT doc_no, any_value(stage) AS stage, any_value(reason) AS reason FROM read_parquet($left) GROUP BY 1)
SELECT d.url, d.host AS url_host_name, try_cast(d.date AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS fetch_time,
    nullif(regexp_extract(d.warc_filename, 'CC-MAIN-[0-9]{4}-[0-9]{2}'), '') AS crawl,
    d.warc_filename, d.warc_record_offset, d.warc_record_length, d.content_digest, d.content_languages,
    s.doc_no IS NOT NULL AS nr_kept,
    CASE WHEN s.is_train THEN 'train' WHEN NOT s.is_train THEN 'held_out' END AS nr_side,
    CASE WHEN s.doc_no IS NOT NULL THEN 'corpus' WHEN NOT j.judged THEN r.stage
         WHEN j.verdict <> 'kept' THEN 'verdict' ELSE coalesce(l.stage, 'take_down') END AS nr_stage,
    CASE WHEN s.doc_no IS NOT NULL THEN 'kept' WHEN j.verdict <> 'kept' THEN j.verdict
         ELSE coalesce(l.reason, 'forgotten_host') END AS nr_reason,
    d.language AS nr_language, d.language_score AS nr_language_score, d.characters AS nr_characters,
    d.doc_id AS nr_doc_id
FROM documents d JOIN read_parquet($judged) j USING (doc_no)
LEFT JOIN sides s USING (doc_no) LEFT JOIN left_later l USING (doc_no) LEFT JOIN stages r ON r.reason = j.verdict
ORDER BY d.warc_filename, d.warc_record_offset, doc_no
"""
_UNIT_BITS = 32  # of a doc_no, below them the row


@dataclass(frozen=True)
class Page:
    """A page as it is shown. A page that left before its main content was extracted has no text."""

    url: str
    title: str
    text: str


class PublishedVersion:
    """A version of a corpus, and the documents that it was made of."""

    def __init__(self, workspace: Workspace, corpus: str, version: str) -> None:
        self.folder, self._corpus = workspace.corpus_version(corpus, version), corpus
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
        # Who left is written by the version that judged: this one, and those that it continues.
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
                batches = shard.iter_batches(max(number, 1), columns=["url", "title", "text"])
                yield from (_page(row) for row in next(batches).to_pylist())

    def page(self, doc_no: int) -> Page:
        """Return a document as it was extracted."""
        file = documents_file(self._documents, self._unit[doc_no >> _UNIT_BITS])
        with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
            row = connection.execute(
                "SELECT url, title, text FROM read_parquet(?) WHERE row = ?", [str(file), doc_no % (1 << _UNIT_BITS)]
            ).fetchone()
        assert row is not None
        return _page(dict(zip(("url", "title", "text"), row, strict=True)))


def _by_doc_no(path: Path, doc_nos: list[int]) -> dict[int, dict[str, Any]]:
    table = pq.read_table(path)
    wanted = pc.is_in(table["doc_no"], pc.cast(doc_nos, table["doc_no"].type)) if doc_nos else None
    return {row["doc_no"]: row for row in table.filter(wanted).to_pylist()} if wanted is not None else {}


def _page(row: dict[str, Any]) -> Page:
    return Page(row["url"] or "", row["title"] or "", row["text"] or "")


def write_verdicts(workspace: Workspace, corpus: str, path: Path) -> int:
    """Write one row a page of the version in use to a Parquet file, whose folder is there; return how many.

    Raises InputError for a corpus that there is not, and as PublishedVersion.bad_words does.
    """
    version = PublishedVersion(workspace, corpus, current(workspace, corpus))
    partial = path.with_name(f".{path.name}.partial")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent) as spill, connected(version, None, Path(spill)) as connection:
            found = connection.sql("FROM verdicts")
            found.to_parquet(str(partial), compression="zstd")
        partial.replace(path)
    except OSError as error:
        raise InputError(os_sentence(error, at=path)) from None
    finally:
        partial.unlink(missing_ok=True)
    return pq.read_metadata(path).num_rows


def verdict_of(version: PublishedVersion, unit_id: str, doc_id: str) -> tuple[str, str] | None:
    """Return stage and reason of a document of a unit, for a version; None where it has no such document."""
    if unit_id not in version.first_doc_nos:
        return None
    with tempfile.TemporaryDirectory() as spill, connected(version, unit_id, Path(spill)) as connection:
        row = connection.execute("SELECT nr_stage, nr_reason FROM verdicts WHERE nr_doc_id = ?", [doc_id]).fetchone()
    return row and (str(row[0]), str(row[1]))


@contextmanager
def connected(version: PublishedVersion, unit_id: str | None, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the table `verdicts`, of all units of a version or of one."""
    files = {unit: file for unit, file in version.files().items() if unit_id in (None, unit)}
    first = {unit: version.first_doc_nos[unit] for unit in files}
    judged = spill / "judged.parquet"
    write_judged(judged, list(files.values()), first, version.settings, spill, version.bad_words())
    units = {"unit_id": pa.array(first, pa.string()), "first_doc_no": pa.array(first.values(), pa.uint64())}
    with duckdb.connect(config={"temp_directory": str(spill), "autoinstall_known_extensions": "false"}) as connection:
        connection.register("units", pa.table(units))
        stages = {"reason": list(STAGE_OF_REASON), "stage": list(STAGE_OF_REASON.values())}
        connection.register("stages", pa.table(stages))
        connection.register("no_document", SCHEMA.empty_table())
        found = connection.sql(
            _VERDICTS,
            params={
                "files": [str(file) for file in files.values()],
                "judged": str(judged),
                "left": [str(folder / "left.parquet") for folder in version.judged_in],
                "shards": [str(file) for side in ("train", "held_out") for file in shard_files(version.folder, side)],
            },
        )
        found.create_view("verdicts")
        yield connection
