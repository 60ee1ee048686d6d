"""A small world that is made once: two invented languages, a tokenizer, their token streams and a base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nr_core.progress import Progress
from nr_core.specs import PretrainSpec
from nr_core.tokenization.tokenize_corpus import tokenize
from nr_core.tokenization.tokenizer import train_tokenizer
from nr_core.training.pretrain import pretrain
from tests.nr_core.tiny import invented_text, write_shard


@dataclass(frozen=True)
class World:
    root: Path
    tokenizer: Path
    base: Path
    new: Path
    old: Path
    held_out: Path

    def train_spec(self, out: Path, **changes: Any) -> dict[str, Any]:
        """A run of 12 steps; changes replace top-level entries, or update method and training."""
        spec: dict[str, Any] = {
            "out": str(out),
            "base": {"model": str(self.base)},
            "method": {"method": "neutral_residues", "alpha": 1.0, "learning_rate": 3e-3},
            "training": {"steps": 12, "batch_size": 10, "sequence_length": 16, "warmup_share": 0.2, "log_every": 1},
            "inputs": [
                {"role": "new", "language": "fra", "tokens": str(self.new), "share": 0.8},
                {"role": "original", "language": "eng", "tokens": str(self.old), "share": 0.2},
            ],
            "seed": 0,
        }
        for name, value in changes.items():
            spec[name] = {**spec[name], **value} if name == "training" else value
        return spec


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("world")
    shards = {name: write_shard(root / f"{name}.parquet", invented_text(name, 60)) for name in ("old", "new")}
    held_out = write_shard(root / "held_out.parquet", invented_text("new", 5, seed=1))
    train_tokenizer([[shards["old"]], [shards["new"]]], [0.8, 0.2], 300, root / "tokenizer")
    for name, shard in [*shards.items(), ("held_out", held_out)]:
        tokenize([shard], str(root / "tokenizer"), root / f"tokens-{name}")
    spec = {
        "out": root / "base",
        "tokenizer": root / "tokenizer",
        "settings": {
            "hidden_size": 16,
            "layers": 2,
            "heads": 2,
            "vocabulary_size": 300,
            "steps": 40,
            "batch_size": 8,
            "sequence_length": 32,
        },
        "inputs": [{"tokens": root / "tokens-old", "share": 0.95}, {"tokens": root / "tokens-new", "share": 0.05}],
    }
    (root / "base").mkdir()
    pretrain(PretrainSpec.model_validate(spec), Progress("pretrain", "base", "steps"))
    return World(root, root / "tokenizer", root / "base", *(root / f"tokens-{n}" for n in ("new", "old", "held_out")))


@pytest.fixture(scope="session")
def run(world: World) -> Callable[[dict[str, Any]], Path]:
    """Train by spec in this process; returns the run's folder."""
    from nr_core.specs import TrainSpec
    from nr_core.training.train import train

    def train_in_process(spec: dict[str, Any]) -> Path:
        parsed = TrainSpec.model_validate(spec)
        parsed.out.mkdir(parents=True, exist_ok=True)
        train(parsed, Progress("train", "run", "steps"))
        return parsed.out

    return train_in_process
