"""Extensions of the embedding that are silent on the original language, for `embeddings: new_rows | residue` (and, with
nr_core.tuner.gated_rows, `gated_rows`).

Frozen embeddings cap what adapters learn on small bases. `new_rows` trains what is added to the rows of tokens that the
original text does not use, in the embedding and in the output head: text without those tokens passes through the
embedding unchanged. `residue` puts one more gated adapter on the embedding's output, kept silent by the local loss like
the others. Neither is in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nr_core.errors import ModelError
from nr_core.training.batches import Input
from nr_core.tuner.activation_taps import Taps
from nr_core.tuner.adapter import PARAMETER_NAMES
from nr_core.tuner.adapter_sites import Site
from nr_core.tuner.config import NeutralResiduesConfig
from nr_core.tuner.gated_rows import GATED_PARTS, GatedRows, Places
from nr_core.tuner.layer import NeutralResidueLayer


def used_tokens(inputs: Sequence[Input]) -> list[int]:
    """Return the tokens that the new-language inputs use, in order."""
    used = [np.flatnonzero(source.stream.used()) for source in inputs if source.role == "new"]
    return [int(token) for token in np.unique(np.concatenate(used))]


def unused_tokens(inputs: Sequence[Input]) -> list[int]:
    """Return the tokens that the new-language inputs use and the original-language ones never do, in order.

    Raises ModelError where there is no original-language text to tell, or no such token.
    """
    used = {role: np.zeros(max(s.stream.vocabulary_size for s in inputs), dtype=bool) for role in ("new", "original")}
    for source in inputs:
        if source.role is not None:
            used[source.role][np.flatnonzero(source.stream.used())] = True
    if not used["original"].any():
        raise ModelError(
            "embeddings: new_rows trains tokens that the original language does not use, and no input tells which; "
            "add one with the role original (a share of 0 is enough)."
        )
    rows = np.flatnonzero(used["new"] & ~used["original"])
    if not len(rows):
        raise ModelError(
            "embeddings: new_rows finds no token that only the new language uses; choose frozen or residue."
        )
    return [int(row) for row in rows]


class Rows(nn.Module):
    """Additions to some rows of a (vocabulary, d) matrix: zero at the start."""

    index: Tensor
    place: Tensor

    def __init__(self, tokens: list[int], vocabulary: int, width: int, device: torch.device) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(tokens), width, device=device))
        # Known from the config, so never saved; on the device that was asked for, where PEFT loads with
        # low_cpu_mem_usage and the weights are on none until their file is read.
        for name in ("index", "place"):
            self.register_buffer(name, torch.empty(0, dtype=torch.long, device=device), persistent=False)
        self.name_tokens(tokens, vocabulary)

    def name_tokens(self, tokens: list[int], vocabulary: int) -> None:
        """Say which tokens the rows are of, among so many."""
        device = self.index.device
        self.index = torch.tensor(tokens, device=device)
        self.place = torch.full((vocabulary,), -1, device=device)
        self.place[self.index] = torch.arange(len(tokens), device=device)

    def embed(self, tokens: Tensor) -> Tensor:
        """Return the rows of tokens (...) -> (..., d), zero for all other tokens."""
        place: Any = self.place
        found = place[tokens]
        return self.weight[found.clamp(min=0)] * (found >= 0).unsqueeze(-1)

    def add_to_logits(self, logits: Tensor, hidden: Tensor) -> Tensor:
        """Add the rows' logits, hidden (..., d), to logits (..., vocabulary)."""
        index: Any = self.index
        return logits.index_add(-1, index, F.linear(hidden.to(self.weight.dtype), self.weight).to(logits.dtype))


