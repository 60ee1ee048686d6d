"""Train a quality classifier on two published corpora: texts like the one, against those of the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.denylist import refuse_taken_down
from pipelines.settings import QualityModelSettings
from storage.errors import InputError
from storage.workspace import Workspace


def train_quality(
    workspace: Workspace, good: str, random: str, settings: QualityModelSettings, out: Path
) -> dict[str, Any]:
    """Write the model to `out` and its card beside it; return the card. Raises InputError as train_quality_model."""
    from pipelines.text.quality_model import train_quality_model

    if good == random:
        raise InputError(f"corpus {good} is given twice: give two corpora, of good texts and of random pages")
    return train_quality_model(_texts(workspace, good), _texts(workspace, random), settings, out)


def _texts(workspace: Workspace, corpus: str) -> Iterator[str]:
    """Yield texts of the train side of a corpus's current version."""
    import pyarrow.parquet as pq

    pointer = workspace.corpus(corpus) / "CURRENT"
    if not pointer.exists():
        raise InputError(f"corpus {corpus} is not in workspace {workspace.root}: run `nr refresh CONFIG` first")
    version = pointer.read_text().strip()
    refuse_taken_down(corpus, version, workspace)
    for file in sorted(workspace.corpus_version(corpus, version).glob("train-*.parquet")):
        with pq.ParquetFile(file) as shard:
            for batch in shard.iter_batches(batch_size=512, columns=["text"]):
                yield from batch["text"].to_pylist()
