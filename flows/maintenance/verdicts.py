"""Tells what became of each page that a corpus version was made of, in a form that joins Common Crawl's columnar index.

The form is that of https://github.com/commoncrawl/cc-index-annotations: columns of the index to join by (crawl,
warc_filename, warc_record_offset name a capture exactly), and ours under a prefix.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from flows.maintenance.published_version import PublishedVersion
from flows.maintenance.rollback import current
from pipelines.corpus.filter import write_filtered
from pipelines.corpus.shards import shard_files
from pipelines.documents.row import SCHEMA, STAGE_OF_REASON
from storage.duckdb_connection import connect_quietly
from storage.errors import InputError, os_sentence
from storage.workspace import Workspace

# Where a document that the filter kept is neither in a shard nor in left.parquet, its host was taken down since.
_VERDICTS = """
WITH documents AS (
    SELECT u.first_doc_no + row AS doc_no, *
    FROM (FROM read_parquet($files, union_by_name = true) UNION ALL BY NAME FROM no_document)
    JOIN units u USING (unit_id)),
splits AS (SELECT doc_no, starts_with(parse_filename(filename), 'train') AS is_train
          FROM read_parquet($shards, filename = true)),
left_later AS (
    SELECT doc_no, any_value(stage) AS stage, any_value(reason) AS reason FROM read_parquet($left) GROUP BY 1)
SELECT d.url, d.host AS url_host_name, try_cast(d.date AS TIMESTAMPTZ) AT TIME ZONE 'UTC' AS fetch_time,
    nullif(regexp_extract(d.warc_filename, 'CC-MAIN-[0-9]{4}-[0-9]{2}'), '') AS crawl,
    d.warc_filename, d.warc_record_offset, d.warc_record_length, d.content_digest, d.content_languages,
    s.doc_no IS NOT NULL AS nr_kept,
    CASE WHEN s.is_train THEN 'train' WHEN NOT s.is_train THEN 'held_out' END AS nr_side,
    CASE WHEN s.doc_no IS NOT NULL THEN 'corpus' WHEN NOT j.filtered THEN r.stage
         WHEN j.verdict <> 'kept' THEN 'verdict' ELSE coalesce(l.stage, 'take_down') END AS nr_stage,
    CASE WHEN s.doc_no IS NOT NULL THEN 'kept' WHEN j.verdict <> 'kept' THEN j.verdict
         ELSE coalesce(l.reason, 'forgotten_host') END AS nr_reason,
    d.language AS nr_language, d.language_score AS nr_language_score, d.characters AS nr_characters,
    d.doc_id AS nr_doc_id
FROM documents d JOIN read_parquet($filtered) j USING (doc_no)
LEFT JOIN splits s USING (doc_no) LEFT JOIN left_later l USING (doc_no) LEFT JOIN stages r ON r.reason = j.verdict
ORDER BY d.warc_filename, d.warc_record_offset, doc_no
"""


def write_verdicts(workspace: Workspace, corpus: str, path: Path) -> int:
    """Write one row a page of the version in use to a Parquet file, whose folder is there; return how many.

    Raises InputError for a corpus that there is not, and as PublishedVersion.bad_words does.
    """
    version = PublishedVersion(workspace, corpus, current(workspace, corpus))
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}; make it, or give another place")
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
    filtered = spill / "filtered.parquet"
    write_filtered(filtered, list(files.values()), first, version.settings, spill, version.bad_words())
    units = {"unit_id": pa.array(first, pa.string()), "first_doc_no": pa.array(first.values(), pa.uint64())}
    with connect_quietly(temp_directory=str(spill)) as connection:
        connection.register("units", pa.table(units))
        stages = {"reason": list(STAGE_OF_REASON), "stage": list(STAGE_OF_REASON.values())}
        connection.register("stages", pa.table(stages))
        connection.register("no_document", SCHEMA.empty_table())
        found = connection.sql(
            _VERDICTS,
            params={
                "files": [str(file) for file in files.values()],
                "filtered": str(filtered),
                "left": [str(folder / "left.parquet") for folder in version.judged_in],
                "shards": [str(file) for split in ("train", "held_out") for file in shard_files(version.folder, split)],
            },
        )
        found.create_view("verdicts")
        yield connection
