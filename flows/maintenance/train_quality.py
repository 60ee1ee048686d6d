"""Train a quality classifier on two published corpora: texts like the one, against those of the other."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.steps.corpora import published_version
from pipelines.corpus.shards import shard_files
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

    version = workspace.corpus_version(corpus, published_version(corpus, workspace))
    for file in shard_files(version, "train", repeats=True):
        with pq.ParquetFile(file) as shard:
            for batch in shard.iter_batches(batch_size=512, columns=["text"]):
                yield from batch["text"].to_pylist()
