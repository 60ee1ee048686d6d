"""The one table of methods: a record holds all that is known of one. To add a method is to add its name to MethodName,
its record here, and the function that the record names (and to tell it in the comment of runs.method,
storage/schema.sql).

Sources: the paper's ablations (Talla, Grave, Jégou, ICML 2025, https://arxiv.org/abs/2410.02744, sections 4 and 5);
learning rates are its own, chosen there for the best trade-off (small models want more). llama_pro has none there; its
own authors' is 2e-4 (https://arxiv.org/abs/2401.02415, section 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

MethodName = Literal["finetune", "lora", "dora", "adapter", "neutral_residues", "llama_pro"]
Embeddings = Literal["trained", "frozen", "new_rows", "residue", "gated_rows"]


@dataclass(frozen=True)
class Watched:
    """Tensors of which each must get a gradient once training is under way, by parts of their parameters' names."""

    tensors: str
    zero_at_first: str | None = None  # of these; while it is zero, the others of its adapter have no gradient
    not_in_each_batch: tuple[str, ...] = ()  # rows of tokens, of which a batch may well hold none


@dataclass(frozen=True)
class Method:
    """The record of a method: all that is known of it.

    build: MODULE:FUNCTION; function(base, settings, backbone, new_rows) returns the model, of which only what is to be
    trained requires gradients. fields: of MethodSettings, those that not every method has. embeddings: the choices,
    the default first. defaults: of the other variants. watched: None where whole layers of the base are trained.
    """

    about: str
    build: str
    learning_rate: float
    fields: frozenset[str]
    watched: Watched | None
    embeddings: tuple[Embeddings, ...] = ("frozen",)
    defaults: Mapping[str, str] = field(default_factory=dict)
    is_gated: bool = False  # it has taps, and a local loss
    leaves_residues: bool = False  # that can be added to another run's
    trains_base: bool = False  # weights of the base's kind: the whole model is saved

    def builder(self) -> Callable[..., Any]:
        """Import what puts the method on a base, which takes torch's seconds."""
        module, _, name = self.build.partition(":")
        builder: Callable[..., Any] = getattr(import_module(module), name)
        return builder


RESIDUES = Watched(
    "neutral_residues_",
    "neutral_residues_out",
    ("neutral_residues_rows", "neutral_residues_head_rows", "neutral_residues_gated_"),
)
LOW_RANK = Watched("lora_", "lora_B")

METHODS: dict[MethodName, Method] = {
    "finetune": Method(
        about="all weights, some layers, or half of each",
        build="nr_core.methods.finetune:finetune",
        learning_rate=5e-5,
        fields=frozenset({"embeddings", "layers", "freeze", "l2_to_base", "ema", "interpolate"}),
        watched=None,
        embeddings=("trained", "frozen"),
        trains_base=True,
    ),
    "lora": Method(
        about="low-rank updates of all linear layers but the head",
        build="nr_core.methods.lora:add_lora",
        learning_rate=5e-5,
        fields=frozenset({"budget", "rank", "layers", "embeddings"}),
        watched=LOW_RANK,
        embeddings=("frozen", "new_rows"),
    ),
    "dora": Method(
        about="LoRA with magnitudes of their own",
        build="nr_core.methods.lora:add_dora",
        learning_rate=5e-5,
        fields=frozenset({"budget", "rank", "layers"}),
        watched=LOW_RANK,
    ),
    "adapter": Method(
        about="parallel, ungated",
        build="nr_core.methods.adapters:add_adapters",
        learning_rate=2e-4,
        fields=frozenset({"budget", "initialisation", "placement", "layers", "embeddings"}),
        watched=RESIDUES,
        embeddings=("frozen", "new_rows", "residue"),
        leaves_residues=True,
    ),
    "neutral_residues": Method(
        about="gated adapters, silent on the original language",
        build="nr_core.methods.adapters:add_adapters",
        learning_rate=2e-4,
        fields=frozenset({"budget", "initialisation", "placement", "layers", "embeddings"})
        | {"gate", "local_loss", "alpha", "max_forgetting", "distil_from"},
        watched=RESIDUES,
        embeddings=("frozen", "new_rows", "residue", "gated_rows"),
        defaults={"gate": "relu", "initialisation": "low_variance"},
        is_gated=True,
        leaves_residues=True,
    ),
    "llama_pro": Method(
        about="block expansion: copies of layers that start as the identity",
        build="nr_core.methods.block_expansion:expand_to_budget",
        learning_rate=2e-4,
        fields=frozenset({"budget"}),
        watched=None,
        trains_base=True,
    ),
}


def with_field(name: str) -> list[MethodName]:
    """List the methods that have a field of MethodSettings."""
    return [method for method, record in METHODS.items() if name in record.fields]


def variant(method: MethodName, name: str, gate: str | None) -> str:
    """Return what holds of a variant that the user left out. gate: the one that he chose, if any.

    The local loss follows the gate: a sigmoid one is trained as a classifier.
    """
    record = METHODS[method]
    if name == "embeddings":
        return record.embeddings[0]
    if name == "local_loss":
        return ("cross_entropy" if gate == "sigmoid" else "l1") if record.is_gated else "none"
    return {"gate": "none", "initialisation": "he", "placement": "ffn", **record.defaults}[name]
