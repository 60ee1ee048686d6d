"""Shards to pieces of a token stream; `python -m nr_core.text.token_pieces` is one of several processes that do so.

A process is told on stdin what to do, as a line of JSON, says on stdout how many documents it has done, and ends when
it is done or when its parent dies. It imports neither torch nor transformers, and, not being started by
multiprocessing, nothing of its parent's `__main__`, which under a Prefect worker is Prefect.

A piece is a folder with stream.bin, lengths.npy, byte_lengths.npy and lost_bytes.npy (int64) of one shard: whole, or
not there.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nr_core.files import writing
from nr_core.text.lost_text import loses_nothing, lost_bytes, unknown_token, without

ENCODE_BATCH = 64  # documents handed to the tokenizer at once: bounds memory, and progress is told after each


@dataclass(frozen=True)
class Codec:
    """encode: texts to ids; decode: those ids to the texts that they give back, None where nothing can be lost."""

    encode: Callable[[list[str]], Sequence[Sequence[int]]]
    decode: Callable[[Sequence[Sequence[int]]], Sequence[str]] | None

    def lost_bytes(self, texts: list[str], ids: Sequence[Sequence[int]]) -> list[int]:
        """Return for each text the bytes that its tokens do not give back."""
        if self.decode is None:
            return [0] * len(texts)
        return [lost_bytes(text, back) for text, back in zip(texts, self.decode(ids), strict=True)]


def write_piece(
    shard: Path, codec: Codec, opening: list[int], closing: int, dtype: str, piece: Path, done: Callable[[int], None]
) -> None:
    """Write the tokens of a Parquet shard (column `text`). done(documents) is called after each batch."""
    lengths, byte_lengths, lost = array("q"), array("q"), array("q")
    with writing(piece) as partial:
        partial.mkdir(parents=True)
        with open(partial / "stream.bin", "wb") as stream:
            for batch in pq.ParquetFile(shard).iter_batches(batch_size=ENCODE_BATCH, columns=["text"]):
                texts = batch.column(0).to_pylist()
                documents = codec.encode(texts)
                closed = chain.from_iterable((*opening, *ids, closing) for ids in documents)
                np.fromiter(closed, dtype).tofile(stream)
                lengths.extend(len(opening) + len(ids) + 1 for ids in documents)
                byte_lengths.extend(pc.binary_length(batch.column(0)).to_pylist())
                lost.extend(codec.lost_bytes(texts, documents))
                done(len(documents))
        np.save(partial / "lengths.npy", np.frombuffer(lengths, np.int64))
        np.save(partial / "byte_lengths.npy", np.frombuffer(byte_lengths, np.int64))
        np.save(partial / "lost_bytes.npy", np.frombuffer(lost, np.int64))


def fast_codec(rules: str) -> Codec:
    """rules: the JSON of a tokenizer of the library `tokenizers`. Text that spells a special token is text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(rules)
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def encode(texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    unknown = unknown_token(rules)

    def decode(documents: Sequence[Sequence[int]]) -> list[str]:
        return list(tokenizer.decode_batch([without(ids, unknown) for ids in documents], skip_special_tokens=False))

    return Codec(encode, None if loses_nothing(rules) else decode)


def main() -> None:
    task: dict[str, Any] = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    codec = fast_codec(task["rules"])
    for shard, piece in task["shards"]:
        write_piece(
            Path(shard), codec, task["opening"], task["closing"], task["dtype"], Path(piece),
            lambda documents: print(documents, flush=True),
        )  # fmt: skip


def _end_with_parent() -> None:
    """End at once when the parent does: its end of our input is closed then. Who goes on would write into the pieces of
    the same command, started again."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
