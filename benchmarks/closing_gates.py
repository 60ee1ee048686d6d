"""Tells whether training can be made to close more gates on the original language at no loss of learning.

    python benchmarks/closing_gates.py RUN --new STREAM --replay STREAM --other STREAM --out FOLDER [--variants V ...]

RUN is a finished run of neutral residues: every variant is trained on its base, inputs, seed and settings, with another
gate or one more term in the local loss. The streams are held-out text of the new language, of the replay's
domain and of another domain of the original language. Prints a row a variant: bits per byte learned on --new and
forgotten on --other, and the share of closed gates, mean over layers. A variant that stands in --out is not trained
again.

The variants live here and not in nr_core: docs/measurements/closing-gates.md says what came of them.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nr_core.training.loop
import nr_core.tuner.layer
from nr_core.base.head import Head
from nr_core.base.load_base import load_base
from nr_core.errors import ModelError
from nr_core.evaluation.evaluate import choose_documents, score
from nr_core.progress import Progress
from nr_core.runs.load_run import load_run
from nr_core.settings import BaseSpec, EvaluationSettings
from nr_core.specs import TrainSpec
from nr_core.tokenization.tokenizer import TokenStream
from nr_core.training.loss import local_loss
from nr_core.training.train import train
from nr_core.tuner.adapter import GatedAdapter

# Hard concrete gates: Louizos, Welling, Kingma, ICLR 2018, https://arxiv.org/abs/1712.01312, with its own constants.
LOW, HIGH, TEMPERATURE = -0.1, 1.1, 2 / 3
CLOSES = math.log(-HIGH / LOW)  # the expected gate is exactly 0 where w·x is below minus this
MARGIN = 0.1
MOST_TOKENS = 40_000  # scored of each stream


def hard_concrete(z: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        u = torch.rand_like(z).clamp(1e-6, 1 - 1e-6)
        z = (u.log() - (-u).log1p() + z) / TEMPERATURE
    return (z.sigmoid() * (HIGH - LOW) + LOW).clamp(0, 1)


@dataclass(frozen=True)
class Variant:
    """gate: φ of w·x; shift: w·x + shift is above 0 where the gate is open; bias: learned, from this value.

    penalty: of w·x + shift, a value a token, added to the local loss on original-language tokens.
    """

    gate: Callable[[Tensor], Tensor] = F.relu
    shift: float = 0.0
    bias: float | None = None
    penalty: Callable[[Tensor], Tensor] | None = None
    method: dict[str, Any] = field(default_factory=dict)


def threshold(t: float) -> Variant:
    return Variant(gate=lambda z: F.relu(z - t), shift=-t)


def closing(weight: float) -> Variant:
    return Variant(penalty=lambda z: weight * F.relu(z + MARGIN))


def l0(weight: float) -> Variant:
    opens = TEMPERATURE * CLOSES - CLOSES
    return Variant(hard_concrete, CLOSES, penalty=lambda z: weight * torch.sigmoid(z + opens))


PUBLISHED = "as published"  # RUN itself
VARIANTS: dict[str, Variant] = {
    PUBLISHED: Variant(),
    **{f"alpha {alpha:g}": Variant(method={"alpha": alpha}) for alpha in (3.0, 10.0)},
    **{
        f"relative_l1, alpha {alpha:g}": Variant(method={"local_loss": "relative_l1", "alpha": alpha})
        for alpha in (1.0, 3.0)
    },
    **{f"threshold {t:g}": threshold(t) for t in (0.25, 0.5, 1.0)},
    "bias learned from -0.5": Variant(bias=-0.5),
    **{f"closing term {weight:g}": closing(weight) for weight in (0.03, 0.1, 0.3)},
    **{f"hard concrete, L0 {weight:g}": l0(weight) for weight in (0.03, 0.3)},
}
# At inference only, of the run as published: gates that are nearly closed are taken for closed.
CUTS = (0.03, 0.1, 0.2, 0.4)


class Patched:
    """nr_core with the gate of a variant."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def __enter__(self) -> None:
        variant, self.held = (
            self.variant,
            (nr_core.tuner.layer.gated_residue, nr_core.training.loop.local_loss, GatedAdapter.__init__),
        )
        initialise = GatedAdapter.__init__

        def residue(x: Tensor, w_in: Any, w_glu: Any, w_out: Any, block_gate: Any, gate: str = "") -> Any:
            z = block_gate(x)
            return w_out(F.silu(w_glu(x)) * w_in(x)) * variant.gate(z), z + variant.shift

        def loss(taps: Any, original: Tensor, count: int, *rest: Any) -> Tensor:
            total = local_loss(taps, original, count, *rest)
            if variant.penalty is not None:
                terms = [(variant.penalty(tap.gate) * original).sum() for tap in taps.slots.values()]
                total = total + torch.stack(terms).sum() / (len(terms) * max(count, 1))
            return total

        def with_bias(self: Any, *arguments: Any, **options: Any) -> None:
            initialise(self, *arguments, **options)
            if variant.bias is not None:
                self.neutral_residues_block_gate.bias = nn.Parameter(torch.full((1,), variant.bias))

        nr_core.tuner.layer.gated_residue, nr_core.training.loop.local_loss = residue, loss  # type: ignore[assignment]
        GatedAdapter.__init__ = with_bias  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        nr_core.tuner.layer.gated_residue, nr_core.training.loop.local_loss, GatedAdapter.__init__ = self.held  # type: ignore[method-assign]


