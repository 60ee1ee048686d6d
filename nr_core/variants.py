"""Which variants each method has, and which it takes where the user does not say. Plain data, imports nothing heavy.

Sources: the paper's ablations (Talla, Grave, Jégou, ICML 2025, https://arxiv.org/abs/2410.02744, sections 4 and 5);
`relative_l1`, `embeddings` and `max_forgetting` are this project's.
"""

from __future__ import annotations

# What a field asks for, as the sentence that refuses it where the method has nothing of the kind.
FIELDS = {
    "budget": "adds no parameters",
    "alpha": "has no local loss",
    "max_forgetting": "has no local loss",
    "local_loss": "has no local loss",
    "gate": "has no gate",
    "initialisation": "has its own initialisation",
    "placement": "has no adapters to place",
    "layers": "has no adapters to place",
    "rank": "has no matrices of a low rank",
    "freeze": "leaves the base frozen",
    "l2_to_base": "leaves the base frozen",
    "ema": "leaves the base frozen",
    "interpolate": "is not finetuning of a model of the base's shape",
    "embeddings": "leaves the embeddings frozen",
}

_ADAPTERS = frozenset({"budget", "initialisation", "placement", "layers", "embeddings"})
ALLOWED: dict[str, frozenset[str]] = {
    "finetune": frozenset({"embeddings", "layers", "freeze", "l2_to_base", "ema", "interpolate"}),
    "lora": frozenset({"budget", "rank", "layers", "embeddings"}),
    "dora": frozenset({"budget", "rank", "layers"}),
    "llama_pro": frozenset({"budget"}),
    "adapter": _ADAPTERS,
    "neutral_residues": _ADAPTERS | {"gate", "local_loss", "alpha", "max_forgetting"},
}

EMBEDDINGS = {
    "finetune": ("trained", "frozen"),
    "lora": ("frozen", "new_rows"),
    "adapter": ("frozen", "new_rows", "residue"),
    "neutral_residues": ("frozen", "new_rows", "residue"),
}


def defaults(method: str, gate: str | None) -> dict[str, str]:
    """Of the fields that a user left out. The local loss follows the gate: a sigmoid one is trained as a classifier."""
    gated = method == "neutral_residues"
    return {
        "gate": "relu" if gated else "none",
        "local_loss": ("cross_entropy" if gate == "sigmoid" else "l1") if gated else "none",
        "initialisation": "low_variance" if gated else "he",
        "placement": "ffn",
        "embeddings": "trained" if method == "finetune" else "frozen",
    }
