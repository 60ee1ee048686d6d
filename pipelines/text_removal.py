"""What leaves a corpus by its text: documents whose lines were seen before, and those that an evaluation set shares."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpus_report import CorpusFunnel
from pipelines.decontaminate import Contamination, NgramIndex
from pipelines.doc_no import among
from pipelines.evaluation_sets import EvaluationSet
from pipelines.line_dedup import LineRule
from pipelines.read_documents import DocumentFiles
from pipelines.settings import CorpusSettings

_CONTAMINATED = pa.schema(
    [
        ("doc_no", pa.uint64()),
        ("doc_id", pa.string()),
        ("url", pa.string()),
        ("evaluation_set", pa.string()),
        ("ngram", pa.string()),
    ]
)


def remove_by_text(
    folder: Path,
    kept: pa.Table,
    files: DocumentFiles,
    lines: LineRule | None,
    sets: Sequence[EvaluationSet],
    settings: CorpusSettings,
    funnel: CorpusFunnel,
) -> pa.Table:
    """The documents that line deduplication and decontamination leave; contaminated.parquet says who shares what."""
    ngrams = NgramIndex(sets, settings.decontamination_ngram) if sets else None
    left: list[int] = []
    shared: dict[int, Contamination] = {}
    if lines or ngrams:
        for document in files.rows(kept["doc_no"].to_numpy(), lines):
            left.append(document["doc_no"])
            if ngrams and (contamination := ngrams.find(document["text"])):
                shared[document["doc_no"]] = contamination
        remain = among(kept["doc_no"].to_numpy(), np.array(left, np.uint64))
        funnel.add_table("line_dedup", "seen_lines", kept.filter(~remain))
        kept = kept.filter(remain)
    contaminated = np.isin(kept["doc_no"].to_numpy(), np.array([*shared], np.uint64))
    table = kept.filter(contaminated)
    funnel.add_table("decontamination", "contaminated", table)
    rows = [
        {**row, "evaluation_set": shared[row["doc_no"]].evaluation_set, "ngram": shared[row["doc_no"]].ngram}
        for row in table.select(["doc_no", "doc_id", "url"]).to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(rows, _CONTAMINATED), folder / "contaminated.parquet", compression="zstd")
    return kept.filter(~contaminated)
