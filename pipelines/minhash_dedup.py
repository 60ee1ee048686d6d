"""Near-duplicate removal by MinHash and locality-sensitive hashing, as a greedy leader.

A document goes if and only if its estimated Jaccard similarity to one already KEPT, in one of whose buckets it is,
reaches the threshold. So one of each cluster survives, nothing goes by transitivity, and adding documents at the end
changes nothing for the earlier ones. Banding: Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipelines.settings import DedupSettings
from pipelines.signature import mix64


@dataclass(frozen=True, slots=True)
class Leaders:
    """For each document the index of the kept one it is like (its own if it is kept), and the estimated Jaccard."""

    leader: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]


def greedy_leaders(signatures: npt.NDArray[np.uint32], settings: DedupSettings) -> Leaders:
    """Deduplicate documents, given in order by their signatures of shape (documents, num_perm)."""
    leader = np.arange(len(signatures), dtype=np.int64)
    similarity = np.ones(len(signatures))
    buckets, shared = _buckets(band_hashes(signatures, settings))
    kept_in: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for document in np.flatnonzero(shared.any(axis=1)).tolist():
        own = [(band, int(buckets[document, band])) for band in np.flatnonzero(shared[document]).tolist()]
        # Sorted, so that of two kept documents that are equally like it the earlier is named.
        candidates = np.array(sorted({other for bucket in own for other in kept_in[bucket]}), dtype=np.int64)
        if len(candidates):
            estimates = (signatures[candidates] == signatures[document]).mean(axis=1)
            best = int(estimates.argmax())
            if estimates[best] >= settings.threshold:
                leader[document], similarity[document] = candidates[best], estimates[best]
                continue
        for bucket in own:
            kept_in[bucket].append(document)
    return Leaders(leader, similarity)


def band_hashes(signatures: npt.NDArray[np.uint32], settings: DedupSettings) -> npt.NDArray[np.uint64]:
    """Hash of each band of each signature, shape (documents, bands). Needs bands * rows <= num_perm."""
    bands = signatures[:, : settings.bands * settings.rows].reshape(len(signatures), settings.bands, settings.rows)
    hashes = np.zeros(bands.shape[:2], dtype=np.uint64)
    for row in range(settings.rows):
        hashes = mix64(hashes ^ bands[:, :, row])
    return hashes


def _buckets(hashes: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Bucket numbers by band, and whether the bucket has more than one document: only those need comparing."""
    numbers = np.empty(hashes.shape, dtype=np.int64)
    shared = np.empty(hashes.shape, dtype=np.bool_)
    for band in range(hashes.shape[1]):
        _, inverse, counts = np.unique(hashes[:, band], return_inverse=True, return_counts=True)
        numbers[:, band] = inverse
        shared[:, band] = counts[inverse] > 1
    return numbers, shared
