"""The filter over scores: which documents a corpus takes, by SQL, so that thresholds change without re-extraction."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.corpus.shards import shard_files
from pipelines.settings import CorpusSettings
from pipelines.sources.urls import ascii_host_pattern
from pipelines.text.bad_words import BAD_WORDS, BadWords
from pipelines.text.rules import RULES, Rule
from storage.duckdb_connection import connect_quietly
from storage.errors import InputError

# Reason and remedy: of pages that never came here, then in the order in which a document meets the rules.
REMEDIES: Mapping[str, str] = {
    "poison_record": "they hung or ended what read them; look into these records, or leave their file out",
    "other_language": "their whole page is in none of documents.languages",
    "host": "their host fits no pattern of corpora.{name}.hosts",
    "language": "they are not in language '{language}' (corpora.{name}.language)",
    "language_score": "their language is less sure than corpora.{name}.min_language_score",
    "too_short": "they are shorter than corpora.{name}.min_characters",
    **{
        rule.name: f"their {rule.meaning}; set corpora.{{name}}.rules.{rule.name} to another threshold, or to false"
        for rule in RULES
    },
    BAD_WORDS: "they hold a word of the list corpora.{name}.bad_words; shorten it, or leave the field out",
}

_FILTER = """
CREATE TEMP TABLE filtered AS
SELECT u.first_doc_no + d.row AS doc_no, d.doc_id, d.url, d.host, d.language, d.characters, d.text_hash,
    CASE
        WHEN d.reason <> 'kept' THEN d.reason
        WHEN NOT list_bool_or(list_transform($hosts, lambda pattern: d.host GLOB pattern)) THEN 'host'
        WHEN d.language <> $language THEN 'language'
        WHEN d.language_score < $min_language_score THEN 'language_score'
        WHEN d.characters < $min_characters THEN 'too_short'
        {rules}
        {bad_words}
        ELSE 'kept'
    END AS verdict,
    d.reason = 'kept' AS filtered
FROM read_parquet($files) d JOIN units u USING (unit_id)
"""


@dataclass(frozen=True, slots=True)
class Filtered:
    """`kept`: doc_no, doc_id, url, host, characters, text_hash, in doc_no order.

    `left`: language, reason, documents, characters of those that the filter left out.
    `unread`: documents by reason that never reached main content, most first.
    """

    kept: pa.Table
    left: list[dict[str, Any]]
    unread: dict[str, int]


# What the filter leaves where no unit is new: only hosts were taken down.
NOTHING = Filtered(
    pa.schema(
        [
            ("doc_no", pa.uint64()),
            *((name, pa.string()) for name in ("doc_id", "url", "host")),
            ("characters", pa.int64()),
            ("text_hash", pa.binary()),
        ]
    ).empty_table(),
    [],
    {},
)


def filter_documents(
    files: Sequence[Path],
    first_doc_nos: Mapping[str, int],
    settings: CorpusSettings,
    spill: Path,
    bad_words: BadWords | None = None,
) -> Filtered:
    """Filter all documents of some units, given each unit's documents file and first doc_no. `spill` is a folder."""
    with _filtered(files, first_doc_nos, settings, spill, bad_words) as connection:
        kept = connection.sql(
            "SELECT doc_no::UBIGINT AS doc_no, doc_id, url, host, characters, text_hash "
            "FROM filtered WHERE verdict = 'kept' ORDER BY doc_no"
        ).to_arrow_table()
        left = connection.sql(
            "SELECT language, verdict AS reason, count(*) AS documents, sum(characters)::BIGINT AS characters "
            "FROM filtered WHERE filtered AND verdict <> 'kept' GROUP BY ALL ORDER BY ALL"
        ).to_arrow_table()
        unread = connection.sql(
            "SELECT verdict, count(*) FROM filtered WHERE NOT filtered GROUP BY ALL ORDER BY 2 DESC, 1"
        ).fetchall()
    return Filtered(kept, left.to_pylist(), dict(unread))


def sample_of(
    verdict: str,
    number: int,
    files: Sequence[Path],
    first_doc_nos: Mapping[str, int],
    settings: CorpusSettings,
    spill: Path,
    bad_words: BadWords | None = None,
) -> list[int]:
    """Return the doc_nos of at most `number` documents with this verdict, the same ones each time."""
    with _filtered(files, first_doc_nos, settings, spill, bad_words) as connection:
        chosen = "SELECT doc_no FROM filtered WHERE verdict = ? ORDER BY hash(doc_no::UBIGINT), doc_no LIMIT ?"
        return [int(row[0]) for row in connection.execute(chosen, [verdict, number]).fetchall()]


