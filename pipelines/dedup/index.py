"""The deduplication index's segment of one corpus version: what a later version's new documents are compared with.

A segment is immutable and holds what its version brought: `texts` (the first document with each text, and the kept one
that it is like), `kept` (the kept documents and their signatures), a file of hashes for each band, and `lines` (line
hashes with the first document that has the line). The manifest of a version lists its segments.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.dedup.doc_no import among
from pipelines.dedup.minhash import DocNos, Signatures, band_hashes
from pipelines.settings import DedupSettings

_BATCH_ROWS = 1 << 16
_KEPT = pa.schema([("doc_no", pa.uint64()), ("doc_id", pa.string()), ("signature", pa.binary())])


class Segment:
    """Reads one segment in bounded memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def texts(self, hashes: npt.NDArray[np.uint64]) -> pa.Table:
        """Return rows of those of the 16-byte text hashes, of shape (documents, 2), that this segment has."""
        wanted = np.unique(hashes[:, 0])
        found = []
        with pq.ParquetFile(self._folder / "texts.parquet") as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                own = np.frombuffer(b"".join(batch["text_hash"].to_pylist()), dtype="<u8").reshape(-1, 2)
                found.append(batch.filter(pa.array(among(own[:, 0], wanted))))
            return pa.Table.from_batches(found, file.schema_arrow)

    def band(self, band: int) -> Iterator[tuple[DocNos, npt.NDArray[np.uint64]]]:
        with pq.ParquetFile(self._folder / f"band-{band:02d}.parquet") as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                yield batch["doc_no"].to_numpy(), batch["hash"].to_numpy()

    def signatures(self, wanted: DocNos) -> Iterator[tuple[DocNos, Signatures]]:
        with pq.ParquetFile(self._folder / "kept.parquet") as file:
            for batch in file.iter_batches(_BATCH_ROWS // 8, columns=["doc_no", "signature"]):
                found = batch.filter(pa.array(among(batch["doc_no"].to_numpy(), wanted)))
                if found.num_rows:
                    yield found["doc_no"].to_numpy(), signature_matrix(found["signature"].to_pylist())

    def ids(self, wanted: DocNos | None = None) -> pa.Table:
        """doc_no and doc_id of the wanted kept documents, or of all."""
        table = pq.read_table(self._folder / "kept.parquet", columns=["doc_no", "doc_id"])
        return table if wanted is None else table.filter(among(table["doc_no"].to_numpy(), wanted))

    def lines(self) -> npt.NDArray[np.uint64]:
        """Hashes of the lines, sorted."""
        path = self._folder / "lines.parquet"
        return pq.read_table(path, columns=["hash"])["hash"].to_numpy() if path.exists() else np.empty(0, np.uint64)


def write_segment(
    folder: Path,
    kept: pa.Table,
    texts: pa.Table,
    signatures: Callable[[DocNos], Iterator[tuple[DocNos, Signatures]]],
    lines: tuple[npt.NDArray[np.uint64], DocNos],
    settings: DedupSettings,
) -> None:
    """Write the segment of a version's new documents to the new `folder`."""
    folder.mkdir()
    pq.write_table(texts, folder / "texts.parquet", compression="zstd")
    doc_nos, done = kept["doc_no"].to_numpy(), 0
    hashes = np.empty((settings.bands, len(doc_nos)), dtype=np.uint64)
    ids = kept["doc_id"].combine_chunks()
    with pq.ParquetWriter(folder / "kept.parquet", _KEPT, compression="zstd") as writer:
        for batch, values in signatures(doc_nos):
            own = slice(done, done + len(batch))
            hashes[:, own] = band_hashes(values, settings).T
            rows = [pa.array(batch), ids[own], pa.array([row.tobytes() for row in values.astype("<u4")])]
            writer.write_batch(pa.record_batch(rows, schema=_KEPT))
            done = own.stop
    for band in range(settings.bands):
        order = np.argsort(hashes[band])
        table = pa.table({"doc_no": doc_nos[order], "hash": hashes[band][order]})
        pq.write_table(table, folder / f"band-{band:02d}.parquet", compression="zstd")
    if len(lines[0]):
        table = pa.table({"hash": lines[0], "doc_no": lines[1]})
        pq.write_table(table, folder / "lines.parquet", compression="zstd")


def signature_matrix(signatures: Sequence[bytes]) -> Signatures:
    """Stored signatures as an array of shape (documents, num_perm)."""
    return np.frombuffer(b"".join(signatures), dtype="<u4").reshape(len(signatures), -1)
