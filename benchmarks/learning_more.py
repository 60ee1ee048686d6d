"""Tells what changes to gated rows and to neutral residues learn and forget, most of which the library does not have.

    python benchmarks/learning_more.py RUN --other STREAM --out FILE.jsonl [--seeds 0 1] [--variants V ...]

RUN is a run of a workspace, finished or begun, whose inputs have one text of the new language: every variant is trained
on its base, inputs and training settings by the library's own training, with one change to the model, the rates or the
gates. Scored, as by `nr evaluate`, are the held-out texts of RUN's inputs and --other, held-out text of the original
language that no run has seen. FILE gets a line for each run that is finished; one that stands there is not trained
again, one that was cut off begins anew. Prints a table in Markdown: bits per byte learned, forgotten on --other and on
each original-language input, new parameters as a share of the base's without embeddings, CPU seconds of the training.
The last line is FILE's rows.

The variants live in learning_more_variants.py and not in nr_core: docs/measurements/learning-more.md says what came of
them.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import torch
from learning_more_variants import VARIANTS, Variant

import nr_core.training.train
from nr_core.base.head import Head
from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.evaluation.evaluate import choose_documents, score
from nr_core.progress import Progress
from nr_core.settings import BaseSpec, EvaluationSettings
from nr_core.specs import TrainSpec
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.training.load_and_extend import Extended, extend_base
from nr_core.training.optimiser import rate_shares
from nr_core.tuner.layer import find_taps

MOST_TOKENS = 40_000  # scored of each stream


def train(spec: TrainSpec, variant: Variant) -> Extended:
    """Train a variant as `nr train` does; nothing is written, since other models than the library's fit no folder."""
    kept: list[Extended] = []

    def extended(spec: TrainSpec) -> Extended:
        found = extend_base(spec)
        variant.change(found.model)
        return found

    def shares(head: Head, *rest: Any) -> dict[str, float]:
        found = rate_shares(head, *rest)
        for name, parameter in head.model.named_parameters():
            for part, factor in variant.rates.items():
                if parameter.requires_grad and f".{part}." in name:
                    found[name] = found.get(name, 1.0) * factor
        return found

    progress = Progress("train", spec.label, "steps")
    progress.silence()
    of_library = nr_core.training.train
    with ExitStack() as patched:
        patched.enter_context(variant.during())
        patched.enter_context(patch.object(of_library, "extend_base", extended))
        patched.enter_context(patch.object(of_library, "rate_shares", shares))
        patched.enter_context(patch.object(of_library, "_write_run", lambda spec, done, *rest: kept.append(done)))
        of_library.train(spec, progress)
    return kept[0]


def bits_per_byte(model: Any, streams: Sequence[TokenStream], length: int) -> list[float]:
    settings, found = EvaluationSettings(sequence_length=length), []
    for stream in streams:
        documents = choose_documents(stream, MOST_TOKENS)
        sums = score(Head(model.eval()), find_taps(model), stream, documents, settings)
        found.append(float(sums.nats.sum() / math.log(2) / sums.bytes.sum()))
    return found


def figures(spec: TrainSpec, variant: Variant, streams: Sequence[TokenStream], before: list[float]) -> dict[str, Any]:
    """Train and score. streams: of the new language, another of the original one, those of its inputs."""
    begun = time.process_time()
    try:
        done = train(spec, variant)
    except ModelError as error:  # such as gates that are shut on the new language too
        return {"stopped": str(error)}
    seconds = time.process_time() - begun
    assert spec.training.sequence_length is not None
    after = bits_per_byte(done.model, streams, spec.training.sequence_length)
    lost = [round(b - a, 4) for a, b in zip(before, after, strict=True)]
    found = {"learning": -lost[0], "forgetting": lost[1], "replay": lost[2:], "cpu_seconds": round(seconds, 1)}
    if done.extension.method.trains_base:
        return found
    new = sum(p.numel() for p in done.model.parameters() if p.requires_grad)
    return {**found, "new_parameters": round(new / done.extension.backbone.non_embedding, 3)}


def cells(row: Mapping[str, Any]) -> list[str]:
    if "stopped" in row:
        return [str(row["seed"]), "stopped", "", "", "", ""]
    replay = ", ".join(f"{value:+.3f}" for value in row["replay"])
    share = f"{row['new_parameters']:.0%}" if "new_parameters" in row else ""
    known = [f"{row['learning']:.3f}", f"{row['forgetting']:+.4f}", replay, share, f"{row['cpu_seconds']:.0f}"]
    return [str(row["seed"]), *known]


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of the variants, the figures of their seeds side by side."""
    lines = [
        "| change | seeds | learning | forgetting | replay | new parameters | CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["variant"] for row in rows):
        seeds = [cells(row) for row in rows if row["variant"] == name]
        lines.append(f"| {name} | {' | '.join(' / '.join(column) for column in zip(*seeds, strict=True))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--other", type=Path, required=True, metavar="STREAM")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    asked, workspace = json.loads((arguments.run / "spec.json").read_text()), arguments.run.absolute().parent.parent
    base = BaseSpec.model_validate({**asked["base"], "model": str(workspace / asked["base"]["model"])})
    inputs = [{**source, "tokens": workspace / source["tokens"]} for source in asked["inputs"]]
    new, *originals = (source["tokens"].parent / "held_out" for source in sorted(inputs, key=lambda one: one["role"]))
    streams = [TokenStream.open(folder) for folder in (new, arguments.other, *originals)]
    before = bits_per_byte(load_base(base), streams, asked["training"]["sequence_length"])
    common = {"base": base, "inputs": inputs, "training": asked["training"]}

    lines = arguments.out.read_text().splitlines() if arguments.out.is_file() else []
    rows = [row for row in map(json.loads, lines) if row["base"] == base.model]
    done = {(row["variant"], row["seed"]) for row in rows}
    for name, seed in product(arguments.variants, arguments.seeds):
        if (name, seed) in done:
            continue
        variant = VARIANTS[name]
        with TemporaryDirectory() as folder:
            own = {"out": folder, "method": variant.method, "seed": seed, "label": f"{name}, seed {seed}"}
            found = figures(TrainSpec.model_validate({**common, **own}), variant, streams, before)
        rows.append({"variant": name, "seed": seed, "base": base.model, **found})
        with arguments.out.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(rows[-1], flush=True)
    print(markdown(rows))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
