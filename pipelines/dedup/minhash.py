"""Near-duplicate removal by MinHash and locality-sensitive hashing, as a greedy leader.

A document goes if and only if its estimated Jaccard similarity to one already KEPT, in one of whose buckets it is,
reaches the threshold. So one of each cluster survives, nothing goes by transitivity, and adding documents at the end
changes nothing for the earlier ones: a later refresh compares its documents with the kept ones of the index, and the
outcome is that of all documents at once. Banding: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from pipelines.dedup.signature import mix64
from pipelines.settings import DedupSettings

DocNos = npt.NDArray[np.uint64]
Signatures = npt.NDArray[np.uint32]  # shape (documents, num_perm)
# Of a bucket, the last to be kept. Pages of one template share buckets by the ten thousand and are no copies; copies
# among them share other buckets too. To compare all took time by the square of their number.
MAX_COMPARED = 200
_COMPARED = 4096  # kept documents that one is compared with at a time, which bounds memory at 2 MB


class KeptBefore(Protocol):
    """The kept documents of an earlier version, from its segment of the index."""

    def band(self, band: int) -> Iterator[tuple[DocNos, npt.NDArray[np.uint64]]]:
        """Yield doc_nos and hashes of one band, in batches."""
        ...

    def signatures(self, wanted: DocNos) -> Iterator[tuple[DocNos, Signatures]]:
        """Yield the signatures of the wanted ones that are in it, in doc_no order, in batches."""
        ...


@dataclass(frozen=True, slots=True)
class Leaders:
    """For each document the doc_no of the kept one it is like (its own if it is kept), and the estimated Jaccard."""

    leader: DocNos
    similarity: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Documents that share a bucket. Entries are pairs of a document and a bucket, sorted by document.

    Documents are the kept ones of the index, `earlier`, then the new ones, `new`, both as doc_nos in order: only those
    that share a bucket with another.
    """

    earlier: DocNos
    new: DocNos
    starts: npt.NDArray[np.int64]  # of each document's entries, and the end
    buckets: npt.NDArray[np.int32]
    n_buckets: int


class BandBuckets(NamedTuple):
    """The buckets of one band with more than one document: those of the new ones, by their place among them, and those
    of the kept ones of the index, by doc_no; each with the number of its bucket."""

    places: npt.NDArray[np.int32]
    of_new: npt.NDArray[np.int32]
    earlier: DocNos
    of_earlier: npt.NDArray[np.int32]
    n_buckets: int


# A band, its hashes of the new documents, and the index.
BandJob = tuple[int, npt.NDArray[np.uint64], Sequence[KeptBefore]]
# Runs jobs wherever it likes; the outcomes come in the order of the jobs.
RunJobs = Callable[[Callable[[BandJob], BandBuckets], Iterable[BandJob]], Iterable[BandBuckets]]


def greedy_leaders(
    doc_nos: DocNos,
    signatures: Callable[[DocNos], Iterator[tuple[DocNos, Signatures]]],
    index: Sequence[KeptBefore],
    settings: DedupSettings,
    scratch: Path,
    run_jobs: RunJobs = map,
) -> Leaders:
    """Deduplicate new documents, given by doc_no in order, against one another and the kept ones of the index.

    `signatures` streams those of given doc_nos, in order; they are gone through twice, and what is compared lies in a
    file in `scratch`. `run_jobs` runs the join of each band, by default here, one by one. Memory: some 250 bytes
    a document.
    """
    leaders = Leaders(doc_nos.copy(), np.ones(len(doc_nos)))
    if not len(doc_nos):
        return leaders
    found = find_candidates(doc_nos, signatures, index, settings, run_jobs)
    if len(found.new):
        spilled = scratch / "signatures.u4"
        try:
            _verify(found, _spill(spilled, found, signatures, index), doc_nos, leaders, settings.threshold)
        finally:
            spilled.unlink(missing_ok=True)
    return leaders


def find_candidates(
    doc_nos: DocNos,
    signatures: Callable[[DocNos], Iterator[tuple[DocNos, Signatures]]],
    index: Sequence[KeptBefore],
    settings: DedupSettings,
    run_jobs: RunJobs = map,
) -> Candidates:
    """Join the bands, each a job of its own: only what shares a bucket need be compared."""
    hashes = np.empty((settings.bands, len(doc_nos)), dtype=np.uint64)
    done = 0
    for batch, values in signatures(doc_nos):
        hashes[:, done : done + len(batch)] = band_hashes(values, settings).T
        done += len(batch)
    assert done == len(doc_nos), "a document has no signature"
    places, earlier, of_new, of_earlier, n_buckets = [], [], [], [], 0
    for shared in run_jobs(join_band, ((band, hashes[band], index) for band in range(settings.bands))):
        places.append(shared.places)
        of_new.append(shared.of_new + np.int32(n_buckets))
        earlier.append(shared.earlier)
        of_earlier.append(shared.of_earlier + np.int32(n_buckets))
        n_buckets += shared.n_buckets
    earlier_nos, earlier_place = np.unique(np.concatenate(earlier), return_inverse=True)
    new_places, new_place = np.unique(np.concatenate(places), return_inverse=True)
    documents = np.concatenate([earlier_place, len(earlier_nos) + new_place]).astype(np.int32)
    order = np.argsort(documents, kind="stable")
    starts = np.searchsorted(documents[order], np.arange(len(earlier_nos) + len(new_places) + 1))
    buckets = np.concatenate([*of_earlier, *of_new])[order]
    return Candidates(earlier_nos, doc_nos[new_places], starts, buckets, n_buckets)


