"""The token stream of a corpus: its shards are tokenised by several processes, each to a piece, and pieces are joined.

What was cut off goes on from its last whole piece. Memory is bounded by a batch of documents a process.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from nr_core.errors import ModelError
from nr_core.files import write_json, writing
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenize_shards import Codec, fast_codec, without, write_piece
from nr_core.tokenization.tokenizer import largest_id, load_tokenizer, opening_token

PIECES = "pieces"
COPY_BLOCK = 1 << 24  # bytes


def tokenize(
    shards: Sequence[Path],
    tokenizer: str | BaseSpec,
    out: Path,
    on_progress: Callable[[int, int], None] | None = None,
    workers: int = 1,
) -> dict[str, int]:
    """Write the token stream of some Parquet shards (column `text`) to the folder `out`.

    on_progress(documents done, documents in all) is called after every batch. Returns {"documents", "tokens", "bytes",
    "lost_bytes"}, the last being those that the tokens do not give back. Text that spells a special token is encoded as
    the text it is. Raises ModelError where the shards hold no document, and where a process ends before its shards are
    done.
    """
    loaded = load_tokenizer(tokenizer)
    opening, rules = opening_token(loaded), _rules(loaded)
    task: dict[str, Any] = {
        "opening": [] if opening is None else [opening],
        "closing": loaded.eos_token_id,
        "dtype": "uint16" if largest_id(loaded) < 1 << 16 else "uint32",
    }
    with _alone_in(out) as held:
        pieces = _pieces(shards, out, hashlib.sha256(json.dumps([task, rules]).encode()).hexdigest())
        rows = [pq.ParquetFile(shard).metadata.num_rows for shard in shards]
        if not sum(rows):
            raise ModelError(f"The shards {', '.join(map(str, shards)) or '(none)'} hold no documents to tokenise.")
        waiting = [(shard, piece) for shard, piece in zip(shards, pieces, strict=True) if not piece.is_dir()]
        tell = _Progress(on_progress, sum(rows), sum(rows) - sum(rows[shards.index(shard)] for shard, _ in waiting))
        if rules is None or min(workers, len(waiting)) < 2:
            codec = _slow_codec(loaded) if rules is None else fast_codec(rules)
            for shard, piece in waiting:
                write_piece(shard, codec, task["opening"], task["closing"], task["dtype"], piece, tell.done)
        else:
            _in_processes(_shared_out(waiting, workers), {**task, "rules": rules}, tell, held)
    counts = _join(pieces, out, sum(rows))
    # What stands before the first token that is scored: the model's own opening, else the end of the document before.
    context = loaded.bos_token_id if loaded.bos_token_id is not None else loaded.eos_token_id
    largest = int(np.memmap(out / "stream.bin", dtype=task["dtype"], mode="r").max())
    facts = {
        **counts,
        "dtype": task["dtype"],
        # Of the ids that occur: a tokenizer may know more than its model has rows for (Gemma 3), or leave holes.
        "vocabulary_size": max(largest, context) + 1,
        "opening_token": opening,
        "end_of_text_token": loaded.eos_token_id,
        "context_token": context,
    }
    write_json(out / "tokens.json", facts)
    shutil.rmtree(out / PIECES)
    return counts


@contextmanager
def _alone_in(out: Path) -> Iterator[int]:
    """Wait until nobody writes into `out`: processes of the same command, killed and started again, end a moment after
    it. Gives the lock's descriptor, which they inherit, and which holds until the last of them has ended."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / ".tokenizing"
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()
        path.unlink(missing_ok=True)


class _Progress:
    """Adds up what several processes have done."""

    def __init__(self, on_progress: Callable[[int, int], None] | None, total: int, documents: int) -> None:
        self._on_progress, self._total, self._documents = on_progress, total, documents
        self._lock = threading.Lock()

    def done(self, documents: int) -> None:
        with self._lock:
            self._documents += documents
            if self._on_progress is not None:
                self._on_progress(self._documents, self._total)


