"""Tells what two languages cost each other: learned apart, loaded together, one after the other, and at once.

    python benchmarks/two_languages.py WORKSPACE --other STREAM

WORKSPACE holds the runs of configs/two-languages/ (all of neutral residues, on one base); STREAM is held-out text of
the original language that no run has seen. Prints a row for each model that they make: bits per byte learned of each
language and forgotten of STREAM. Runs loaded together were trained apart, of one seed and one setting; nothing is
trained here.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from nr_core.base.head import Head
from nr_core.base.load_base import load_base
from nr_core.evaluation.evaluate import choose_documents, score
from nr_core.runs.build_on_earlier import load_together
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec, EvaluationSettings
from nr_core.tokenization.tokenizer import TokenStream

MOST_TOKENS = 40_000  # scored of each stream

Spec = dict[str, Any]


def specs_of(workspace: Path) -> dict[Path, Spec]:
    """Return what the finished runs of neutral residues were asked for."""
    found = {file.parent: json.loads(file.read_text()) for file in sorted(workspace.glob("runs/[!.]*/spec.json"))}
    return {run: spec for run, spec in found.items() if spec["method"]["method"] == "neutral_residues"}


def languages_of(spec: Spec) -> tuple[str, ...]:
    return tuple(sorted({item["language"] for item in spec["inputs"] if item["role"] == "new"}))


def streams_of(workspace: Path, specs: dict[Path, Spec]) -> dict[str, TokenStream]:
    """Return the held-out text of each language that is learned."""
    found = {}
    for spec in specs.values():
        for item in spec["inputs"]:
            if item["role"] == "new":
                found[item["language"]] = TokenStream.open((workspace / item["tokens"]).parent / "held_out")
    return found


def models_of(base: BaseSpec, specs: dict[Path, Spec]) -> Iterator[tuple[str, int, str, Any]]:
    """Yield how a model learned, its seed, what its method was called or set to, and the model."""
    apart: dict[tuple[str, int], dict[str, Path]] = defaultdict(dict)
    for run, spec in specs.items():
        setting = {name: value for name, value in spec["method"].items() if name != "name"}
        called = ", ".join(f"{name} {value}" for name, value in sorted(setting.items()) if value is not None)
        learned = languages_of(spec)
        how = "at once" if len(learned) > 1 else f"{learned[0]} added" if spec.get("add_to") else f"{learned[0]} alone"
        yield how, spec["seed"], called, load_run(base, run)
        if how.endswith("alone"):
            apart[called, spec["seed"]][learned[0]] = run
    for (called, seed), runs in sorted(apart.items()):
        if len(runs) > 1:
            yield "together", seed, called, load_together(load_base(base), [runs[name] for name in sorted(runs)])


def bits_per_byte(model: Any, stream: TokenStream, length: int) -> float:
    settings = EvaluationSettings(sequence_length=length)
    sums = score(Head(model.eval()), None, stream, choose_documents(stream, MOST_TOKENS), settings)
    return float(sums.nats.sum() / math.log(2) / sums.bytes.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--other", type=Path, required=True, metavar="STREAM")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    specs = specs_of(arguments.workspace)
    first = next(iter(specs.values()))
    base = BaseSpec.model_validate({**first["base"], "model": str(arguments.workspace / first["base"]["model"])})
    length = first["training"]["sequence_length"]
    streams = {**streams_of(arguments.workspace, specs), "other": TokenStream.open(arguments.other)}
    before = {name: bits_per_byte(load_base(base), stream, length) for name, stream in streams.items()}
    rows = []
    for how, seed, called, model in models_of(base, specs):
        after = {name: bits_per_byte(model, stream, length) for name, stream in streams.items()}
        gained = {name: round(before[name] - after[name], 4) for name in streams}
        forgetting = -gained.pop("other")
        rows.append({"how": how, "seed": seed, "method": called, **gained, "forgetting": forgetting})
        print(rows[-1], flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
