"""Speed and memory of deduplication: signatures against datasketch's, and the join of the bands of a million documents.

    python benchmarks/dedup.py [--documents 1000000]

All text and signatures are generated: texts of 880 words; signatures of which 30 % lie in clusters of about three
whose bands agree with probability .6. Seconds are CPU seconds; peak memory is that of a process that does nothing
else, Python and its libraries included. The last line is JSON:

    signatures_vs_datasketch  datasketch's time (shingles as strings, xxhash, MinHash.generator) over ours, text to
                              signature of 112 permutations, the best of three passes each
    identical_to_datasketch   whether our signatures equal those of datasketch's MinHash given our shingle hashes
    band_join_seconds         candidates of 1 M documents x 14 bands, from signatures in a file
    band_join_peak_rss_mb     peak memory by then
    verify_seconds            the greedy leader over these candidates
    verify_peak_rss_mb        peak memory by then
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xxhash
from datasketch import MinHash

from pipelines.dedup.minhash import DocNos, Signatures, find_candidates, greedy_leaders
from pipelines.dedup.signature import SignatureScheme, shingle_hashes, signatures
from pipelines.settings import DedupSettings

SCHEME = SignatureScheme(shingle=5, num_perm=112, seed=1)
PASSES, TEXTS, WORDS = 3, 300, 880
BATCH = 8192
CLUSTERED, CLUSTER, BAND_AGREEMENT = 0.3, 3, 0.6


def texts() -> list[str]:
    draw = random.Random(0)
    vocabulary = ["".join(draw.choices("abcdefghijklmnoprstuvz", k=draw.randint(2, 11))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]
    return [" ".join(draw.choices(vocabulary, weights, k=WORDS)) for _ in range(TEXTS)]


def datasketch_signatures(given: list[str]) -> list[MinHash]:
    def shingles(text: str) -> list[bytes]:
        words = text.lower().split(" ")
        size = SCHEME.shingle
        return [" ".join(words[start : start + size]).encode() for start in range(len(words) - size + 1)]

    own = {"num_perm": SCHEME.num_perm, "seed": SCHEME.seed, "hashfunc": xxhash.xxh32_intdigest}
    return list(MinHash.generator((shingles(text) for text in given), **own))


def our_signatures(given: list[str]) -> list[npt.NDArray[np.uint32]]:
    return signatures([shingle_hashes(text, SCHEME.shingle) for text in given], SCHEME.num_perm, SCHEME.seed)


def is_identical(given: list[str]) -> bool:
    for text, together in zip(given, our_signatures(given), strict=True):
        theirs = MinHash(num_perm=SCHEME.num_perm, seed=SCHEME.seed, hashfunc=int)
        hashes = shingle_hashes(text, SCHEME.shingle)
        theirs.update_batch(hashes)
        if not SCHEME.of(hashes).tolist() == together.tolist() == theirs.hashvalues.tolist():
            return False
    return True


def cpu_seconds(run: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(PASSES):
        started = time.process_time()
        run()
        best = min(best, time.process_time() - started)
    return best


def write_signatures(path: Path, documents: int) -> None:
    draw = np.random.default_rng(0)
    agreement = BAND_AGREEMENT ** (1 / DedupSettings().rows)
    with path.open("wb") as file:
        for start in range(0, documents, BATCH):
            rows = draw.integers(0, 2**32, (min(BATCH, documents - start), SCHEME.num_perm), dtype=np.uint32)
            copies = np.flatnonzero(draw.random(len(rows)) < CLUSTERED * (CLUSTER - 1) / CLUSTER)
            # A copy is like one of a few documents of its batch, so that clusters have about three members.
            originals = draw.choice(len(rows), max(len(copies) // (CLUSTER - 1), 1))
            like = rows[draw.choice(originals, len(copies))]
            rows[copies] = np.where(draw.random(like.shape) < agreement, like, rows[copies])
            file.write(rows.tobytes())


def join(path: Path, documents: int) -> None:
    """Do what the process does whose memory is measured."""

    def stream(wanted: DocNos) -> Iterator[tuple[DocNos, Signatures]]:
        with path.open("rb") as file:
            for start in range(0, documents, BATCH):
                rows = np.fromfile(file, dtype="<u4", count=BATCH * SCHEME.num_perm).reshape(-1, SCHEME.num_perm)
                numbers = np.arange(start, start + len(rows), dtype=np.uint64)
                place = np.minimum(np.searchsorted(wanted, numbers), len(wanted) - 1)
                yield numbers[wanted[place] == numbers], rows[wanted[place] == numbers]

    def peak_mb() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    doc_nos, settings = np.arange(documents, dtype=np.uint64), DedupSettings()
    started = time.process_time()
    found = find_candidates(doc_nos, stream, [], settings)
    figures = {"band_join_seconds": time.process_time() - started, "band_join_peak_rss_mb": peak_mb()}
    candidates = len(found.new)
    del found
    started = time.process_time()
    leaders = greedy_leaders(doc_nos, stream, [], settings, path.parent)
    both = time.process_time() - started
    figures |= {"verify_seconds": both - figures["band_join_seconds"], "verify_peak_rss_mb": peak_mb()}
    print(f"{documents:,} documents: {candidates:,} share a bucket, {int((leaders.leader != doc_nos).sum()):,} go")
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--join", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.join:
        join(arguments.join, arguments.documents)
        return
    given = texts()
    ours = cpu_seconds(lambda: our_signatures(given))
    theirs = cpu_seconds(lambda: datasketch_signatures(given))
    print(f"signatures: ours {TEXTS / ours:.0f} texts/s, datasketch {TEXTS / theirs:.0f} texts/s", flush=True)
    figures = {"signatures_vs_datasketch": theirs / ours, "identical_to_datasketch": is_identical(given)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signatures"
        write_signatures(path, arguments.documents)
        command = [sys.executable, __file__, "--documents", str(arguments.documents), "--join", str(path)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    said, measured = done.stdout.strip().split("\n")
    print(said)
    print(json.dumps({**figures, **json.loads(measured)}))


if __name__ == "__main__":
    main()
