"""Tells what changes to gated rows and to neutral residues learn and forget, most of which the library does not have.

    python benchmarks/learning_more.py RUN --other STREAM --out FILE.jsonl [--seeds 0 1] [--variants V ...]

RUN is a run of a workspace, finished or begun, whose inputs have one text of the new language: every variant is trained
on its base, inputs and training settings by the library's own training, with one change to the model, the rates or the
gates. Scored, as by `nr evaluate`, are the held-out texts of RUN's inputs and --other, held-out text of the original
language that no run has seen. FILE gets a line for each run that is finished; one that stands there is not trained
again, one that was cut off begins anew. Prints a table in Markdown: bits per byte learned, forgotten on --other and on
each original-language input, new parameters as a share of the base's without embeddings, CPU seconds of the training.
The last line is FILE's rows.

The variants live here and not in nr_core: docs/measurements/learning-more.md says what came of them.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nr_core.training.load_and_extend
import nr_core.training.train
from nr_core.base.head import Head
from nr_core.base.language_model import decoder_layers
from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.evaluation.evaluate import choose_documents, score
from nr_core.methods.lora import LORA_SCALE
from nr_core.progress import Progress
from nr_core.runs.build_on_earlier import NEWEST
from nr_core.settings import BaseSpec, EvaluationSettings
from nr_core.specs import TrainSpec
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.training.batches import Input
from nr_core.training.load_and_extend import Extended, extend_base
from nr_core.training.loop import Loop
from nr_core.training.optimiser import rate_shares
from nr_core.tuner.adapter import GATES, PARAMETER_NAMES
from nr_core.tuner.embedding import EmbeddingResidueLayer
from nr_core.tuner.gated_rows import HEAD_GATE, HEAD_ROWS, ROWS, ROWS_GATE
from nr_core.tuner.layer import NeutralResidueLayer, find_taps

MOST_TOKENS = 40_000  # scored of each stream
IN, GLU, OUT, GATE = PARAMETER_NAMES
RANK, PROJECTIONS = 16, ("q_proj", "k_proj", "v_proj", "o_proj")
BESIDE_ATTENTION = 100  # in taps the gated LoRA of layer i stands as layer 100 + i
OPEN_STEPS = 50
COMMON = 5  # a fifth of the vocabulary, those that the new text uses most, is taken for its common tokens


@dataclass(frozen=True)
class Variant:
    """One change. method: settings of the library; rates: what the rate of a part is multiplied by, by its name.

    change: of the extended model, before it is trained. during: what holds while it is extended and trained.
    """

    method: dict[str, Any]
    change: Callable[[Any], None] = lambda model: None
    rates: Mapping[str, float] = field(default_factory=dict)
    during: Callable[[], AbstractContextManager[Any]] = nullcontext


def adapters(model: Any) -> list[NeutralResidueLayer]:
    """Return what stands beside the FFNs, in the order of the layers."""
    return [module for module in model.modules() if type(module) is NeutralResidueLayer]


def gated_rows(model: Any) -> EmbeddingResidueLayer:
    return next(module for module in model.modules() if isinstance(module, EmbeddingResidueLayer))


def without_rows(*parts: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        for part in parts:
            getattr(gated_rows(model), part).clear()

    return change


def without_adapters(model: Any) -> None:
    for layer in adapters(model):
        for part in PARAMETER_NAMES:
            getattr(layer, part).clear()


def share_one_matrix(model: Any) -> None:
    """Give the head the rows of the first FFN, which are of the same tokens."""
    rows = gated_rows(model)
    rows.neutral_residues_gated_head_rows[NEWEST].weight = rows.neutral_residues_gated_rows[NEWEST].weight


def share_first_gate(model: Any) -> None:
    """Put the rows of the first FFN behind the gate of the adapter that reads the same states."""
    gate = adapters(model)[0].neutral_residues_block_gate[NEWEST]
    gated_rows(model).neutral_residues_gated_rows_gate[NEWEST] = gate


def begin_open(model: Any) -> None:
    """Give the adapters' gates a bias that begins at 1."""
    for layer in adapters(model):
        layer.neutral_residues_block_gate[NEWEST].bias = nn.Parameter(torch.ones(1))


class GatedLoRA(nn.Module):
    """LoRA of the four projections of one attention, behind one ReLU gate that reads what the attention reads.

    The local loss measures the four residues together, as one of a layer more.
    """

    def __init__(self, attention: Any, beside: NeutralResidueLayer, layers: int) -> None:
        super().__init__()
        width = attention.q_proj.in_features
        self.gate = nn.Linear(width, 1, bias=False)
        nn.init.normal_(self.gate.weight, std=(width * layers) ** -0.5)  # as an adapter's
        self.down, self.up = nn.ModuleDict(), nn.ModuleDict()
        for name in PROJECTIONS:
            projection = getattr(attention, name)
            self.down[name] = nn.Linear(projection.in_features, RANK, bias=False)
            self.up[name] = nn.Linear(RANK, projection.out_features, bias=False)
            nn.init.zeros_(self.up[name].weight)
            projection.register_forward_hook(partial(self._add, name))
        attention.register_forward_pre_hook(self._open, with_kwargs=True)
        attention.register_forward_hook(self._measure)
        self.taps = beside.taps
        self.place = self.taps.place(BESIDE_ATTENTION + beside.layer)

    def _open(self, attention: nn.Module, args: Any, kwargs: Any) -> None:
        self.logit = self.gate(args[0] if args else kwargs["hidden_states"])
        self.residues: list[Tensor] = []

    def _add(self, name: str, projection: nn.Module, args: Any, output: Tensor) -> Tensor:
        residue = F.relu(self.logit) * LORA_SCALE * self.up[name](self.down[name](args[0]))
        self.residues.append(residue)
        return output + residue

    def _measure(self, attention: nn.Module, args: Any, output: Any) -> None:
        if self.taps.measures():
            self.taps.write(self.place, NEWEST, torch.cat(self.residues, dim=-1), self.logit)


