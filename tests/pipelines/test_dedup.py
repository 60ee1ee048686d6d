"""Exact, near and line deduplication against plain implementations."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.deduplicate import deduplicate
from pipelines.line_dedup import SeenLines
from pipelines.minhash_dedup import greedy_leaders
from pipelines.normalise import normalise
from pipelines.settings import DedupSettings

SMALL = DedupSettings(bands=4, rows=2, threshold=0.5)

# Few values, so that signatures of 8 share bands and come near one another often.
signatures = st.lists(st.lists(st.integers(0, 2), min_size=8, max_size=8), min_size=1, max_size=40).map(
    lambda rows: np.array(rows, dtype=np.uint32)
)


def plain_leaders(rows: npt.NDArray[np.uint32], dedup: DedupSettings) -> list[int]:
    """The definition: compare each document with every kept one that shares a band with it."""
    kept: list[int] = []
    leaders = []
    for index, row in enumerate(rows):
        bands = row.reshape(dedup.bands, dedup.rows)
        near = [
            (np.mean(rows[other] == row), -other)
            for other in kept
            if (rows[other].reshape(dedup.bands, dedup.rows) == bands).all(axis=1).any()
        ]
        similarity, other = max(near, default=(0.0, 0))
        if similarity >= dedup.threshold:
            leaders.append(-other)
        else:
            kept.append(index)
            leaders.append(index)
    return leaders


@settings(deadline=None)
@given(signatures)
def test_greedy_leader_is_the_definition(rows: npt.NDArray[np.uint32]) -> None:
    assert greedy_leaders(rows, SMALL).leader.tolist() == plain_leaders(rows, SMALL)


@settings(deadline=None)
@given(signatures, st.integers(0, 40))
def test_later_documents_change_nothing_for_earlier_ones(rows: npt.NDArray[np.uint32], cut: int) -> None:
    whole, part = greedy_leaders(rows, SMALL), greedy_leaders(rows[:cut], SMALL)
    assert whole.leader[:cut].tolist() == part.leader.tolist()


@settings(deadline=None)
@given(signatures)
def test_survivors_are_kept_leaders_and_each_match_is_verified(rows: npt.NDArray[np.uint32]) -> None:
    found = greedy_leaders(rows, SMALL)
    for document, leader in enumerate(found.leader.tolist()):
        assert found.leader[leader] == leader <= document
        assert (rows[leader] == rows[document]).mean() == found.similarity[document]
        assert leader == document or found.similarity[document] >= SMALL.threshold


def test_no_removal_by_transitivity() -> None:
    # b is like a, c is like b, c is not like a: with b gone, c stays.
    a, b, c = [0] * 8, [0] * 5 + [1] * 3, [0] * 2 + [2] * 3 + [1] * 3
    assert greedy_leaders(np.array([a, b, c], dtype=np.uint32), SMALL).leader.tolist() == [0, 0, 2]


def test_copies_of_a_near_copy_are_matched_to_what_was_kept() -> None:
    near = [0] * 7 + [1]
    table = pa.table(
        {
            "doc_id": ["original", "near", "copy of near", "copy of original"],
            "doc_no": pa.array([1, 2, 3, 4], pa.uint64()),
            "text_hash": [b"o", b"n", b"n", b"o"],
            "signature": [np.array(row, dtype="<u4").tobytes() for row in ([0] * 8, near, near, [0] * 8)],
        }
    )
    found = deduplicate(table, SMALL)
    assert found.kept["doc_id"].to_pylist() == ["original"]
    assert found.near_copies["doc_id"].to_pylist() == ["near"]
    assert found.exact_copies["doc_id"].to_pylist() == ["copy of near", "copy of original"]
    assert [(row["kept_doc_id"], row["method"], row["similarity"]) for row in found.matches.to_pylist()] == [
        ("original", "minhash", 0.875),
        ("original", "exact", 0.875),
        ("original", "exact", 1.0),
    ]


texts = st.lists(
    st.lists(st.sampled_from(["menu", " menu ", "", "one", "two", "three\u00a0 x"]), max_size=6), max_size=8
)


@given(texts, st.integers(1, 8))
def test_line_dedup_is_the_definition(documents: list[list[str]], least: int) -> None:
    lines, seen = SeenLines(least), set()
    for number, document in enumerate(documents):
        stripped = lines.strip("\n".join(document), number)
        left = [line for line in document if not normalise(line) or normalise(line) not in seen]
        expected = "\n".join(left) if len(left) == len(document) else "\n".join(left).strip()
        assert stripped == (expected if len(expected) >= least else None)
        if stripped is not None:
            seen |= {normalise(line) for line in left} - {""}
    assert set(lines.first_doc_no.values()) <= set(range(len(documents)))


def test_lines_repeated_within_a_document_stay_and_those_of_a_lost_one_are_not_seen() -> None:
    lines = SeenLines(10)
    assert lines.strip("chorus line\nverse\nchorus line", 0) == "chorus line\nverse\nchorus line"
    assert lines.strip("chorus line\nshort", 1) is None
    assert lines.strip("short\nand a longer one", 2) == "short\nand a longer one"
