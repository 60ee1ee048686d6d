"""Defines changes to gated rows and to neutral residues, most of which the library does not have.

`learning_more.py` trains them; docs/measurements/learning-more.md says what came of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import nr_core.training.load_and_extend
from nr_core.base.language_model import decoder_layers
from nr_core.methods.lora import LORA_SCALE
from nr_core.runs.build_on_earlier import NEWEST
from nr_core.training.batches import Input
from nr_core.training.loop import Loop
from nr_core.tuner.activation_taps import Taps
from nr_core.tuner.adapter import GATES, PARAMETER_NAMES
from nr_core.tuner.embedding import EmbeddingResidueLayer
from nr_core.tuner.gated_rows import HEAD_GATE, HEAD_ROWS, ROWS, ROWS_GATE
from nr_core.tuner.layer import NeutralResidueLayer

IN, GLU, OUT, GATE = PARAMETER_NAMES
RANK, PROJECTIONS = 16, ("q_proj", "k_proj", "v_proj", "o_proj")
BESIDE_ATTENTION = 100  # in taps the gated LoRA of layer i stands as layer 100 + i
BESIDE_LINEAR, MOST_LINEAR = 1000, 10  # and the gated copies of its linear layers as layers 1000 + 10 i and on
OPEN_STEPS = 50
COMMON = 5  # a fifth of the vocabulary, those that the new text uses most, is taken for its common tokens
SELDOM = 10  # a token is seldom in the replay where its share of the new text is so many times that of the replay


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
        adapter.gates_of = {NEWEST: {**own, place: lora.gate}}.__getitem__  # type: ignore[method-assign, assignment]


class GatedCopy(nn.Module):
    """A change as large as one linear layer, behind a ReLU gate that reads what the layer reads: φ(w·x) · D x."""

    def __init__(self, linear: nn.Linear, taps: Taps, number: int, layers: int) -> None:
        super().__init__()
        self.gate = nn.Linear(linear.in_features, 1, bias=False)
        nn.init.normal_(self.gate.weight, std=(linear.in_features * layers) ** -0.5)
        self.difference = nn.Linear(linear.in_features, linear.out_features, bias=False)
        nn.init.zeros_(self.difference.weight)
        self.taps, self.place = taps, taps.place(number)
        linear.register_forward_hook(self._add)

    def _add(self, linear: nn.Module, args: Any, output: Tensor) -> Tensor:
        logit = self.gate(args[0])
        residue = F.relu(logit) * self.difference(args[0])
        if self.taps.measures():
            self.taps.write(self.place, NEWEST, residue, logit)
        return output + residue


def copy_linear_layers(model: Any) -> None:
    """Give each linear layer of the decoder a gated copy, in place of the adapters beside the FFNs."""
    layers = decoder_layers(model)
    without_adapters(model)
    for decoder_layer, adapter in zip(layers, adapters(model), strict=True):
        linear = [module for module in decoder_layer.modules() if type(module) is nn.Linear]
        first = BESIDE_LINEAR + MOST_LINEAR * adapter.layer
        copies = {first + i: GatedCopy(one, adapter.taps, first + i, len(layers)) for i, one in enumerate(linear)}
        decoder_layer.gated_copies = nn.ModuleList(copies.values())
        gates = {number: copy.gate for number, copy in copies.items()}
        adapter.gates_of = {NEWEST: gates}.__getitem__  # type: ignore[method-assign, assignment]


def initialise_by_depth(model: Any) -> None:
    """Let `in` and `glu` of layer i, from 1 on, have the variance 1 / (d · i), not 1 / (d · layers)."""
    layers = adapters(model)
    with torch.no_grad():
        for number, layer in enumerate(layers, start=1):
            for part in (IN, GLU):
                getattr(layer, part)[NEWEST].weight.mul_((len(layers) / number) ** 0.5)


class AlwaysOpen(nn.Module):
    """A gate in name: 1 for each token."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(1))  # whose type is asked for

    def forward(self, x: Tensor) -> Tensor:
        return x.new_ones(*x.shape[:-1], 1)


