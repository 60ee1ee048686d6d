"""The deduplication index's segment of one corpus version: what a later version's new documents are compared with.

A segment is immutable and holds what its version brought: `texts` (the first document with each text, and the kept one
that it is like), `kept` (the kept documents and their signatures), a file of hashes for each band, and `lines` (line
hashes with the first document that has the line). The manifest of a version lists its segments.

Documents are known by number, in the order in which duplicates are judged, so that what came first stays. doc_no
(UBIGINT) = refresh (12 bits) ‖ unit (20 bits) ‖ row (32 bits). A refresh is the version of the corpus in which the unit
came in; units of one refresh are numbered in the order of their paths when they came in.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.dedup.minhash import DocNos, Signatures, band_hashes
from pipelines.settings import DedupSettings
from pipelines.sources.work_units import WorkUnit
from storage.errors import InputError

MAX_REFRESHES, MAX_UNITS = 1 << 12, 1 << 20


def number_units(units: Sequence[WorkUnit], earlier: Mapping[str, int]) -> dict[str, int]:
    """Refresh of each unit, in doc_no order: units of an earlier version keep theirs and their order, even where the
    files have moved since; new ones share the next. A file that two sources name is one unit."""
    given = {unit.unit_id for unit in units}
    refresh = max(earlier.values(), default=-1) + 1
    numbered = {unit_id: number for unit_id, number in earlier.items() if unit_id in given}
    for unit in sorted(units, key=lambda unit: unit.path):
        numbered.setdefault(unit.unit_id, refresh)
    return numbered


def first_doc_nos(refreshes: Mapping[str, int]) -> dict[str, int]:
    """Return the number of row 0 of each unit. Raises InputError for more refreshes or units than numbers."""
    if max(refreshes.values(), default=0) >= MAX_REFRESHES or len(refreshes) >= MAX_UNITS:
        raise InputError(
            f"a corpus has at most {MAX_REFRESHES} refreshes of {MAX_UNITS} files: publish the next under a new name"
        )
    ordinals: dict[int, int] = {}
    numbers = {}
    for unit_id, refresh in refreshes.items():
        ordinal = ordinals.get(refresh, 0)
        ordinals[refresh] = ordinal + 1
        numbers[unit_id] = refresh << 52 | ordinal << 32
    return numbers


def among(values: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Tell which values are among the wanted, which are sorted: numpy's isin sorts them for every batch anew."""
    if not len(wanted):
        return np.zeros(len(values), dtype=bool)
    return wanted[np.minimum(np.searchsorted(wanted, values), len(wanted) - 1)] == values


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
        """Return doc_no and doc_id of the wanted kept documents, or of all."""
        table = pq.read_table(self._folder / "kept.parquet", columns=["doc_no", "doc_id"])
        return table if wanted is None else table.filter(among(table["doc_no"].to_numpy(), wanted))

    def lines(self) -> npt.NDArray[np.uint64]:
        """Return the hashes of the lines, sorted."""
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
    """Return stored signatures as an array of shape (documents, num_perm)."""
    return np.frombuffer(b"".join(signatures), dtype="<u4").reshape(len(signatures), -1)
