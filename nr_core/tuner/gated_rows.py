"""Rows of the embedding and of the output head behind gates, for `embeddings: gated_rows`.

Frozen embeddings cap what adapters learn, and a token alone does not tell its language: most of the pieces that a new
language is written in occur in the old one too. Hidden states know what came before, so gates that read them can tell.
With φ the adapter's gate, x the input of the first FFN, t the token and h the last hidden state,

    the first FFN's output gets φ(w·x) · E_t, and the logits get φ(v·h) · H h.

E and H have a row for each token that the new language uses, and are zero at the start. Both residues are in the local
loss: E's as an adapter's, H's as the root mean square of what its rows give. Not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nr_core.base.language_model import decoder_stack
from nr_core.errors import ModelError
from nr_core.settings import Gate
from nr_core.tuner.adapter import GATES, skips
from nr_core.tuner.adapter_sites import find_sites

# The names under which E, w, H and v are saved: as those of nr_core.tuner.adapter, they never change.
ROWS, ROWS_GATE, HEAD_ROWS, HEAD_GATE = GATED_PARTS = (
    "neutral_residues_gated_rows",
    "neutral_residues_gated_rows_gate",
    "neutral_residues_gated_head_rows",
    "neutral_residues_gated_head_gate",
)
TINY = 1e-12  # below a square root, whose slope at zero is infinite


@dataclass(frozen=True)
class Places:
    """The modules that gated rows act on.

    source, sink: the first FFN's site; decoder: what puts out the last hidden states.
    """

    source: nn.Module
    sink: nn.Module
    decoder: nn.Module
    layers: int

    @classmethod
    def of(cls, model: nn.Module, given: list[str] | None = None) -> Places:
        """Find them. given: NeutralResiduesConfig.sites. Raises ModelError as find_sites does."""
        sites, home = find_sites(model, given), decoder_stack(model).name.rpartition(".")[0]
        source, sink, decoder = (model.get_submodule(name) for name in (sites[0].source, sites[0].sink, home))
        return cls(source, sink, decoder, len(sites))


class GatedRows:
    """The part of an EmbeddingResidueLayer that deals with its gated rows, by adapter.

    In taps E's residue is of the layer -1, H's of the one after the last. tokens: of the pass that is under way.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.tokens: Tensor | None = None
        self._residue: Tensor | None = None
        self._after_last = 0
        self._handles: list[Any] = []

    def hold(self, name: str, gate: Gate, places: Places, rows: nn.Module, head_rows: nn.Module | None = None) -> None:
        """Take an adapter's E and H (Rows) and make its gates. H is None where the model has no output head."""
        if not self._handles:
            self._after_last = places.layers
            self._handles = [
                places.source.register_forward_pre_hook(self._look_up, with_kwargs=True),
                places.sink.register_forward_hook(self._add),
                places.decoder.register_forward_hook(self._measure_head),
            ]
        self.layer._gates[name] = gate
        for part, gate_part, held in ((ROWS, ROWS_GATE, rows), (HEAD_ROWS, HEAD_GATE, head_rows)):
            if held is not None:
                weight: Any = held.weight
                w = nn.Linear(weight.shape[1], 1, bias=False, device=weight.device)
                nn.init.normal_(w.weight, std=(weight.shape[1] * places.layers) ** -0.5)  # as an adapter's gate
                getattr(self.layer, part)[name] = held
                getattr(self.layer, gate_part)[name] = w

    def gates_of(self, name: str) -> dict[int, nn.Module]:
        """Return the linear layers w and v of an adapter's gates, by the layer under which taps know them."""
        parts = ((self.layer.layer, ROWS_GATE), (self._after_last, HEAD_GATE))
        held = {layer: getattr(self.layer, part) for layer, part in parts}
        return {layer: gates[name] for layer, gates in held.items() if name in gates}

    def detach(self) -> None:
        for handle in self._handles:
            handle.remove()

    def extend_logits(self, logits: Tensor, hidden: Tensor) -> Tensor:
        """Add what H gives to logits (..., vocabulary), of hidden (..., d).

        At inference tokens with a closed ReLU gate are left out.
        """
        for name, share in self._acting(HEAD_ROWS, logits):
            rows = self.layer.neutral_residues_gated_head_rows[name]
            value, _ = self._gate(HEAD_GATE, name, hidden)
            gated = hidden * value * share
            if self.layer._gates[name] == "relu" and skips(self.layer.skip_closed_gates, hidden):
                opened = value.flatten().nonzero().squeeze(-1)
                flat, gated = logits.flatten(0, -2), gated.flatten(0, -2)[opened]
                logits = flat.index_copy(0, opened, rows.add_to_logits(flat[opened], gated)).view_as(logits)
            else:
                logits = rows.add_to_logits(logits, gated)
        return logits

    def _acting(self, part: str, like: Tensor) -> list[tuple[str, Any]]:
        return [] if self.layer.disable_adapters else self.layer.shares(getattr(self.layer, part), like)

    def _gate(self, part: str, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return φ(w·x) and w·x, (..., 1) each, of x (..., d)."""
        w = getattr(self.layer, part)[name]
        logit: Tensor = w(self.layer._cast_input_dtype(x, w.weight.dtype))
        return GATES[self.layer._gates[name]](logit), logit

    def _look_up(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        x = args[0] if args else kwargs["hidden_states"]
        acting = self._acting(ROWS, x)
        self._residue = None
        if not acting:
            return
        tokens = self.tokens
        if tokens is None or tokens.numel() * x.shape[-1] != x.numel():
            raise ModelError(
                "The adapter knows tokens by their numbers (embeddings: gated_rows), and the model was given none: "
                "call it with input_ids, not with inputs_embeds."
            )
        if not torch.is_grad_enabled():  # else the layer may be run again on the way back
            self.tokens = None
        for name, share in acting:
            # Gemma scales what it embeds.
            scale = getattr(self.layer.base_layer, "embed_scale", 1.0)
            embedded = self.layer.neutral_residues_gated_rows[name].embed(tokens) * scale * share
            value, logit = self._gate(ROWS_GATE, name, x)
            residue = value * embedded.view_as(x)
            if self.layer.taps.measures():
                self.layer.taps.write(self.layer.place, name, residue, logit)
            self._residue = residue if self._residue is None else self._residue + residue

    def _add(self, module: nn.Module, args: Any, output: Any) -> Any:
        residue, self._residue = self._residue, None
        return output if residue is None else self.layer._add(output, residue)

    def _measure_head(self, module: nn.Module, args: Any, output: Any) -> None:
        """Measure all tokens at once: the head sees them by pieces, whose graphs are gone when the loss is taken."""
        taps = self.layer.taps
        if not taps.measures():
            return
        place = taps.place(self._after_last)
        hidden = output[0]
        for name, _ in self._acting(HEAD_ROWS, hidden):
            rows = self.layer.neutral_residues_gated_head_rows[name]
            value, logit = self._gate(HEAD_GATE, name, hidden)
            taps.write(place, name, value * size_of_products(hidden, rows.weight), logit)
            if taps.with_blocks and name in place.slots:
                own = self.layer.head_weight()[rows.index]
                place.blocks[name] = size_of_products(hidden, own).detach().flatten()


def size_of_products(hidden: Tensor, rows: Tensor) -> Tensor:
    """Return the root mean square of rows · h over the rows (n, d), by their Gram matrix: (..., 1), h (..., d)."""
    with torch.autocast(hidden.device.type, enabled=False):
        h, m = hidden.float(), rows.float()
        return ((h @ (m.T @ m / len(m))) * h).sum(-1, keepdim=True).clamp(min=0).add(TINY).sqrt()