def open_rows(model: Any) -> None:
    """Take the gates from the rows: what keeps them silent is that they are of tokens that old text seldom has, and
    the local loss, an L1 on what they change there."""
    for gate in (ROWS_GATE, HEAD_GATE):
        getattr(gated_rows(model), gate)[NEWEST] = AlwaysOpen()


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


def counts(inputs: Sequence[Input], role: str) -> np.ndarray[Any, Any]:
    size = max(source.stream.vocabulary_size for source in inputs)
    streams = [source.stream for source in inputs if source.role == role]
    found: np.ndarray[Any, Any] = np.sum([np.bincount(stream.stream, minlength=size) for stream in streams], axis=0)
    return found


def common_tokens(inputs: Sequence[Input]) -> list[int]:
    found = counts(inputs, "new")
    return sorted(int(token) for token in np.argsort(-found, kind="stable")[: len(found) // COMMON])


def seldom_tokens(inputs: Sequence[Input]) -> list[int]:
    """Return the tokens that the new text has, and the replay seldom or never."""
    new, original = counts(inputs, "new"), counts(inputs, "original")
    return [int(token) for token in np.flatnonzero((new > 0) & (new / new.sum() > SELDOM * original / original.sum()))]


def rows_of(tokens: Callable[[Sequence[Input]], list[int]]) -> AbstractContextManager[Any]:
    return patch.object(nr_core.training.load_and_extend, "used_tokens", tokens)


NEUTRAL = {"method": "neutral_residues", "alpha": 1.0, "learning_rate": 6e-3}
ROWS_TOO = {**NEUTRAL, "embeddings": "gated_rows"}
SLOWER = {"learning_rate": 3e-3}
RISING = {f"layers.{i}": 0.4 * (i + 1) for i in range(4)}  # of base S, which has four layers
FALLING = {f"layers.{i}": 0.4 * (4 - i) for i in range(4)}
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
    "gated rows 6e-3, of a fifth of the vocabulary alone": Variant(ROWS_TOO, during=partial(rows_of, common_tokens)),
    "neutral residues 3e-3, and gated LoRA of rank 16 beside attention": Variant({**NEUTRAL, **SLOWER}, add_gated_lora),
    "neutral residues 6e-3, gates held open for the first 50 steps": Variant(NEUTRAL, during=gates_held_open),
    "gated rows 3e-3, those of the first FFN behind its adapter's gate": Variant(
        {**ROWS_TOO, **SLOWER}, share_first_gate
    ),
    "gated rows 3e-3, FFN adapters of budget .05": Variant({**ROWS_TOO, **SLOWER, "budget": 0.05}),
    "neutral residues 6e-3, rates that rise with depth, .4 to 1.6 times": Variant(NEUTRAL, rates=RISING),
    "neutral residues 6e-3, rates that fall with depth, 1.6 to .4 times": Variant(NEUTRAL, rates=FALLING),
    "neutral residues 6e-3, initialised by depth": Variant(NEUTRAL, initialise_by_depth),
    "gated rows 6e-3, He initialisation": Variant({**ROWS_TOO, "initialisation": "he"}),
    "neutral residues 6e-3, layers 2 and 3 alone, twice as wide": Variant({**NEUTRAL, "layers": [2, 3]}),
    "neutral residues 3e-3 of budget .12, and gated LoRA of rank 16 beside attention": Variant(
        {**NEUTRAL, **SLOWER, "budget": 0.12}, add_gated_lora
    ),
    "a gated copy of each linear layer, 3e-3": Variant({**NEUTRAL, **SLOWER}, copy_linear_layers),
    "gated rows 3e-3, and a gated copy of each linear layer for the adapters": Variant(
        {**ROWS_TOO, **SLOWER}, copy_linear_layers
    ),
    "rows without gates 6e-3, of tokens that the replay seldom has": Variant(
        ROWS_TOO, open_rows, during=partial(rows_of, seldom_tokens)
    ),
    "finetune 3e-3": Variant({"method": "finetune", **SLOWER}),
}
