"""Exact, near and line deduplication against plain implementations, at once and over several refreshes."""

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.dedup import lines as line_dedup
from pipelines.dedup import minhash
from pipelines.dedup.deduplicate import deduplicate
from pipelines.dedup.index import Segment, write_segment
from pipelines.dedup.lines import LineRule, SeenLines, SeenParagraphs, line_rule
from pipelines.dedup.minhash import DocNos, Signatures, _most_similar, greedy_leaders
from pipelines.pages.characters import normalise, text_hash
from pipelines.settings import DedupSettings

SMALL = DedupSettings(bands=4, rows=2, threshold=0.5)

# Few values, so that signatures of 8 share bands and come near one another often.
signatures = st.lists(st.lists(st.integers(0, 2), min_size=8, max_size=8), min_size=1, max_size=40).map(
    lambda rows: np.array(rows, dtype=np.uint32)
)
cuts = st.lists(st.integers(0, 40), max_size=4).map(sorted)


def streamed(rows: npt.NDArray[np.uint32], batch: int = 3) -> Callable[[DocNos], Iterator[tuple[DocNos, Signatures]]]:
    """Signatures by doc_no, where doc_no is the row."""

    def stream(wanted: DocNos) -> Iterator[tuple[DocNos, Signatures]]:
        for start in range(0, len(wanted), batch):
            part = wanted[start : start + batch]
            yield part, rows[part.astype(int)]

    return stream


def elsewhere(function: Callable[[Any], Any], jobs: Iterable[Any]) -> list[Any]:
    """As a cluster runs jobs: each is sent away, and they end in any order."""
    outcomes = []
    for job in reversed([pickle.dumps((function, job)) for job in jobs]):
        run, given = pickle.loads(job)
        outcomes.append(pickle.dumps(run(given)))
    return [pickle.loads(outcome) for outcome in reversed(outcomes)]


def leaders(rows: npt.NDArray[np.uint32]) -> tuple[list[int], list[float]]:
    with tempfile.TemporaryDirectory() as folder:
        found = greedy_leaders(np.arange(len(rows), dtype=np.uint64), streamed(rows), [], SMALL, Path(folder))
    return found.leader.tolist(), found.similarity.tolist()


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


def in_refreshes(table: pa.Table, rows: npt.NDArray[np.uint32], cut: Sequence[int], folder: Path) -> dict[str, Any]:
    """What deduplication gives when the documents come in parts, each compared with the segments of those before."""
    ends = [*cut, table.num_rows]
    kept, matches = [], []
    index: list[Segment] = []
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        part = table.slice(start, max(end - start, 0))
        found = deduplicate(part, streamed(rows), index, SMALL, folder, elsewhere)
        no_lines = (np.empty(0, np.uint64), np.empty(0, np.uint64))
        write_segment(folder / str(number), found.kept, found.texts, streamed(rows), no_lines, SMALL)
        index.append(Segment(folder / str(number)))
        kept += found.kept["doc_id"].to_pylist()
        matches += found.matches.to_pylist()
    return {"kept": kept, "matches": matches}


@given(signatures)
def test_greedy_leader_is_the_definition(rows: npt.NDArray[np.uint32]) -> None:
    assert leaders(rows)[0] == plain_leaders(rows, SMALL)


@given(signatures, st.integers(0, 40))
def test_later_documents_change_nothing_for_earlier_ones(rows: npt.NDArray[np.uint32], cut: int) -> None:
    assert leaders(rows)[0][:cut] == leaders(rows[:cut])[0]


@given(signatures)
def test_survivors_are_kept_leaders_and_each_match_is_verified(rows: npt.NDArray[np.uint32]) -> None:
    found, similarity = leaders(rows)
    for document, leader in enumerate(found):
        assert found[leader] == leader <= document
        assert (rows[leader] == rows[document]).mean() == similarity[document]
        assert leader == document or similarity[document] >= SMALL.threshold


