"""Clusters of copies, and the repetition of documents by the size of theirs.

What many sites carry is often better than what none copies, and what thousands carry is boilerplate: FineWeb2 repeats
a document by the number of copies that deduplication took away. Weights: huggingface/fineweb-2.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpus.shards import ShardWriter, read_shards, shard_files
from storage.duckdb_connection import connect_quietly

# Smallest size of a cluster, and how often its document then stands in the corpus.
WEIGHTS = ((1, 1), (2, 2), (3, 3), (5, 5), (100, 8), (1000, 1))


def weight_of(size: int) -> int:
    return next(weight for least, weight in reversed(WEIGHTS) if size >= least)


def write_clusters(folder: Path, versions: Sequence[Path]) -> None:
    """Write clusters.parquet: doc_no and doc_id of each document that copies were found of, size of the cluster with
    itself, and weight. `versions` are those whose matches count, the one in `folder` among them."""
    with connect_quietly() as connection:
        files = [str(version / "duplicates.parquet") for version in versions]
        matches = connection.read_parquet(files)
        sizes = matches.aggregate("kept_doc_no AS doc_no, any_value(kept_doc_id) AS doc_id, count(*) + 1 AS size")
        table = sizes.order("doc_no").to_arrow_table()
    weights = pa.array([weight_of(size) for size in table["size"].to_pylist()], pa.int64())
    pq.write_table(table.append_column("weight", weights), folder / "clusters.parquet", compression="zstd")


def read_weights(folder: Path) -> Mapping[int, int]:
    """Return the weights over 1, by doc_no."""
    rows = pq.read_table(folder / "clusters.parquet", columns=["doc_no", "weight"]).to_pylist()
    return {row["doc_no"]: row["weight"] for row in rows if row["weight"] > 1}


def write_repeats(folder: Path) -> int:
    """Write what the train split repeats into shards of its own, `train-repeats-…`; return the number of documents.

    Apart from the others, since each version has other weights, while it takes over its parent's shards.
    """
    weights = read_weights(folder)
    with ShardWriter(folder, "train-repeats") as writer:
        for row in read_shards(shard_files(folder, "train")) if weights else ():
            for _ in range(weights.get(row["doc_no"], 1) - 1):
                writer.add(row)
    return writer.documents
