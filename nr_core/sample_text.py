"""Text that a base writes itself, as replay where nothing near its original training data is at hand.

As JSON lines, an ordinary text source of a config (sample_text, for `nr sample`), or as a token stream, what a run is
trained on where its input says `from: base` (sample_tokens). What is written, nr_core.base_writer says.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nr_core import stopping
from nr_core.base_writer import Writer
from nr_core.errors import ModelError
from nr_core.files import write_json, writing
from nr_core.progress import Progress
from nr_core.settings import BaseSpec
from nr_core.specs import SampleSpec
from nr_core.tokens import opening_token

BATCHES = "batches.jsonl"  # what a job that was cut off goes on from


def sample_text(
    base: BaseSpec,
    out: Path,
    documents: int,
    max_tokens: int,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Write `out`, JSON lines with `id` and `text`: `documents` documents of at most max_tokens tokens.

    The same arguments give the same text, also where the first attempt was cut off: it goes on from its last whole
    batch. on_progress(documents done, in all). Raises ModelError where there is no such model, or where it writes
    nothing but ends of text.
    """
    if out.exists():
        raise ModelError(f"{out} exists; give another file, or delete that one.")
    writer = Writer(base, max_tokens + 1)  # and what opens it
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".partial-{seed}-{max_tokens}-{out.name}")
    done, batch = _whole_batches(partial)
    with open(partial, "a", encoding="utf-8") as file:
        while done < documents:
            texts = [writer.text(document) for document in writer.write(seed * 1_000_003 + batch)]
            rows = [{"id": f"{seed}-{batch}-{row}", "text": text} for row, text in enumerate(texts)]
            # A line a batch, so that a batch is whole or not there.
            file.write(json.dumps(rows) + "\n")
            file.flush()
            done, batch = done + len(texts), batch + 1
            on_progress(min(done, documents), documents)
    rows = [row for line in partial.read_text(encoding="utf-8").splitlines() for row in json.loads(line)]
    finished = partial.with_suffix(".finished")
    finished.write_text("".join(json.dumps(row) + "\n" for row in rows[:documents]), encoding="utf-8")
    os.replace(finished, out)
    partial.unlink()


def sample_tokens(spec: SampleSpec, progress: Progress) -> None:
    """Write a token stream (nr_core.tokens) to spec.out, of as many documents as give spec.tokens.

    Goes on from the last whole batch. Raises ModelError as sample_text does, Stopped where the job was asked to stop.
    """
    writer = Writer(spec.base, spec.document_tokens)
    partial = spec.out / BATCHES
    _, batch = _whole_batches(partial)
    held = _read(partial)
    done, begun, at_first = sum(map(len, held)), time.monotonic(), sum(map(len, held))
    with open(partial, "a", encoding="utf-8") as file:
        while done < spec.tokens:
            if stopping.requested.is_set():
                raise stopping.Stopped
            written = writer.write(spec.seed * 1_000_003 + batch)
            file.write(json.dumps(written) + "\n")
            file.flush()
            held += written
            done, batch = done + sum(map(len, written)), batch + 1
            rate = max(1, done - at_first) / (time.monotonic() - begun)
            progress.report(min(done, spec.tokens), spec.tokens, rate, max(0, spec.tokens - done) / rate)
    _write_stream(held, writer, spec.out)
    partial.unlink()


def _write_stream(documents: list[list[int]], writer: Writer, out: Path) -> None:
    tokenizer, opening = writer.tokenizer, opening_token(writer.tokenizer)
    closed = [[*([] if opening is None else [opening]), *document, tokenizer.eos_token_id] for document in documents]
    stream = np.concatenate([np.array(document, dtype=np.int64) for document in closed])
    dtype = "uint16" if int(stream.max()) < 1 << 16 else "uint32"
    with writing(out / "stream.bin") as partial:
        stream.astype(dtype).tofile(partial)
    sizes = np.array([len(writer.text(document).encode()) for document in documents], dtype=np.int64)
    ends = np.cumsum([0, *map(len, closed)], dtype=np.int64)
    for name, values in (("offsets.npy", ends), ("byte_lengths.npy", sizes)):
        with writing(out / name) as partial, open(partial, "wb") as file:
            np.save(file, values)
    context = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    facts = {
        "documents": len(documents),
        "tokens": len(stream),
        "bytes": int(sizes.sum()),
        "dtype": dtype,
        "vocabulary_size": max(int(stream.max()), context) + 1,
        "opening_token": opening,
        "end_of_text_token": tokenizer.eos_token_id,
        "context_token": context,
    }
    write_json(out / "tokens.json", facts)


def _read(partial: Path) -> list[list[int]]:
    lines = partial.read_text(encoding="utf-8").splitlines() if partial.exists() else []
    return [document for line in lines for document in json.loads(line)]


def _whole_batches(partial: Path) -> tuple[int, int]:
    """Documents and batches that stand; half a line at the end, of an attempt that was killed, goes."""
    if not partial.exists():
        return 0, 0
    lines = partial.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    partial.write_text("".join(whole), encoding="utf-8")
    return sum(len(json.loads(line)) for line in whole), len(whole)
