"""MinHash signatures of texts, equal to those of datasketch's MinHash given the same 32-bit shingle hashes.

Broder, "On the resemblance and containment of documents" (1997). Scheme: datasketch 2.0's affine32,
https://ekzhu.com/datasketch/minhash.html; its `update_batch` on strings takes about six times as long.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import xxhash

_MULTIPLIER = 0x9E3779B97F4A7C15  # odd: the step in Weyl's sequence, https://prng.di.unimi.it/splitmix64.c
_INVERSE = pow(_MULTIPLIER, -1, 1 << 64)
_TABLE = 1 << 16  # bytes of a text hashed at a time
_BLOCK = 1024  # shingles permuted at a time, which bounds memory at num_perm * 4 kB whatever the text
_TEXTS_TOGETHER = 1 << 14  # shingles of several texts that go through one permutation together, in the nearest cache


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """The scheme of the documents' signatures: only those of one scheme can be compared."""

    shingle: int
    num_perm: int
    seed: int

    def of(self, hashes: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Return the signature of a text, given the hashes of its shingles."""
        return signature(hashes, self.num_perm, self.seed)


@lru_cache(maxsize=4)
def _permutations(num_perm: int, seed: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    # Imported late: it brings scipy and a client of Redis, and who compares signatures draws no permutations.
    from datasketch import MinHash

    a, b = MinHash(num_perm=num_perm, seed=seed, scheme="affine32").permutations
    return a[:, None], b[:, None]


def shingle_hashes(normalised: str, shingle: int) -> npt.NDArray[np.uint32]:
    """Return the 32-bit hashes of all runs of `shingle` words, lower-cased; a shorter text is one shingle. May repeat.

    A shingle's hash is a polynomial of its bytes, mixed: from sums over the whole text, without a string for each, in
    a third of the time of xxhash's. Not meant to withstand an adversary; collisions in 770,000 shingles: none.
    """
    text = np.frombuffer(f" {normalised.lower()} ".encode(), dtype=np.uint8)
    spaces = np.flatnonzero(text == 32)  # before each word, and behind the last
    length = min(shingle, len(spaces) - 1)
    before, last = spaces[:-length], spaces[length:] - 1  # places around each shingle: the space, its last byte
    hashes = np.empty(len(before), np.uint64)
    first = 0
    while first < len(before):
        start = before[first]
        end = int(np.searchsorted(last, start + _TABLE))
        if end <= first:  # a shingle longer than the table
            hashes[first] = xxhash.xxh3_64_intdigest(text[start + 1 : last[first] + 1].tobytes())
            first += 1
            continue
        sums = _sums(text[start : last[end - 1] + 1])
        own = before[first:end] - start
        differences = sums[last[first:end] - start]
        differences -= sums[own]
        differences *= _powers(_INVERSE)[own]
        hashes[first:end] = differences
        first = end
    return (mix64(hashes) >> np.uint64(32)).astype(np.uint32)


def signature(hashes: npt.NDArray[np.uint32], num_perm: int, seed: int) -> npt.NDArray[np.uint32]:
    """Return the MinHash signature, shape (num_perm,), of a set of 32-bit hashes given as an array that is not
    empty."""
    a, b = _permutations(num_perm, seed)
    mixed, room = _mix32(hashes), _room(num_perm)
    least: npt.NDArray[np.uint32] | None = None
    for start in range(0, len(mixed), _BLOCK):
        block = mixed[start : start + _BLOCK]
        values = room[: num_perm * len(block)].reshape(num_perm, len(block))
        np.multiply(block, a, values)
        np.add(values, b, values)
        smallest = np.minimum.reduce(values, axis=1)
        least = smallest if least is None else np.minimum(least, smallest)
    assert least is not None
    return least


def signatures(of_texts: Sequence[npt.NDArray[np.uint32]], num_perm: int, seed: int) -> list[npt.NDArray[np.uint32]]:
    """Return the signature of each text's hashes. Short texts go together, in half the time of one after the other."""
    found: list[npt.NDArray[np.uint32]] = []
    together: list[npt.NDArray[np.uint32]] = []
    room = 0
    for hashes in of_texts:
        if room + len(hashes) > _TEXTS_TOGETHER and together:
            found += _of_short_texts(together, num_perm, seed)
            together, room = [], 0
        if len(hashes) > _TEXTS_TOGETHER:
            found.append(signature(hashes, num_perm, seed))
        else:
            together.append(hashes)
            room += len(hashes)
    return found + _of_short_texts(together, num_perm, seed) if together else found


def _of_short_texts(of_texts: list[npt.NDArray[np.uint32]], num_perm: int, seed: int) -> list[npt.NDArray[np.uint32]]:
    starts = np.cumsum([0, *map(len, of_texts[:-1])])
    mixed = _mix32(np.concatenate(of_texts))
    values = np.empty_like(mixed)
    least = np.empty((num_perm, len(of_texts)), np.uint32)
    for permutation, (a, b) in enumerate(zip(*_permutations(num_perm, seed), strict=True)):
        np.multiply(mixed, a, values)
        np.add(values, b, values)
        np.minimum.reduceat(values, starts, out=least[permutation])
    return list(np.ascontiguousarray(least.T))


def _sums(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return the sums of byte * multiplier ** place up to each place, modulo 2 ** 64."""
    terms = text.astype(np.uint64)
    terms *= _powers(_MULTIPLIER)[: len(text)]
    return np.add.accumulate(terms, out=terms)


@lru_cache(maxsize=2)
def _powers(base: int) -> npt.NDArray[np.uint64]:
    factors = np.full(_TABLE + 1, base, dtype=np.uint64)
    factors[0] = 1
    return np.multiply.accumulate(factors)


@lru_cache(maxsize=2)
def _room(num_perm: int) -> npt.NDArray[np.uint32]:
    """Return memory for a block of permuted hashes, the same for each text: new memory would take as long as the
    sums."""
    return np.empty(num_perm * _BLOCK, dtype=np.uint32)


def _mix32(values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Apply MurmurHash3's 32-bit finaliser, which datasketch applies before its permutations."""
    values = values ^ (values >> np.uint32(16))
    values = values * np.uint32(0x85EBCA6B)
    values = values ^ (values >> np.uint32(13))
    values = values * np.uint32(0xC2B2AE35)
    return values ^ (values >> np.uint32(16))


def mix64(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Apply MurmurHash3's 64-bit finaliser."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))
