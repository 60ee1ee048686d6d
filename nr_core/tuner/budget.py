"""Turns a budget into a width, and tells what was really spent.

A budget is new parameters / backbone parameters. An adapter of width h adds 3·d·h + d a layer (W_i, W_g, W_o, w).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from nr_core.base.language_model import language_model, text_config
from nr_core.base.precision import count

BUDGET = 0.2  # the paper's main results
GRAIN, SMALL_GRAIN, LARGE = 64, 4, 512  # widths are multiples of 64 from 512 on, for matrix kernels; else of 4


@dataclass(frozen=True)
class Backbone:
    """The sizes of a base that the accounting needs. Parameters are counted once where they are tied."""

    hidden_size: int
    layers: int
    total: int
    embeddings: int

    @property
    def non_embedding(self) -> int:
        return self.total - self.embeddings

    @classmethod
    def of(cls, model: nn.Module) -> Backbone:
        """Count the language model of a model of transformers, on any device (meta too): of a vision model, no tower.

        Embeddings: see `embedding_tables`.
        """
        config = text_config(model)
        head = model.get_output_embeddings()  # type: ignore[operator]
        parts = [language_model(model), *([] if head is None else [head])]
        counts = {id(p): count(p) for part in parts for p in part.parameters()}
        embeddings = {id(p): count(p) for table in embedding_tables(model) for p in table.parameters()}
        return cls(config.hidden_size, config.num_hidden_layers, sum(counts.values()), sum(embeddings.values()))

    def allowance(self, budget: float, budget_of: str) -> float:
        return budget * (self.total if budget_of == "total" else self.non_embedding)

    def adapter_width(self, budget: float, budget_of: str, gated: bool = True, layers: int | None = None) -> int:
        """Return the width h whose adapters come nearest to the budget, on the grain of its size; at least one grain.

        layers: how many layers get an adapter; None: all.
        """
        exact = self.exact_width(budget, budget_of, gated, layers)
        grain = GRAIN if exact >= LARGE else SMALL_GRAIN
        return max(grain, round(exact / grain) * grain)

    def exact_width(self, budget: float, budget_of: str, gated: bool = True, layers: int | None = None) -> float:
        gate = self.hidden_size if gated else 0
        return (self.allowance(budget, budget_of) / (layers or self.layers) - gate) / (3 * self.hidden_size)

    def adapter_parameters(self, width: int, gated: bool = True, layers: int | None = None) -> int:
        return (layers or self.layers) * (3 * self.hidden_size * width + (self.hidden_size if gated else 0))


def embedding_tables(model: nn.Module) -> list[nn.Module]:
    """Return what is looked up, of tokens (in the first layer or, as in Gemma 3n, in each) and positions, and the
    output head.

    What is left is what scaling laws count (Kaplan et al. 2020, https://arxiv.org/abs/2001.08361, section 1.3).
    """
    heads = [model.get_input_embeddings(), model.get_output_embeddings()]  # type: ignore[operator]
    looked_up = [module for module in language_model(model).modules() if isinstance(module, nn.Embedding)]
    return [*(head for head in heads if head is not None), *looked_up]
