"""MinHash signatures of texts, equal to those of datasketch's MinHash given the same 32-bit shingle hashes.

Broder, "On the resemblance and containment of documents" (1997). Scheme: datasketch 2.0's affine32,
https://ekzhu.com/datasketch/minhash.html; its `update_batch` on strings takes about six times as long.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import xxhash
from datasketch import MinHash

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd: the step in Weyl's sequence, https://prng.di.unimi.it/splitmix64.c
_BLOCK = 4096  # shingles permuted at a time, which bounds memory at num_perm * 16 kB whatever the text


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """How the documents' signatures are made: only those of one scheme can be compared."""

    shingle: int
    num_perm: int
    seed: int

    def of(self, normalised: str) -> npt.NDArray[np.uint32]:
        return signature(shingle_hashes(normalised, self.shingle), self.num_perm, self.seed)


@lru_cache(maxsize=4)
def _permutations(num_perm: int, seed: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    a, b = MinHash(num_perm=num_perm, seed=seed, scheme="affine32").permutations
    return a[:, None], b[:, None]


def shingle_hashes(normalised: str, shingle: int) -> npt.NDArray[np.uint32]:
    """32-bit hashes of all runs of `shingle` words, lower-cased; a shorter text is one shingle. May repeat."""
    words = normalised.lower().encode().split(b" ")
    hashes = np.fromiter(map(xxhash.xxh3_64_intdigest, words), dtype=np.uint64, count=len(words))
    length = min(shingle, len(words))
    combined = np.zeros(len(words) - length + 1, dtype=np.uint64)
    for place in range(length):
        combined *= _MULTIPLIER
        combined += hashes[place : place + len(combined)]
    return (mix64(combined) >> np.uint64(32)).astype(np.uint32)


def signature(hashes: npt.NDArray[np.uint32], num_perm: int, seed: int) -> npt.NDArray[np.uint32]:
    """MinHash signature, shape (num_perm,), of a set of 32-bit hashes given as an array."""
    a, b = _permutations(num_perm, seed)
    least = np.full(num_perm, np.iinfo(np.uint32).max, dtype=np.uint32)
    mixed = _mix32(np.unique(hashes))
    for start in range(0, len(mixed), _BLOCK):
        np.minimum(least, (mixed[start : start + _BLOCK] * a + b).min(axis=1), out=least)
    return least


def _mix32(values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """MurmurHash3's 32-bit finaliser, which datasketch applies before its permutations."""
    values = values ^ (values >> np.uint32(16))
    values = values * np.uint32(0x85EBCA6B)
    values = values ^ (values >> np.uint32(13))
    values = values * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))


def mix64(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """MurmurHash3's 64-bit finaliser."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
