"""Shards to pieces of a token stream; `python -m nr_core.tokenization.tokenize_shards` is one of several processes.

A process is told on stdin what to do, as a line of JSON, says on stdout how many documents it has done, and ends when
it is done or when its parent dies. It imports neither torch nor transformers, and, not being started by
multiprocessing, nothing of its parent's `__main__`, which under a Prefect worker is Prefect.

A piece is a folder with stream.bin, lengths.npy, byte_lengths.npy and lost_bytes.npy (int64) of one shard: whole, or
not there. Lost bytes are those of text that tokens do not give back: unknown characters, what a normaliser changes,
letters that are stripped. Nobody pays bits for what is lost, so bits per byte of such text come out too low: a
tokenizer that knows no Chinese makes it the easiest language of all.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nr_core.files import writing

ISOLATING = ("ByteLevel", "Split", "Digits", "Punctuation")  # pre-tokenizers that cut text, and drop none of it


def lost_bytes(text: str, given_back: str) -> int:
    """Tell how many of a text's UTF-8 bytes stand for characters that the decoded tokens do not hold.

    Order counts for nothing, so that it is linear; nor does a canonically equivalent spelling (é, e with an accent),
    but for the bytes that it is shorter by.
    """
    if text == given_back:
        return 0
    whole = Counter(unicodedata.normalize("NFD", text))
    lost = _size(whole - Counter(unicodedata.normalize("NFD", given_back)))
    if not lost:
        return max(0, len(text.encode()) - len(given_back.encode()))
    # Decomposed, Hangul takes three times its bytes: the share is what carries over.
    return max(1, round(len(text.encode()) * lost / _size(whole)))


def _size(characters: Counter[str]) -> int:
    return sum(len(character.encode()) * count for character, count in characters.items())


def loses_nothing(rules: str) -> bool:
    """Tell whether a tokenizer's JSON shows that it gives every text back: byte-level BPE, an entry for each byte,
    without a normaliser and without anything that drops characters."""
    from tokenizers.pre_tokenizers import ByteLevel

    content = json.loads(rules)
    steps = _steps(content.get("pre_tokenizer"))
    return (
        content["model"]["type"] == "BPE"
        and not content.get("normalizer")
        and any(step["type"] == "ByteLevel" for step in steps)
        and all(step["type"] in ISOLATING and step.get("behavior") != "Removed" for step in steps)
        and not any(token["lstrip"] or token["rstrip"] for token in content.get("added_tokens", []))
        and set(ByteLevel.alphabet()) <= content["model"]["vocab"].keys()
    )


def unknown_token(rules: str) -> int | None:
    """Return the id that stands for what the vocabulary lacks."""
    model = json.loads(rules)["model"]
    if model.get("unk_id") is not None:
        return int(model["unk_id"])
    vocabulary: Any = model.get("vocab", {})
    return vocabulary.get(model.get("unk_token")) if isinstance(vocabulary, dict) else None


def without(ids: Sequence[int], unknown: int | None) -> list[int]:
    """Return the tokens but the unknown ones, which would be decoded to a text of their own (<unk>)."""
    return [token for token in ids if token != unknown]


def _steps(pre_tokenizer: Any) -> list[dict[str, Any]]:
    if not pre_tokenizer:
        return []
    return pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence" else [pre_tokenizer]


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
    """Return what encodes by the rules, the JSON of a tokenizer of the library `tokenizers`. Text that spells a special
    token is text."""
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
