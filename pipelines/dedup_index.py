"""The deduplication index's segment of one corpus version: what a later version's new documents are compared with."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.deduplicate import signature_matrix
from pipelines.minhash_dedup import band_hashes
from pipelines.settings import DedupSettings


def write_segment(folder: Path, kept: pa.Table, lines: Mapping[int, int], settings: DedupSettings) -> None:
    """Write signatures, bands and line hashes (hash to first doc_no) of the kept documents to the new `folder`."""
    folder.mkdir()
    pq.write_table(kept.select(["doc_no", "signature"]), folder / "signatures.parquet", compression="zstd")
    hashes = band_hashes(signature_matrix(kept), settings)
    for band in range(settings.bands):
        table = pa.table({"doc_no": kept["doc_no"], "hash": hashes[:, band]})
        pq.write_table(table.sort_by("hash"), folder / f"band-{band:02d}.parquet", compression="zstd")
    if lines:
        table = pa.table({"hash": pa.array(lines.keys(), pa.uint64()), "doc_no": pa.array(lines.values(), pa.uint64())})
        pq.write_table(table, folder / "lines.parquet", compression="zstd")
