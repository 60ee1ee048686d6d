"""Read documents, with their texts or signatures, back from the documents files of a corpus's units."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpus.shards import SCHEMA
from pipelines.dedup.index import among, signature_matrix
from pipelines.dedup.lines import LineRule
from pipelines.dedup.minhash import DocNos, Signatures

_BATCH_ROWS = 512
_SIGNATURE_ROWS = 8192


class DocumentFiles:
    """The documents files of some units, in doc_no order, with the doc_no of each unit's row 0."""

    def __init__(self, files: Mapping[str, Path], first_doc_nos: Mapping[str, int]) -> None:
        self.files, self._first = files, first_doc_nos

    def signatures(self, wanted: DocNos) -> Iterator[tuple[DocNos, Signatures]]:
        """Stream doc_nos and signatures of the wanted documents, in order."""
        for doc_nos, batch in self._batches(wanted, ["signature"], _SIGNATURE_ROWS):
            yield doc_nos, signature_matrix(batch["signature"].to_pylist())

    def rows(
        self, wanted: DocNos, line_rule: LineRule | None, text_steps: Callable[[str], str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Stream rows of the shards' schema for the wanted documents, in order.

        With `line_rule`, texts come without the lines seen before; a document that is left with too little does not
        come. `text_steps` is applied to what is left.
        """
        columns = [field.name for field in SCHEMA if field.name != "doc_no"]
        for doc_nos, batch in self._batches(wanted, columns, _BATCH_ROWS):
            for doc_no, row in zip(doc_nos.tolist(), batch.to_pylist(), strict=True):
                text = row["text"] if line_rule is None else line_rule.strip(row["text"], doc_no)
                if text is not None:
                    text = text if text_steps is None else text_steps(text)
                    yield row | {"doc_no": doc_no, "text": text, "characters": len(text)}

    def _batches(self, wanted: DocNos, columns: list[str], rows: int) -> Iterator[tuple[DocNos, pa.RecordBatch]]:
        for unit_id, file in self.files.items():
            with pq.ParquetFile(file) as documents:  # of an earlier program, it may lack a column: from_pylist fills it
                for batch in documents.iter_batches(batch_size=rows, columns=["row", *columns]):
                    doc_nos = batch["row"].to_numpy().astype(np.uint64) + np.uint64(self._first[unit_id])
                    chosen = among(doc_nos, wanted)
                    if chosen.any():
                        yield doc_nos[chosen], batch.filter(pa.array(chosen))
