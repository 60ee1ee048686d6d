"""Read documents, with their texts, back from the documents files of a corpus's units."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from pipelines.line_dedup import SeenLines
from pipelines.shards import SCHEMA

_BATCH_ROWS = 512


def read_documents(
    files: Mapping[str, Path],
    first_doc_nos: Mapping[str, int],
    wanted: npt.NDArray[np.uint64],
    seen_lines: SeenLines | None,
    text_steps: Callable[[str], str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Stream rows of the shards' schema for the `wanted` doc_nos, in doc_no order.

    `files` is in that order. With `seen_lines`, texts come without the lines seen before; a document that is left
    with too little does not come. `text_steps` is applied to what is left.
    """
    columns = [field.name for field in SCHEMA if field.name != "doc_no"]
    for unit_id, file in files.items():
        with pq.ParquetFile(file) as documents:
            for batch in documents.iter_batches(batch_size=_BATCH_ROWS, columns=["row", *columns]):
                doc_nos = batch["row"].to_numpy().astype(np.uint64) + np.uint64(first_doc_nos[unit_id])
                chosen = np.isin(doc_nos, wanted, assume_unique=True)
                for doc_no, row in zip(doc_nos[chosen].tolist(), batch.filter(chosen).to_pylist(), strict=True):
                    text = row["text"] if seen_lines is None else seen_lines.strip(row["text"], doc_no)
                    if text is not None:
                        text = text if text_steps is None else text_steps(text)
                        yield row | {"doc_no": doc_no, "text": text, "characters": len(text)}
