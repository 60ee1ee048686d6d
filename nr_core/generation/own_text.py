"""Text that a base writes itself, as replay where nothing near its original training data is at hand.

As JSON lines, an ordinary text source of a config (sample_text, for `nr sample`), or as a token stream, what a run is
trained on where its input says `from: base` (sample_tokens). What is written, nr_core.generation.own_text says.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from nr_core import stopping
from nr_core.base.load_base import context_length, load_base, named
from nr_core.base.precision import FP32, PRECISION_FILE, choose_once, to_read_from
from nr_core.errors import ModelError
from nr_core.files import write_json, writing
from nr_core.generation.generate import (
    SAID,
    Templated,
    chat_prompt,
    end_tokens,
    next_logits,
    prompt_ids,
    refuse_not_finite,
)
from nr_core.progress import Progress
from nr_core.settings import BaseSpec
from nr_core.specs import SampleSpec
from nr_core.tokenization.tokenizer import load_tokenizer, opening_token

# Documents that a base writes itself: drawn from its own distribution, at temperature 1, with nothing cut off it.
#
# A base writes from the token that opens a text. One with a chat template writes conversations, as Magpie does (Xu et
# al., https://arxiv.org/abs/2406.08464): behind the template's words for "the user says" it writes what a user would
# ask, and then its answer. That rehearsing what a network itself puts out keeps what it knows is old: Robins,
# "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science 1995.


BATCH = 16  # documents written side by side
EMPTY_BATCHES = 10  # in a row, after which a model is taken to have nothing to say
QUESTION_SHARE = 0.5  # of what a conversation has room for beside its template, at most


class Writer:
    """A base and its tokenizer. longest: tokens of a document, what opens it included; folder: remembers the precision
    in which the base computes, the faster one here (none: fp32)."""

    def __init__(self, base: BaseSpec, longest: int, folder: Path | None = None) -> None:
        model = load_base(base)
        self._precision = choose_once("auto", model, folder) if folder else FP32
        self.tokenizer, self.model = load_tokenizer(base), to_read_from(model, self._precision)
        self.start, self.answer = self._opening()
        self._opened = int(not self.answer or self.start[0] == opening_token(self.tokenizer))
        self.ends = end_tokens(self.model, self.tokenizer) | set(self.answer[:1])
        context = context_length(self.model.config)
        self.longest = longest if context is None else min(longest, context)
        of_template = len(self.start) + len(self.answer)
        if self.longest <= of_template:
            raise ModelError(
                f"{named(self.model)}: a document is to have {self.longest} tokens, and {of_template} of them are its "
                "chat template's; give more."
            )
        self._empty = 0

    def _opening(self) -> tuple[list[int], list[int]]:
        """Return the tokens before what is written, and those between a question and its answer (none in a text)."""
        tokenizer = self.tokenizer
        if not tokenizer.chat_template:
            return [tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id], []
        before, said, after = chat_prompt(tokenizer, [{"role": "user", "content": SAID}]).partition(SAID)
        if not said or not before:
            raise ModelError(
                f"{named(self.model)}: its chat template does not write what a user says behind some words of its own, "
                "so it gives no conversations; take text of a corpus instead."
            )
        return prompt_ids(tokenizer, Templated(before)), list(tokenizer(after, add_special_tokens=False)["input_ids"])

    def write(self, seed: int, on_step: Callable[[int], None] = lambda tokens: None) -> list[list[int]]:
        """Return a batch of documents, by the seed: their tokens, without those that open and close a text.

        on_step(tokens of the batch so far) is called after each step: a batch takes minutes on a CPU. Raises ModelError
        where the model has written nothing but ends of text, batch after batch.
        """
        torch.manual_seed(seed)
        written = [_Document(self) for _ in range(BATCH)]
        with torch.inference_mode(), self._precision.autocast(self.model.device):
            self._go_on(written, on_step)
        documents = [document.ids[self._opened :] for document in written]
        documents = [document for document in documents if self.text(document).strip()]
        self._empty = 0 if documents else self._empty + 1
        if self._empty == EMPTY_BATCHES:
            raise ModelError(f"{named(self.model)} writes nothing but ends of text; take another source of replay.")
        return documents

    def _go_on(self, documents: list[_Document], on_step: Callable[[int], None]) -> None:
        """Write until all documents are whole. Rows that are whole are no longer computed: the longest of sixteen is
        some twice as long as their mean."""
        cache: dict[str, Any] = {}
        rows, device = documents, self.model.device
        unseen = [document.ids for document in rows]
        while True:
            logits, cache = next_logits(self.model, torch.tensor(unseen, device=device), cache)
            refuse_not_finite(logits)
            drawn = torch.multinomial(torch.softmax(logits.float(), -1), 1)
            for document, token in zip(rows, drawn[:, 0].tolist(), strict=True):
                document.add(token)
            on_step(sum(len(document.ids) - len(self.start) for document in documents))
            left = [row for row, document in enumerate(rows) if not document.whole]
            if not left:
                return
            if not cache:  # GPT-1 and RecurrentGemma keep none: all is computed anew
                rows = [rows[row] for row in left]
                unseen = [document.ids for document in rows]
                continue
            [kept] = cache.values()
            if len(left) < len(rows) and _can_drop_rows(kept):
                kept.batch_select_indices(torch.tensor(left, device=device))
                rows = [rows[row] for row in left]
            unseen = [document.ids[-1:] for document in rows]

    def text(self, document: list[int]) -> str:
        return str(self.tokenizer.decode(document, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class _Document:
    """A row of a batch as it grows. Where its question ends, the template's words come next; its answer's end ends it.

    ids: its tokens, without a last one that is the end of the text.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.ids, self.whole = list(writer.start), False
        room = writer.longest - len(writer.start) - len(writer.answer)
        self._last_of_question = len(writer.start) + int(QUESTION_SHARE * room)
        self._answer_at = None if writer.answer else 0

    def add(self, drawn: int) -> None:
        """Take the token that was drawn, or the template's in its place where one is due; once whole, take nothing."""
        if self.whole:
            return
        answer, opened = self._writer.answer, len(self._writer.start)
        if self._answer_at is None and len(self.ids) > opened and self.ids[-1] in self._writer.ends:
            self._answer_at = len(self.ids) - 1  # its end token is the first of the template's words, or stands for it
        elif self._answer_at is None and len(self.ids) >= self._last_of_question:
            self._answer_at = len(self.ids)
        due = None if self._answer_at is None else len(self.ids) - self._answer_at
        self.ids.append(answer[due] if due is not None and 0 <= due < len(answer) else drawn)
        ends = due is not None and due >= len(answer) and self.ids[-1] in self._writer.ends
        self.whole = ends or len(self.ids) == self._writer.longest
        if ends and self.ids[-1] == self._writer.tokenizer.eos_token_id:
            self.ids.pop()


