"""What a version of a corpus gained and lost against its parent."""

from pathlib import Path

import duckdb

from pipelines.shards import shard_files

_GAINED = """
SELECT count(*), coalesce(sum(characters), 0)::BIGINT FROM read_parquet($own)
WHERE doc_id NOT IN (SELECT doc_id FROM read_parquet($other))
"""
_ALL = "SELECT count(*), coalesce(sum(characters), 0)::BIGINT FROM read_parquet($own)"


def changes_since(parent: Path | None, folder: Path, duplicates: int) -> dict[str, int]:
    """Documents, by doc_id, and characters that the version in `folder` has and its parent has not, and the reverse."""
    gained, lost = _gained(folder, parent), _gained(parent, folder) if parent else (0, 0)
    return {
        "documents_gained": gained[0],
        "characters_gained": gained[1],
        "documents_lost": lost[0],
        "characters_lost": lost[1],
        "duplicates": duplicates,
    }


def _gained(folder: Path, other: Path | None) -> tuple[int, int]:
    files = {"own": _shards(folder)} | ({"other": _shards(other)} if other else {})
    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as connection:
        row = connection.execute(_GAINED if other else _ALL, files).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _shards(folder: Path) -> list[str]:
    return [str(file) for side in ("train", "held_out") for file in shard_files(folder, side)]