def add_gated_lora(model: Any) -> None:
    """Put it beside each attention. gates_of: a gate that is drawn shut is turned, as the adapters' are."""
    layers = decoder_layers(model)
    for decoder_layer, adapter in zip(layers, adapters(model), strict=True):
        lora = GatedLoRA(decoder_layer.self_attn, adapter, len(layers))
        decoder_layer.self_attn.gated_lora = lora
        own, place = adapter.gates_of(NEWEST), BESIDE_ATTENTION + adapter.layer
        adapter.gates_of = {NEWEST: {**own, place: lora.gate}}.__getitem__  # type: ignore[method-assign]


@contextmanager
def gates_held_open() -> Iterator[None]:
    """Let the gates of the first steps be s + (1 - s) · φ(w·x), s falling from 1 to 0."""
    step_of_library = Loop.forward_backward

    def forward_backward(loop: Loop, step: int, log: bool) -> Any:
        s = max(0.0, 1 - step / OPEN_STEPS)
        with patch.dict(GATES, relu=lambda z: s + (1 - s) * F.relu(z)):
            return step_of_library(loop, step, log)

    with patch.object(Loop, "forward_backward", forward_backward):
        yield


def common_tokens(inputs: Sequence[Input]) -> list[int]:
    streams = [source.stream for source in inputs if source.role == "new"]
    size = max(stream.vocabulary_size for stream in streams)
    counts = np.sum([np.bincount(stream.stream, minlength=size) for stream in streams], axis=0)
    return sorted(int(token) for token in np.argsort(-counts, kind="stable")[: size // COMMON])


def rows_of_common_tokens() -> AbstractContextManager[Any]:
    return patch.object(nr_core.training.load_and_extend, "used_tokens", common_tokens)


NEUTRAL = {"method": "neutral_residues", "alpha": 1.0, "learning_rate": 6e-3}
ROWS_TOO = {**NEUTRAL, "embeddings": "gated_rows"}
SLOWER = {"learning_rate": 3e-3}
WITHOUT_HEAD, WITHOUT_FIRST = without_rows(HEAD_ROWS, HEAD_GATE), without_rows(ROWS, ROWS_GATE)

VARIANTS: dict[str, Variant] = {
    "gated rows 6e-3": Variant(ROWS_TOO),
    "gated rows 6e-3, and gated LoRA of rank 16 beside attention": Variant(ROWS_TOO, add_gated_lora),
    "gated rows of the head alone, 3e-3": Variant({**ROWS_TOO, **SLOWER}, WITHOUT_FIRST),
    "gated rows 6e-3, no FFN adapters": Variant(ROWS_TOO, without_adapters),
    "neutral residues 6e-3": Variant(NEUTRAL),
    "neutral residues 6e-3, He initialisation": Variant({**NEUTRAL, "initialisation": "he"}),
    "neutral residues 6e-3, gates with a bias that begins at 1": Variant(NEUTRAL, begin_open),
    "neutral residues 6e-3, rate of the gates a tenth": Variant(NEUTRAL, rates={GATE: 0.1}),
    "neutral residues 6e-3, rate of `out` four times": Variant(NEUTRAL, rates={OUT: 4.0}),
    "neutral residues 6e-3, rate of `in` and `glu` four times": Variant(NEUTRAL, rates={IN: 4.0, GLU: 4.0}),
    "gated rows 6e-3, rate of the rows three times": Variant(ROWS_TOO, rates={ROWS: 3.0, HEAD_ROWS: 3.0}),
    "neutral residues 6e-3, budget 1.2": Variant({**NEUTRAL, "budget": 1.2}),
    "neutral residues 6e-3, layers 0 and 3 alone, twice as wide": Variant({**NEUTRAL, "layers": [0, 3]}),
    "gated rows beside the first FFN alone, 3e-3": Variant({**ROWS_TOO, **SLOWER}, WITHOUT_HEAD),
    "gated rows 3e-3": Variant({**ROWS_TOO, **SLOWER}),
    "gated rows 3e-3, one matrix for both": Variant({**ROWS_TOO, **SLOWER}, share_one_matrix),
    "gated rows 6e-3, of a fifth of the vocabulary alone": Variant(ROWS_TOO, during=rows_of_common_tokens),
    "neutral residues 3e-3, and gated LoRA of rank 16 beside attention": Variant({**NEUTRAL, **SLOWER}, add_gated_lora),
    "neutral residues 6e-3, gates held open for the first 50 steps": Variant(NEUTRAL, during=gates_held_open),
    "gated rows 3e-3, those of the first FFN behind its adapter's gate": Variant(
        {**ROWS_TOO, **SLOWER}, share_first_gate
    ),
    "gated rows 3e-3, FFN adapters of budget .05": Variant({**ROWS_TOO, **SLOWER, "budget": 0.05}),
    "finetune 3e-3": Variant({"method": "finetune", **SLOWER}),
}


def train(spec: TrainSpec, variant: Variant) -> Extended:
    """Train a variant as `nr train` does; nothing is written, since other models than the library's fit no folder."""
    kept: list[Extended] = []

    def extended(spec: TrainSpec) -> Extended:
        found = extend_base(spec)
        variant.change(found.model)
        return found

    def shares(head: Head, *rest: Any) -> dict[str, float]:
        found = rate_shares(head, *rest)
        for name, _ in head.model.named_parameters():
            for part, factor in variant.rates.items():
                if f".{part}." in name:
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