def _rules(tokenizer: Any) -> str | None:
    """Return the tokenizer as JSON; None of one that is written in Python, in whole or in part."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    try:
        return None if backend is None else str(backend.to_str())
    except Exception as error:
        if "Custom" not in str(error):  # tokenizers raises a bare Exception for parts that it cannot write down
            raise
        return None


def _slow_codec(tokenizer: Any) -> Codec:
    def encode(texts: list[str]) -> list[list[int]]:
        return list(tokenizer(texts, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def decode(documents: Sequence[Sequence[int]]) -> list[str]:
        known = [without(ids, tokenizer.unk_token_id) for ids in documents]
        return [tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in known]

    return Codec(encode, decode)


def _pieces(shards: Sequence[Path], out: Path, rules_hash: str) -> list[Path]:
    """Return the folders of the pieces, in the shards' order; those of other shards or of another tokenizer go."""
    plan = {"rules": rules_hash, "shards": [[str(shard), shard.stat().st_size] for shard in shards]}
    folder = out / PIECES
    path = folder / "plan.json"
    if not path.is_file() or json.loads(path.read_text()) != plan:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        write_json(path, plan)
    return [folder / f"{i:05d}" for i in range(len(shards))]


def _shared_out(shards: list[tuple[Path, Path]], workers: int) -> list[list[tuple[Path, Path]]]:
    """Return the largest shard first, each to whoever has the least to do."""
    shares: list[list[tuple[Path, Path]]] = [[] for _ in range(min(workers, len(shards)))]
    load = [0] * len(shares)
    for shard in sorted(shards, key=lambda pair: -pair[0].stat().st_size):
        least = load.index(min(load))
        shares[least].append(shard)
        load[least] += shard[0].stat().st_size
    return shares


def _in_processes(shares: list[list[tuple[Path, Path]]], task: dict[str, Any], tell: _Progress, held: int) -> None:
    """Tokenise in several processes. held: the descriptor of the lock, for the processes to inherit."""
    # The children must find this package wherever the parent found it, and no file of its name where the user stands.
    # (pipelines.workers.child_processes has this for the other packages, of which nr_core imports nothing.)
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
    children = [
        subprocess.Popen(
            [sys.executable, "-P", "-m", "nr_core.tokenization.tokenize_shards"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            pass_fds=[held],
        )
        for _ in shares
    ]

    def follow(child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            tell.done(int(line))

    listeners = [threading.Thread(target=follow, args=(child,), daemon=True) for child in children]
    try:
        for child, listener, share in zip(children, listeners, shares, strict=True):
            listener.start()
            assert child.stdin is not None
            pairs = [[str(shard), str(piece)] for shard, piece in share]
            child.stdin.write(json.dumps({**task, "shards": pairs}) + "\n")
            child.stdin.flush()
        for child, listener in zip(children, listeners, strict=True):
            listener.join()
            if child.wait():
                raise ModelError(
                    f"A process that tokenised ended with code {child.returncode} (-9 is often the kernel short of "
                    "memory); the same command goes on from its last whole shard."
                )
    finally:
        for child in children:
            child.kill()
            child.wait()


def _join(pieces: Sequence[Path], out: Path, documents: int) -> dict[str, int]:
    """Join pieces to stream.bin, offsets.npy, byte_lengths.npy and lost_bytes.npy."""
    with (
        writing(out / "stream.bin") as stream,
        writing(out / "offsets.npy") as offsets,
        writing(out / "byte_lengths.npy") as byte_lengths,
        writing(out / "lost_bytes.npy") as lost_bytes,
    ):
        ends = np.lib.format.open_memmap(offsets, "w+", np.int64, (documents + 1,))
        sizes = np.lib.format.open_memmap(byte_lengths, "w+", np.int64, (documents,))
        lost = np.lib.format.open_memmap(lost_bytes, "w+", np.int64, (documents,))
        first = 0
        with open(stream, "wb") as joined:
            for piece in pieces:
                lengths = np.load(piece / "lengths.npy")
                last = first + len(lengths)
                ends[first + 1 : last + 1] = ends[first] + np.cumsum(lengths)
                sizes[first:last] = np.load(piece / "byte_lengths.npy")
                lost[first:last] = np.load(piece / "lost_bytes.npy")
                with open(piece / "stream.bin", "rb") as content:
                    shutil.copyfileobj(content, joined, COPY_BLOCK)
                first = last
        counts = {"documents": documents, "tokens": int(ends[-1])}
        counts |= {"bytes": int(sizes.sum()), "lost_bytes": int(lost.sum())}
        for array in (ends, sizes, lost):
            array.flush()
    return counts