def cut(at: float) -> Variant:
    return Variant(gate=lambda z: z * (z > at), shift=-at)


def figures(model: Any, streams: dict[str, TokenStream], length: int) -> dict[str, tuple[float, float]]:
    """Bits per byte and share of closed gates of each stream."""
    found = {}
    for name, stream in streams.items():
        documents, settings = choose_documents(stream, MOST_TOKENS), EvaluationSettings(sequence_length=length)
        sums = score(Head(model), nr_core.tuner.layer.find_taps(model), stream, documents, settings)
        bits = float(sums.nats.sum() / math.log(2) / sums.bytes.sum())
        opened = sum(sums.opened.values()) / max(len(sums.opened), 1) / float(sums.tokens.sum())
        found[name] = (bits, 1 - opened)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    for name in ("new", "replay", "other", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    asked = json.loads((arguments.run / "spec.json").read_text())
    base = BaseSpec.model_validate(asked["base"])
    streams = {name: TokenStream.open(getattr(arguments, name)) for name in ("new", "replay", "other")}
    length = asked["training"]["sequence_length"]
    before = figures(load_base(base).eval(), streams, length)
    rows: list[dict[str, Any]] = []

    def show(name: str, model: Any) -> None:
        after = figures(model.eval(), streams, length)
        row = {
            "variant": name,
            "learning": round(before["new"][0] - after["new"][0], 4),
            "forgetting": round(after["other"][0] - before["other"][0], 4),
            "forgetting_in_replay": round(after["replay"][0] - before["replay"][0], 4),
            **{f"closed_{stream}": round(after[stream][1], 3) for stream in ("replay", "other", "new")},
        }
        rows.append(row)
        print(row, flush=True)

    for name in arguments.variants:
        variant = VARIANTS[name]
        out = arguments.run if name == PUBLISHED else arguments.out / name.replace(" ", "_")
        spec = {**asked, "out": out, "method": {**asked["method"], **variant.method}}
        with Patched(variant):
            out.mkdir(parents=True, exist_ok=True)
            if not (out / "run.json").is_file():
                progress = Progress("train", name, "steps")
                progress.silence()
                try:
                    train(TrainSpec.model_validate(spec), progress)
                except ModelError as error:  # such as gates that are shut on the new language too
                    rows.append({"variant": name, "stopped": str(error)})
                    print(rows[-1], flush=True)
                    continue
            show(name, load_run(base, out))
        for at in CUTS if name == PUBLISHED else ():
            with Patched(cut(at)):
                show(f"{name}, cut at {at:g}", load_run(base, out))
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
