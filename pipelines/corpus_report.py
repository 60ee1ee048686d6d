"""What a published version of a corpus says of itself."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict

ALL_UNITS = ""  # unit_id of the funnel's rows: a corpus is judged as a whole


class CorpusReport(BaseModel):
    """A published version of a corpus. documents and characters count both sides."""

    model_config = ConfigDict(frozen=True)
    version: str
    name: str
    language: str
    text_domain: str
    parent_version: str | None
    documents: int
    characters: int
    held_out_documents: int
    texts_changed: dict[str, int] = {}  # by text step (repair, pii): in how many documents it changed something
    funnel: list[dict[str, Any]]  # unit_id, language, stage, reason, documents, characters
    unit_ids: list[str]
    content_hash_held_out: str
    created: str
    reused: bool


class CorpusFunnel:
    """How many documents left at which stage and why, so far."""

    def __init__(self, language: str) -> None:
        self._language = language
        self.rows: list[dict[str, Any]] = []

    def add(self, stage: str, reason: str, documents: int, characters: int, language: str | None = None) -> None:
        """Count documents; `language` is theirs where it is not the corpus's."""
        if documents:
            self.rows.append(
                {
                    "unit_id": ALL_UNITS,
                    "language": language or self._language,
                    "stage": stage,
                    "reason": reason,
                    "documents": documents,
                    "characters": characters,
                }
            )

    def add_table(self, stage: str, reason: str, documents: pa.Table) -> None:
        """Count the rows of a table with a column `characters`."""
        self.add(stage, reason, documents.num_rows, pc.sum(documents["characters"]).as_py() or 0)
