"""Corpora, and sides of them, that would hold no document: refused with a sentence that names what took them."""

from collections import Counter
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.settings import CorpusSettings
from pipelines.shards import shard_files
from pipelines.verdict import REMEDIES, Judged
from storage.errors import InputError


def why_empty(name: str, settings: CorpusSettings, judged: Judged) -> str:
    left = Counter(judged.unread)
    for row in judged.left:
        left[row["reason"]] += row["documents"]
    if not left:
        return f"corpus {name} is empty: its sources {settings.sources} hold no document; give other sources"
    [(reason, documents)] = left.most_common(1)
    remedy = REMEDIES.get(reason, "they gave no text; check what the sources hold")
    return (
        f"corpus {name} is empty: of {left.total()} documents, {documents} left with reason {reason}: "
        f"{remedy.format(name=name, language=settings.language)}"
    )


def sizes_of_sides(name: str, folder: Path, settings: CorpusSettings) -> tuple[dict[str, int], dict[str, int]]:
    """Documents and characters by side. Raises InputError where one has none."""
    documents, characters = {}, {}
    for side in ("train", "held_out"):
        columns = [pq.read_table(file, columns=["characters"])["characters"] for file in shard_files(folder, side)]
        documents[side] = sum(map(len, columns))
        characters[side] = sum(pc.sum(column).as_py() for column in columns)
    if not documents["train"]:
        raise InputError(
            f"corpus {name}: the train side would be empty, since every {settings.split_by} in it is held out since "
            "its first version or was taken down; add sources, or publish it under a new name"
        )
    if not documents["held_out"]:
        raise InputError(
            f"corpus {name}: the held-out side would be empty, since all its hosts were taken down; publish the "
            "corpus under a new name, which holds out others"
        )
    return documents, characters
