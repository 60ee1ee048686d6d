"""Exact deduplication: of equal texts the first stays."""

import numpy as np
import numpy.typing as npt


def first_of_equals(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """For each document the index of the first with the same 16-byte text hash, its own where it is the first.

    `hashes` has shape (documents, 2). Sorting takes 40 bytes a document, where a dict would take 200.
    """
    order = np.lexsort((hashes[:, 1], hashes[:, 0]))  # stable: equal ones stay in their order
    in_order = hashes[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (in_order[1:] != in_order[:-1]).any(axis=1)
    first = np.empty(len(order), dtype=np.int64)
    first[order] = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
    return first