def join_band(job: BandJob) -> BandBuckets:
    """Tell who shares a bucket of one band: independent of all other bands, on any machine that sees the index."""
    band, hashes, index = job
    known, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    earlier, met_places = _meet(known, (batch for segment in index for batch in segment.band(band)))
    counts += np.bincount(met_places, minlength=len(known))
    number = np.cumsum(counts > 1, dtype=np.int32) - np.int32(1)
    shared = np.flatnonzero(counts[inverse] > 1).astype(np.int32)
    return BandBuckets(shared, number[inverse[shared]], earlier, number[met_places], int((counts > 1).sum()))


def band_hashes(signatures: Signatures, settings: DedupSettings) -> npt.NDArray[np.uint64]:
    """Hash of each band of each signature, shape (documents, bands). Needs bands * rows <= num_perm."""
    bands = signatures[:, : settings.bands * settings.rows].reshape(len(signatures), settings.bands, settings.rows)
    hashes = np.zeros(bands.shape[:2], dtype=np.uint64)
    for row in range(settings.rows):
        hashes = mix64(hashes ^ bands[:, :, row])
    return hashes


def _meet(
    known: npt.NDArray[np.uint64], batches: Iterator[tuple[DocNos, npt.NDArray[np.uint64]]]
) -> tuple[DocNos, npt.NDArray[np.int64]]:
    """Return the documents of the index that have one of the sorted hashes `known`, and the place of that hash."""
    met_doc_nos, met_places = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for doc_nos, hashes in batches:
        place = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
        met = known[place] == hashes
        met_doc_nos.append(doc_nos[met])
        met_places.append(place[met])
    return np.concatenate(met_doc_nos), np.concatenate(met_places)


def _spill(
    path: Path,
    found: Candidates,
    signatures: Callable[[DocNos], Iterator[tuple[DocNos, Signatures]]],
    index: Sequence[KeptBefore],
) -> Signatures:
    """Return the signatures of the candidates in their order, from a file: what memory has no room for stays there."""
    length = 0
    with path.open("wb") as file:
        # Segments of the index are in doc_no order, one after the other.
        for batches in [*(segment.signatures(found.earlier) for segment in index), signatures(found.new)]:
            for _, values in batches:
                length = values.shape[1]
                file.write(np.ascontiguousarray(values, dtype="<u4").tobytes())
    return np.memmap(path, dtype="<u4", mode="r", shape=(len(found.starts) - 1, length))


def _verify(found: Candidates, signatures: Signatures, doc_nos: DocNos, leaders: Leaders, threshold: float) -> None:
    """Go through the candidates in order, each compared with the kept documents of its buckets: the last of each."""
    # Plain arrays, which Python reads faster than numpy's. A bucket's kept documents are a linked list of entries.
    starts, buckets = array("q", found.starts.tobytes()), array("i", found.buckets.tobytes())
    newest, before = array("i", [-1]) * found.n_buckets, array("i", [-1]) * len(buckets)
    owner = array("i", np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(found.starts)).tobytes())
    nos = np.concatenate([found.earlier, found.new])
    place = np.searchsorted(doc_nos, found.new)
    for document in range(len(starts) - 1):
        entries = range(starts[document], starts[document + 1])
        new = document - len(found.earlier)
        if new >= 0:
            kept: set[int] = set()
            for entry in entries:
                other, left = newest[buckets[entry]], MAX_COMPARED
                while other >= 0 and left:
                    kept.add(owner[other])
                    other, left = before[other], left - 1
            # Sorted, so that of two kept documents that are equally like it the earlier is named.
            best, similarity = _most_similar(signatures, document, sorted(kept))
            if similarity >= threshold:
                leaders.leader[place[new]], leaders.similarity[place[new]] = nos[best], similarity
                continue
        for entry in entries:
            before[entry], newest[buckets[entry]] = newest[buckets[entry]], entry


def _most_similar(signatures: Signatures, document: int, others: list[int]) -> tuple[int, float]:
    best, similarity = -1, -1.0
    for start in range(0, len(others), _COMPARED):
        part = others[start : start + _COMPARED]
        estimates = (signatures[part] == signatures[document]).mean(axis=1)
        place = int(estimates.argmax())
        if estimates[place] > similarity:
            best, similarity = part[place], float(estimates[place])
    return best, similarity
