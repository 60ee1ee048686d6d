"""Measures how fast tasks are scored: against the bare forward pass, and against lm-evaluation-harness on HellaSwag.

    python benchmarks/evaluation.py --model MODEL.gguf --hellaswag hellaswag_val_full.txt.bz2 [--items 24] [--width 192]

Prints JSON. of_forward_throughput: tokens a second of the scorer over those of forward passes alone, on the very
batches that it makes (no shared contexts: the same tokens go through the model). vs_lm_eval: time of lm_eval's HFLM
over the scorer's, on the same questions, at the same tokens a batch. Both are ratios within one process, of CPU time
(of wall time on a GPU), in turns, so that load on the machine falls on both alike. --width: the model's form with
random weights, so narrow, for more questions in the same time; what weights hold bears on no time.
lm_eval: pip install 'neutral-residues[eval]'.
"""

from __future__ import annotations

import argparse
import bz2
import copy
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")

import torch

from nr_core.base.load_base import load_base
from nr_core.evaluation.tasks.items import Item
from nr_core.evaluation.tasks.kinds import choice_figures
from nr_core.evaluation.tasks.loglikelihood import Scorer
from nr_core.evaluation.tasks.token_tree import batches_of, trees_of
from nr_core.settings import BaseSpec
from nr_core.tokenization.tokenizer import load_tokenizer


def main() -> int:
    parser = argparse.ArgumentParser(description="Speed of task scoring.")
    parser.add_argument("--model", required=True, help="folder, hub id or .gguf file")
    parser.add_argument("--hellaswag", required=True, type=Path, help="hellaswag_val_full.txt.bz2 (text form)")
    parser.add_argument("--items", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=8, help="sequences a batch of lm_eval")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--width", type=int, help="of the hidden state: random weights in the model's form")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    spec = BaseSpec(model=chosen.model)
    model, tokenizer = load_base(spec).eval(), load_tokenizer(spec)
    if chosen.width:
        model = narrowed(model, chosen.width)
    items = hellaswag(chosen.hellaswag, chosen.items)
    report = {
        "machine": platform.machine(),
        "threads": chosen.threads,
        "device": str(model.device),
        "model": Path(chosen.model).name,
        "parameters": model.num_parameters(),
        "items": len(items),
        **of_forward(model, tokenizer, items, chosen.turns),
        **against_harness(model, tokenizer, items, chosen.batch_size, chosen.turns),
    }
    print(json.dumps(report, indent=1))
    return 0 if report["of_forward_throughput"] >= 0.8 and report["vs_lm_eval"] >= 1.5 else 1


def narrowed(model: Any, width: int) -> Any:
    """Return a model of the same architecture and depth with random weights: every width is scaled, the heads stay."""
    config = copy.deepcopy(model.config)
    config.intermediate_size = round(config.intermediate_size * width / config.hidden_size)
    config.head_dim = width // config.num_attention_heads // 2 * 2
    config.hidden_size = width
    torch.manual_seed(0)
    return type(model)(config).to(model.device).eval()


def hellaswag(path: Path, count: int) -> list[Item]:
    """Return the first questions of klosax's text form: context, label, four endings, a line each."""
    lines = bz2.decompress(path.read_bytes()).decode().split("\n")
    blocks = [lines[start : start + 6] for start in range(0, 6 * count, 6)]
    return [Item([(context, " " + ending) for ending in endings], int(gold)) for context, gold, *endings in blocks]


def of_forward(model: Any, tokenizer: Any, items: Sequence[Item], turns: int) -> dict[str, float]:
    pairs = [pair for item in items for pair in item.pairs]
    scorer = Scorer(model, tokenizer, 1024)
    scorer._sharing = False
    inputs = [sequence[:-1] for sequence in scorer.encode(pairs)[0]]
    batches = list(batches_of(trees_of(inputs, sharing=False), scorer.batch_tokens))
    padded = [
        torch.tensor([tree.tokens + [0] * (len(batch[0].tokens) - len(tree.tokens)) for tree in batch])
        for batch in batches
    ]

    @torch.inference_mode()
    def forward() -> None:
        for ids in padded:
            model(input_ids=ids.to(model.device), use_cache=False).logits.sum().item()

    alone, scoring = in_turns(turns, forward, lambda: scorer.score(pairs))
    return {"of_forward_throughput": alone / scoring, "forward_seconds": alone, "scoring_seconds": scoring}


def against_harness(model: Any, tokenizer: Any, items: Sequence[Item], batch_size: int, turns: int) -> dict[str, float]:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    pairs = [pair for item in items for pair in item.pairs]
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, device=str(model.device))
    asked = [Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0) for pair in pairs]
    scorer = Scorer(model, tokenizer)
    longest = max(len(sequence) - 1 for sequence in scorer.encode(pairs)[0])
    scorer.batch_tokens = batch_size * longest  # as many tokens as the harness's largest batch
    answers: dict[str, Any] = {}
    theirs, ours = in_turns(
        turns,
        lambda: answers.update(theirs=harness.loglikelihood(asked, disable_tqdm=True)),
        lambda: answers.update(ours=scorer.score(pairs)),
    )
    differences = [abs(a.loglikelihood - b[0]) for a, b in zip(answers["ours"], answers["theirs"], strict=True)]
    found = iter(answers["ours"])
    accuracy = choice_figures(items, [[next(found) for _ in item.pairs] for item in items])["acc_norm"].value
    return {
        "vs_lm_eval": theirs / ours,
        "lm_eval_seconds": theirs,
        "own_seconds": ours,
        "batch_tokens": scorer.batch_tokens,
        "largest_difference_nats": max(differences),
        "acc_norm": accuracy,
    }


def in_turns(turns: int, *works: Callable[[], Any]) -> list[float]:
    """Median seconds of each, after one turn to warm up: CPU seconds of the process, on a GPU of the wall."""
    on_gpu = torch.cuda.is_available()
    clock = time.perf_counter if on_gpu else time.process_time
    seconds: list[list[float]] = [[] for _ in works]
    for turn in range(turns + 1):
        for i, work in enumerate(works):
            begun = clock()
            work()
            if on_gpu:
                torch.cuda.synchronize()
            if turn:
                seconds[i].append(clock() - begun)
    return [statistics.median(measured) for measured in seconds]


if __name__ == "__main__":
    sys.exit(main())