def write_filtered(
    path: Path,
    files: Sequence[Path],
    first_doc_nos: Mapping[str, int],
    settings: CorpusSettings,
    spill: Path,
    bad_words: BadWords | None = None,
) -> None:
    """Write doc_no and verdict of all documents of some units to a Parquet file: kept, or why they left."""
    with _filtered(files, first_doc_nos, settings, spill, bad_words) as connection:
        connection.sql("SELECT doc_no, verdict, filtered FROM filtered").to_parquet(str(path), compression="zstd")


@contextmanager
def _filtered(
    files: Sequence[Path],
    first_doc_nos: Mapping[str, int],
    settings: CorpusSettings,
    spill: Path,
    bad_words: BadWords | None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the table `filtered`."""
    units = pa.table(
        {
            "unit_id": pa.array(first_doc_nos.keys(), pa.string()),
            "first_doc_no": pa.array(first_doc_nos.values(), pa.uint64()),
        }
    )
    limits = settings.thresholds()
    rules = [rule for rule in RULES if rule.name in limits]
    with (
        tempfile.TemporaryDirectory(dir=spill) as folder,
        connect_quietly(temp_directory=folder) as connection,
    ):
        connection.register("units", units)
        if bad_words is not None:
            connection.create_function("holds_bad_word", bad_words.found_in, ["VARCHAR"], "BOOLEAN")
        connection.execute(
            _FILTER.format(  # names out of our own table
                rules="\n        ".join(map(_condition, rules)),
                # Last: the one rule that reads texts, and only those that no other rule left out.
                bad_words=f"WHEN holds_bad_word(d.text) THEN '{BAD_WORDS}'" if bad_words is not None else "",
            ),
            {
                "files": [str(file) for file in files],
                "hosts": [ascii_host_pattern(pattern) for pattern in settings.hosts],
                **settings.model_dump(include={"language", "min_language_score", "min_characters"}),
                **limits,
            },
        )
        yield connection


def _condition(rule: Rule) -> str:
    # Scores are stored as FLOAT; a share of .3 must be compared with .3 as FLOAT too.
    return f"WHEN d.{rule.score} {'<' if rule.is_minimum else '>'} ${rule.name}::FLOAT THEN '{rule.name}'"


# Corpora, and splits of them, that would hold no document: refused with a sentence that names what took them.


def why_empty(name: str, settings: CorpusSettings, filtered: Filtered) -> str:
    left = Counter(filtered.unread)
    for row in filtered.left:
        left[row["reason"]] += row["documents"]
    if not left:
        return f"corpus {name} is empty: its sources {settings.sources} hold no document; give other sources"
    [(reason, documents)] = left.most_common(1)
    remedy = REMEDIES.get(reason, "they gave no text; check what the sources hold")
    return (
        f"corpus {name} is empty: of {left.total()} documents, {documents} left with reason {reason}: "
        f"{remedy.format(name=name, language=settings.language)}"
    )


def left_before(name: str, settings: CorpusSettings, funnel: Iterable[Mapping[str, Any]]) -> str:
    """Return what took the documents that never came to the splits, as the end of a sentence; '' if none left."""
    left = Counter[str]()
    for row in funnel:
        left[row["reason"]] += row["documents"]
    if not left.total():
        return ""
    [(reason, documents)] = left.most_common(1)
    why = REMEDIES.get(reason, "they gave no text, or are copies of others").format(
        name=name, language=settings.language
    )
    return f" ({left.total()} had left before, {documents} of them with reason {reason}: {why})"


def sizes_of_splits(name: str, folder: Path, settings: CorpusSettings) -> tuple[dict[str, int], dict[str, int]]:
    """Count documents and characters by split. Raises InputError where one has none."""
    documents, characters = {}, {}
    for split in ("train", "held_out"):
        columns = [pq.read_table(file, columns=["characters"])["characters"] for file in shard_files(folder, split)]
        documents[split] = sum(map(len, columns))
        characters[split] = sum(pc.sum(column).as_py() for column in columns)
    if not documents["train"]:
        raise InputError(
            f"corpus {name}: the train split would be empty, since every {settings.split_by} in it is held out since "
            "its first version or was taken down; add sources, or publish it under a new name"
        )
    if not documents["held_out"]:
        raise InputError(
            f"corpus {name}: the held-out split would be empty, since all its hosts were taken down; publish the "
            "corpus under a new name, which holds out others"
        )
    return documents, characters
