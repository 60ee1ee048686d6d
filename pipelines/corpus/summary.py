"""Summary of a published corpus version."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

ALL_UNITS = ""  # unit_id of the funnel's rows: a corpus is filtered as a whole
_LEFT = pa.schema([("doc_no", pa.uint64()), ("doc_id", pa.string()), ("stage", pa.string()), ("reason", pa.string())])


class CorpusChanges(BaseModel):
    """A version held against its parent, by doc_id. `duplicates`: of its new documents, those that were copies."""

    model_config = ConfigDict(frozen=True)
    documents_gained: int
    characters_gained: int
    documents_lost: int
    characters_lost: int
    duplicates: int


class CorpusReport(BaseModel):
    """A published version of a corpus. documents and characters count both splits, without repeats."""

    model_config = ConfigDict(frozen=True)
    version: str
    name: str
    language: str
    text_domain: str
    parent_version: str | None
    documents: int
    characters: int
    held_out_documents: int
    repeats: int  # documents of the train split that re-hydration added
    texts_changed: dict[str, int] = {}  # by text step (repair, pii): in how many documents it changed something
    funnel: list[dict[str, Any]]  # unit_id, language, stage, reason, documents, characters
    changes: CorpusChanges
    unit_ids: list[str]
    content_hash_held_out: str
    created: str
    reused: bool


class CorpusFunnel:
    """Count dropped documents by stage and reason. `before` are the rows of the version that it is incremental
    from."""

    def __init__(self, language: str, before: Sequence[dict[str, Any]] = ()) -> None:
        self._language = language
        self._counts: dict[tuple[str, str, str], list[int]] = {}
        self._left: list[pa.Table] = []
        for row in before:
            if row["stage"] != "corpus":
                self.add(row["stage"], row["reason"], row["documents"], row["characters"], row["language"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [
            {
                "unit_id": ALL_UNITS,
                "language": language,
                "stage": stage,
                "reason": reason,
                "documents": documents,
                "characters": characters,
            }
            for (stage, reason, language), (documents, characters) in self._counts.items()
        ]

    def add(self, stage: str, reason: str, documents: int, characters: int, language: str | None = None) -> None:
        """Count documents; `language` is theirs where it is not the corpus's."""
        if documents:
            counts = self._counts.setdefault((stage, reason, language or self._language), [0, 0])
            counts[0] += documents
            counts[1] += characters

    def add_table(self, stage: str, reason: str, documents: pa.Table) -> None:
        """Count the rows of a table with columns `doc_no`, `doc_id` and `characters`, and remember which they are."""
        self.add(stage, reason, documents.num_rows, pc.sum(documents["characters"]).as_py() or 0)
        why = [pa.array([name] * documents.num_rows, pa.string()) for name in (stage, reason)]
        self._left.append(pa.table([documents["doc_no"], documents["doc_id"], *why], schema=_LEFT))

    def write_left(self, path: Path) -> None:
        """Write which documents left after the filter, with stage and reason, in doc_no order."""
        left = pa.concat_tables([_LEFT.empty_table(), *self._left])
        pq.write_table(left.sort_by("doc_no"), path, compression="zstd")
