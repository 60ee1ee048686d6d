"""Measures how fast text becomes a token stream, against the bare kernel of the library `tokenizers`.

    python benchmarks/tokens.py                                    # generated text, a byte-level BPE of 8,192 entries
    python benchmarks/tokens.py --text FILE.parquet --tokenizer FOLDER --workers 2

kernel: encode_batch_fast on the same documents, already in memory, ids thrown away, in one thread. stream: what a run
does: Parquet in, pieces, token stream out, in one process. Medians of interleaved rounds in CPU seconds. workers: the
same in several processes, in seconds of the clock, their start included. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pyarrow as pa
import pyarrow.parquet as pq

from nr_core.tokenization.tokenize_corpus import tokenize
from nr_core.tokenization.tokenizer import load_tokenizer, train_tokenizer

SHARDS = 4


def invented(megabytes: float) -> list[str]:
    """Documents of some 2,000 characters whose words are drawn by rank, as a language's are."""
    pick = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgkéáűõ"
    words = ["".join(pick.choices(letters, k=pick.randint(2, 9))) for _ in range(20_000)]
    weights = [1 / (rank + 2) for rank in range(len(words))]
    documents = int(megabytes * 1e6 / 2000)
    return [" ".join(pick.choices(words, weights, k=330)) + "." for _ in range(documents)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, help="Parquet file with a column `text`; default: generated text")
    parser.add_argument("--tokenizer", help="folder or hub id; default: one made of the text")
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--vocabulary-size", type=int, default=8192)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), arguments)))


def measure(folder: Path, arguments: argparse.Namespace) -> dict[str, float | int]:
    if arguments.text:
        texts = pq.read_table(arguments.text, columns=["text"])["text"].to_pylist()
    else:
        texts = invented(arguments.megabytes)
    shards = []
    for i in range(SHARDS):
        shards.append(folder / f"{i}.parquet")
        pq.write_table(pa.table({"text": texts[i::SHARDS]}), shards[-1])
    tokenizer = arguments.tokenizer or str(folder / "tokenizer")
    if not arguments.tokenizer:
        train_tokenizer([shards], [1.0], arguments.vocabulary_size, folder / "tokenizer")
    backend = load_tokenizer(tokenizer).backend_tokenizer
    megabytes = sum(len(text.encode()) for text in texts) / 1e6

    def kernel() -> None:
        for start in range(0, len(texts), 64):
            backend.encode_batch_fast(texts[start : start + 64], add_special_tokens=False)

    def stream(workers: int = 1) -> None:
        tokenize(shards, tokenizer, folder / "tokens", workers=workers)
        shutil.rmtree(folder / "tokens")

    seconds: dict[str, list[float]] = {"kernel": [], "stream": []}
    for _ in range(arguments.rounds):
        for name, step in (("kernel", kernel), ("stream", stream)):
            begun = time.process_time()
            step()
            seconds[name].append(time.process_time() - begun)
    begun = time.perf_counter()
    stream(arguments.workers)
    wall = time.perf_counter() - begun
    kernel_seconds, stream_seconds = (statistics.median(seconds[name]) for name in ("kernel", "stream"))
    return {
        "megabytes": round(megabytes, 1),
        "kernel_mb_per_second": round(megabytes / kernel_seconds, 2),
        "stream_mb_per_second": round(megabytes / stream_seconds, 2),
        "ratio": round(statistics.median(a / b for a, b in zip(seconds["kernel"], seconds["stream"], strict=True)), 3),
        "workers": arguments.workers,
        "workers_mb_per_second": round(megabytes / wall, 2),
    }


if __name__ == "__main__":
    main()
