"""Tiny models, texts and specs that the tests of the method share."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from transformers import AutoConfig, AutoModelForCausalLM

# Every name that some architecture gives the same few sizes; each config takes those it knows.
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 48,
    "vocab_size": 64,
    "max_position_embeddings": 64,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 64,
    "ffn_dim": 48,
    "word_embed_proj_dim": 32,
    "d_model": 32,
    "n_layers": 2,
    "n_heads": 2,
    "max_seq_len": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def tiny_model(architecture: str, seed: int = 0, **overrides: Any) -> Any:
    """A random model of a few thousand parameters, in evaluation mode."""
    kind = type(AutoConfig.for_model(architecture))
    known = kind().to_dict()
    torch.manual_seed(seed)
    config = kind(**{name: size for name, size in {**SIZES, **overrides}.items() if name in known})
    return AutoModelForCausalLM.from_config(config).eval()


def assert_same(result: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal but for rounding: equal weights at other addresses may be summed in another order by the processor."""
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def write_shard(path: Path, texts: list[str]) -> Path:
    pq.write_table(pa.table({"text": texts}), path)
    return path


def invented_text(language: str, documents: int, seed: int = 0) -> list[str]:
    """Documents of 60 to 120 words of an invented language, whose words follow each other with some regularity."""
    syllables = {"old": ["ba", "ke", "mi", "so", "tu", "ran"], "new": ["çé", "lœ", "vû", "gni", "oui", "xè"]}[language]
    pick = random.Random(f"{language}{seed}")
    words = ["".join(pick.choices(syllables, k=pick.randint(1, 3))) for _ in range(40)]
    texts = []
    for _ in range(documents):
        position, text = pick.randrange(40), []
        for _ in range(pick.randint(60, 120)):
            text.append(words[position])
            position = (position * 3 + pick.choice((1, 2))) % 40
        texts.append(" ".join(text) + ".")
    return texts
