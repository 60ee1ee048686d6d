"""Exact and near-duplicate removal over a table of documents: what stays, what goes, and who matched whom."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.exact_dedup import first_of_equals
from pipelines.minhash_dedup import greedy_leaders
from pipelines.settings import DedupSettings


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """Three parts of the documents, in their order, and the matches of those that went.

    `matches`: doc_id, doc_no, kept_doc_id, kept_doc_no, method (exact | minhash), similarity (estimated Jaccard).
    """

    kept: pa.Table
    exact_copies: pa.Table
    near_copies: pa.Table
    matches: pa.Table


def deduplicate(documents: pa.Table, settings: DedupSettings) -> Deduplicated:
    """Deduplicate a table with columns doc_id, doc_no, text_hash and signature, in doc_no order."""
    order = np.arange(documents.num_rows)
    first = first_of_equals(documents["text_hash"].to_pylist())
    firsts = np.flatnonzero(first == order)
    leaders = greedy_leaders(signature_matrix(documents.take(firsts)), settings)
    leader, similarity = np.empty_like(first), np.empty(len(first))
    leader[firsts], similarity[firsts] = firsts[leaders.leader], leaders.similarity
    # A copy of a document that went itself is like the same kept one: their signatures are equal.
    leader, similarity = leader[first], similarity[first]

    exact, went = first != order, leader != order
    matched = documents.take(leader[went])
    matches = pa.table(
        {
            "doc_id": documents.filter(went)["doc_id"],
            "doc_no": documents.filter(went)["doc_no"],
            "kept_doc_id": matched["doc_id"],
            "kept_doc_no": matched["doc_no"],
            "method": pa.array(np.where(exact, "exact", "minhash")[went], pa.string()),
            "similarity": pa.array(similarity[went], pa.float64()),
        }
    )
    return Deduplicated(documents.filter(~went), documents.filter(exact), documents.filter(went & ~exact), matches)


def signature_matrix(documents: pa.Table) -> npt.NDArray[np.uint32]:
    """Signatures of a table as an array of shape (documents, num_perm)."""
    joined = b"".join(documents["signature"].to_pylist())
    return np.frombuffer(joined, dtype="<u4").reshape(documents.num_rows, -1)