def _can_drop_rows(cache: Any) -> bool:
    """Return whether a cache can go on with some of its rows; that of a recurrent layer cannot."""
    return all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers)


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
    """Write a token stream (nr_core.tokenization.tokenizer) to spec.out, of as many documents as give spec.tokens.

    Goes on from the last whole batch. Raises ModelError as sample_text does, Stopped where the job was asked to stop.
    """
    writer = Writer(spec.base, spec.document_tokens, spec.out)
    partial = spec.out / BATCHES
    _, batch = _whole_batches(partial)
    held = _read(partial)
    begun, at_first = time.monotonic(), sum(map(len, held))

    def report(done: int, most: int) -> None:
        rate = max(1, done - at_first) / (time.monotonic() - begun)
        progress.report(min(done, most), spec.tokens, rate, max(0, spec.tokens - done) / rate)

    def within_batch(tokens: int) -> None:
        if stopping.asked():
            raise stopping.Stopped
        report(sum(map(len, held)) + tokens, spec.tokens - 1)  # all of them: once the batch is whole

    with open(partial, "a", encoding="utf-8") as file:
        while sum(map(len, held)) < spec.tokens:
            written = writer.write(spec.seed * 1_000_003 + batch, within_batch)
            file.write(json.dumps(written) + "\n")
            file.flush()
            held += written
            batch += 1
            report(sum(map(len, held)), spec.tokens)
    _write_stream(held, writer, spec.out)
    partial.unlink()
    (spec.out / PRECISION_FILE).unlink()


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
    """Count documents and batches that stand, and drop half a line at the end, which a killed process left."""
    if not partial.exists():
        return 0, 0
    lines = partial.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    partial.write_text("".join(whole), encoding="utf-8")
    return sum(len(json.loads(line)) for line in whole), len(whole)