class EmbeddingResidueLayer(NeutralResidueLayer):
    """Stands for the token embedding; as layer −1 in taps and figures. Rows of a tied head are the embedding's."""

    adapter_layer_names = (*PARAMETER_NAMES, "neutral_residues_rows", "neutral_residues_head_rows", *GATED_PARTS)

    def __init__(
        self,
        base_layer: nn.Module,
        site: Site,
        head: nn.Module | None,
        taps: Taps,
        places: Callable[[], Places],
    ) -> None:
        super().__init__(base_layer, site, None, taps)
        self.neutral_residues_gated_rows = nn.ModuleDict()
        self.neutral_residues_gated_rows_gate = nn.ModuleDict()
        self.neutral_residues_gated_head_rows = nn.ModuleDict()
        self.neutral_residues_gated_head_gate = nn.ModuleDict()
        self.gated, self.places = GatedRows(self), places
        self._heads: list[Any] = [] if head is None else [head]  # in a list: no child of this one
        self.neutral_residues_rows = nn.ModuleDict()
        self.neutral_residues_head_rows = nn.ModuleDict()
        self._tied = head is not None and head.weight is base_layer.weight
        self._hook = None if head is None else head.register_forward_hook(self._extend_logits)

    def gates_of(self, name: str) -> dict[int, nn.Module]:
        return super().gates_of(name) | self.gated.gates_of(name)

    def update_layer(self, adapter_name: str, config: NeutralResiduesConfig, hidden_size: int, depth: int) -> None:
        if config.embeddings == "residue":
            super().update_layer(adapter_name, config, hidden_size, depth)
            return
        weight: Any = self.base_layer.weight
        tokens, device, (vocabulary, width) = config.new_rows or [], weight.device, weight.shape
        if config.embeddings == "gated_rows":
            heads = [Rows(tokens, len(head.weight), head.weight.shape[1], device) for head in self._heads]
            rows = Rows(tokens, vocabulary, hidden_size, device)
            self.gated.hold(adapter_name, config.gate, self.places(), rows, *heads)
        else:
            self.neutral_residues_rows[adapter_name] = Rows(tokens, vocabulary, width, device)
            if self._hook is not None and not self._tied:
                self.neutral_residues_head_rows[adapter_name] = Rows(tokens, vocabulary, width, device)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        tokens = args[0] if args else kwargs["input"]
        embedded = self.base_layer(*args, **kwargs)
        if self.disable_adapters:
            return embedded
        self.gated.tokens = tokens
        # Embeddings have no norm before them, which the adapter's initialisation counts on.
        residue = self.residue(F.rms_norm(embedded, embedded.shape[-1:]))
        extended = embedded if residue is None else self._add(embedded, residue)
        for name, share in self.shares(self.neutral_residues_rows, tokens):
            rows: Any = self.neutral_residues_rows[name]
            # Gemma's embedding scales its rows; the head, tied to them, does not.
            scale = getattr(self.base_layer, "embed_scale", 1.0)
            extended = extended + (rows.embed(tokens) * scale * share).to(extended.dtype)
        return extended

    def shares(self, held: nn.ModuleDict, like: Tensor) -> list[tuple[str, Any]]:
        """Return the adapters among `held` that act, each with 1, or in a mixed batch (rows, 1, 1): 1 where the row is
        its.
        """
        if self.mixed is None:
            return [(name, 1) for name in self.active_adapters if name in held]
        return [(name, self.mixed.mask(name, like.device).view(-1, 1, 1)) for name in held]

    def require_mergeable(self, names: list[str]) -> list[str]:
        held = (self.neutral_residues_rows, self.neutral_residues_in, self.neutral_residues_gated_rows)
        if any(name in parts for name in names for parts in held):
            raise ModelError(
                "The adapter extends the embedding, and that part cannot be merged: keep it as an adapter, and serve "
                "it through transformers."
            )
        return []

    def _extend_logits(self, head: nn.Module, args: Any, logits: Tensor) -> Tensor:
        held = self.neutral_residues_rows if self._tied else self.neutral_residues_head_rows
        for name, share in [] if self.disable_adapters else self.shares(held, logits):
            rows: Any = held[name]
            logits = rows.add_to_logits(logits, args[0] * share)
        return self.gated.extend_logits(logits, args[0])

    def head_weight(self) -> Tensor:
        weight: Tensor = self._heads[0].weight
        return weight

    def detach_sink(self) -> None:
        super().detach_sink()
        self.gated.detach()
