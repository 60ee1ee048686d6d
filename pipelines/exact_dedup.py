"""Exact deduplication: of equal texts the first stays."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def first_of_equals(hashes: Iterable[bytes]) -> npt.NDArray[np.int64]:
    """For each document the index of the first with the same text hash: its own where it is the first."""
    first: dict[bytes, int] = {}
    return np.fromiter((first.setdefault(digest, index) for index, digest in enumerate(hashes)), dtype=np.int64)
