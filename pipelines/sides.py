"""Which documents of a corpus version are train, and which held out."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipelines.corpus_report import CorpusFunnel
from pipelines.settings import CorpusSettings
from pipelines.split import group_of, held_out_groups
from storage.errors import InputError


def first_sides(name: str, documents: pa.Table, settings: CorpusSettings) -> dict[int, str]:
    """Side (train | held_out) by doc_no, chosen anew. Raises InputError when a side would be left empty."""
    groups = _groups(documents.select(["url", "host", "doc_id"]).to_pylist(), settings)
    held_out = held_out_groups(name, groups, settings)
    sides = ["held_out" if group in held_out else "train" for group in groups]
    return dict(zip(documents["doc_no"].to_pylist(), sides, strict=True))


def later_sides(
    name: str,
    documents: pa.Table,
    yardstick: Sequence[Mapping[str, Any]],
    settings: CorpusSettings,
    funnel: CorpusFunnel,
) -> dict[int, str]:
    """The train side by doc_no, where the held-out side is the first version's documents, `yardstick`.

    New documents of the hosts, paths or pages held out there are on neither side, and counted in the funnel.
    Raises InputError when the train side would be empty.
    """
    held_out = set(_groups(yardstick, settings))
    ids = {row["doc_id"] for row in yardstick}
    rows = documents.select(["doc_id", "url", "host"]).to_pylist()
    in_group = [group in held_out for group in _groups(rows, settings)]
    in_yardstick = [row["doc_id"] in ids for row in rows]
    between = [group and not own for group, own in zip(in_group, in_yardstick, strict=True)]
    funnel.add_table("split", "held_out_group", documents.filter(between))
    train = documents.filter([not (group or own) for group, own in zip(in_group, in_yardstick, strict=True)])
    if not train.num_rows:
        raise InputError(
            f"corpus {name}: the train side would be empty, since every {settings.split_by} in it is held out since "
            "its first version; add sources, or publish it under a new name"
        )
    return dict.fromkeys(train["doc_no"].to_pylist(), "train")


def _groups(rows: Sequence[Mapping[str, Any]], settings: CorpusSettings) -> list[str]:
    return [group_of(settings.split_by, row["url"], row["host"], row["doc_id"]) for row in rows]
