"""Text that a base writes itself, as replay where nothing near its original training data is at hand.

Documents are drawn from the model's own distribution (temperature 1, nothing cut off it), each from the token that
opens a text. The result is JSON lines, an ordinary text source of a config. That rehearsing what a network itself puts
out keeps what it knows is old: Robins, "Catastrophic forgetting, rehearsal and pseudorehearsal", Connection Science
1995.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nr_core.errors import ModelError
from nr_core.models import context_length, load_base
from nr_core.settings import BaseSpec
from nr_core.tokens import load_tokenizer

BATCH = 16  # documents written side by side
EMPTY_BATCHES = 10  # in a row, after which a model is taken to have nothing to say


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
    tokenizer, model = load_tokenizer(base), load_base(base).eval()
    opening = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    longest = context_length(model.config)
    new_tokens = max_tokens if longest is None else min(max_tokens, longest - 1)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".partial-{seed}-{max_tokens}-{out.name}")
    done, batch = _whole_batches(partial)
    empty = 0
    with open(partial, "a", encoding="utf-8") as file:
        while done < documents:
            torch.manual_seed(seed * 1_000_003 + batch)
            texts = _write_batch(model, tokenizer, opening, new_tokens)
            empty = 0 if texts else empty + 1
            if empty == EMPTY_BATCHES:
                raise ModelError(f"{base.model} writes nothing but ends of text; take another source of replay.")
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


def _whole_batches(partial: Path) -> tuple[int, int]:
    """Documents and batches that stand; half a line at the end, of an attempt that was killed, goes."""
    if not partial.exists():
        return 0, 0
    lines = partial.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = [line for line in lines if line.endswith("\n")]
    partial.write_text("".join(whole), encoding="utf-8")
    return sum(len(json.loads(line)) for line in whole), len(whole)


@torch.inference_mode()
def _write_batch(model: Any, tokenizer: Any, opening: int, new_tokens: int) -> list[str]:
    start = torch.full((BATCH, 1), opening, device=next(model.parameters()).device)
    written = model.generate(
        start,
        attention_mask=torch.ones_like(start),
        max_new_tokens=new_tokens,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    texts = tokenizer.batch_decode(written[:, 1:], skip_special_tokens=True)
    return [text for text in texts if text.strip()]