def test_pages_of_one_template_are_compared_with_the_last_of_them_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share a bucket, and are no copies. A copy of the first is found by the other buckets of it."""
    rows = np.arange(60 * 8, dtype=np.uint32).reshape(60, 8)
    rows[:, :2] = 7
    rows[59] = [7, 7, *rows[0, 2:7], 0]
    compared: list[int] = []

    def most_similar(signatures: Signatures, document: int, others: list[int]) -> tuple[int, float]:
        compared.append(len(others))
        return _most_similar(signatures, document, others)

    monkeypatch.setattr(minhash, "MAX_COMPARED", 5)
    monkeypatch.setattr(minhash, "_most_similar", most_similar)
    assert leaders(rows)[0] == [*range(59), 0]
    assert max(compared) == 6


@settings(max_examples=60)
@given(signatures, st.lists(st.integers(0, 39), min_size=40, max_size=40), cuts)
def test_any_number_of_refreshes_gives_what_one_gives(
    rows: npt.NDArray[np.uint32], like: list[int], cut: list[int]
) -> None:
    # Some documents have the text, and so the signature, of an earlier one.
    source = [min(index, other) for index, other in enumerate(like[: len(rows)])]
    table = pa.table(
        {
            "doc_id": [f"d{index}" for index in range(len(rows))],
            "doc_no": pa.array(range(len(rows)), pa.uint64()),
            "text_hash": [text_hash(str(other)) for other in source],
        }
    )
    rows = rows[source]
    cut = [min(place, len(rows)) for place in cut]
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as many:
        at_once = in_refreshes(table, rows, [], Path(one))
        assert in_refreshes(table, rows, cut, Path(many)) == at_once
    went = {row["doc_id"] for row in at_once["matches"]}
    assert went.isdisjoint(at_once["kept"])
    assert len(went) + len(at_once["kept"]) == len(rows)
    kept_no = {int(name[1:]) for name in at_once["kept"]}
    # Of each class of equal texts at most one is kept, and what went is matched to one that was kept.
    assert len({source[number] for number in kept_no}) == len(kept_no)
    assert {row["kept_doc_no"] for row in at_once["matches"]} <= kept_no
    assert kept_no == {index for index, leader in enumerate(plain_leaders(rows, SMALL)) if leader == index}


def test_no_removal_by_transitivity() -> None:
    # b is like a, c is like b, c is not like a: with b gone, c stays.
    a, b, c = [0] * 8, [0] * 5 + [1] * 3, [0] * 2 + [2] * 3 + [1] * 3
    assert leaders(np.array([a, b, c], dtype=np.uint32))[0] == [0, 0, 2]


def test_copies_of_a_near_copy_are_matched_to_what_was_kept(tmp_path: Path) -> None:
    near = [0] * 7 + [1]
    table = pa.table(
        {
            "doc_id": ["original", "near", "copy of near", "copy of original"],
            "doc_no": pa.array(range(4), pa.uint64()),
            "text_hash": [text_hash(text) for text in ("o", "n", "n", "o")],
        }
    )
    rows = np.array([[0] * 8, near, near, [0] * 8], dtype=np.uint32)
    found = deduplicate(table, streamed(rows), [], SMALL, tmp_path)
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
    assert set(lines.first_doc_nos()[1].tolist()) <= set(range(len(documents)))


paragraphs = st.lists(st.lists(st.sampled_from(["menu", " menu", "one", "two and more"]), min_size=1, max_size=4))


@given(st.lists(paragraphs, max_size=6), st.integers(1, 8), st.integers(2, 4))
def test_paragraph_dedup_is_the_definition(documents: list[list[list[str]]], least: int, breaks: int) -> None:
    rule, seen = SeenParagraphs(least), set()
    for number, document in enumerate(documents):
        kept = []
        for lines in document:
            keep = 0
            for line in lines:
                if line not in seen:
                    keep += len(line.encode())
                    seen.add(line)
            if keep / len("\n".join(lines).encode()) > 0.2:
                kept.append("\n".join(lines))
        expected = "\n\n".join(kept)
        text = ("\n" * breaks).join("\n".join(lines) for lines in document)
        assert rule.strip(text, number) == (expected if len(expected) >= least else None)


@given(texts, st.integers(1, 8), st.sampled_from(["lines", "paragraphs"]), st.integers(0, 8))
def test_lines_over_two_refreshes_are_those_of_one(documents: list[list[str]], least: int, name: Any, cut: int) -> None:
    def strip(rule: LineRule, numbers: range) -> list[str | None]:
        return [rule.strip("\n".join(documents[number]), number) for number in numbers]

    whole = line_rule(name, least)
    cut = min(cut, len(documents))
    at_once = strip(whole, range(len(documents)))
    first = line_rule(name, least)
    before = strip(first, range(cut))
    later = line_rule(name, least, [first.first_doc_nos()[0]])
    assert before + strip(later, range(cut, len(documents))) == at_once
    pairs = [dict(zip(*(side.tolist() for side in rule.first_doc_nos()), strict=True)) for rule in (first, later)]
    assert pairs[0] | pairs[1] == dict(zip(*(side.tolist() for side in whole.first_doc_nos()), strict=True))
    assert not pairs[0].keys() & pairs[1].keys()


def test_many_lines_are_kept_in_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = SeenLines(1), SeenLines(1)
    texts = [f"line {number % 700}\nline {number * 7 % 900}" for number in range(1500)]
    expected = [few.strip(text, number) for number, text in enumerate(texts)]
    monkeypatch.setattr(line_dedup, "_RECENT", 16)
    assert [many.strip(text, number) for number, text in enumerate(texts)] == expected
    assert [side.tolist() for side in many.first_doc_nos()] == [side.tolist() for side in few.first_doc_nos()]


def test_lines_repeated_within_a_document_stay_and_those_of_a_lost_one_are_not_seen() -> None:
    lines = SeenLines(10)
    assert lines.strip("chorus line\nverse\nchorus line", 0) == "chorus line\nverse\nchorus line"
    assert lines.strip("chorus line\nshort", 1) is None
    assert lines.strip("short\nand a longer one", 2) == "short\nand a longer one"


def test_a_paragraph_goes_with_its_seen_lines_when_little_of_it_is_new() -> None:
    rule = SeenParagraphs(1)
    assert rule.strip("a notice that all pages have\n\nfirst text", 0) == "a notice that all pages have\n\nfirst text"
    assert rule.strip("a notice that all pages have\nnew\n\nsecond text", 1) == "second text"
    assert rule.strip("a notice that all pages have\nand much that is new\n\nnew", 2) == (
        "a notice that all pages have\nand much that is new"
    )  # `new` was seen, though its paragraph went
