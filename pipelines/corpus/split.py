"""Splits the documents of a corpus version into train and held out."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from pipelines.corpus.shards import read_shards, shard_files
from pipelines.corpus.summary import CorpusFunnel
from pipelines.dedup.compared_text import hashes_of
from pipelines.dedup.index import Segment, among
from pipelines.dedup.minhash import DocNos, Signatures, band_hashes, greedy_leaders
from pipelines.dedup.signature import SignatureScheme
from pipelines.settings import CorpusSettings, DedupSettings
from pipelines.text.languages import CODE_OF_LABEL, NAME_OF_CODE
from storage.errors import InputError

# Train and held-out split: whole hosts, url paths or documents, chosen by their hash alone.
#
# By hash, so that two corpora with the same url paths, a help page in two languages, hold out the same ones.


# A group with more of the documents than this is never held out: it would be the corpus.
MAX_GROUP_SHARE = 0.5
_FIRST_SEGMENT = re.compile(r"/([A-Za-z]{2,3})(?:[-_][A-Za-z]{2,4})?(?=/)")


def group_of(split_by: str, url: str, host: str, doc_id: str) -> str:
    """Return what is held out or not as a whole with this document. Never empty."""
    if split_by == "host":
        return host or url or doc_id
    if split_by == "url_path":
        return _path_without_language(url) or url or doc_id
    return url or doc_id  # captures of one page, or parts of one novel, stay together


def _path_without_language(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    path = parts.path or "/"
    first = _FIRST_SEGMENT.match(path)
    if first and (first[1].lower() in CODE_OF_LABEL or first[1].lower() in NAME_OF_CODE):
        path = path[first.end() :]
    return f"{path}?{parts.query}" if parts.query else path


def held_out_groups(name: str, groups: Sequence[str], settings: CorpusSettings) -> set[str]:
    """Return the groups to hold out, given the group of each document: those whose hash is in the lowest share.

    In the order of their hashes more are taken until there are enough documents.

    A group with more of the documents than the share asked is held out only where without such there are not enough,
    one of twice the share only where those are not enough either, and so on: what a large host brings later would be
    in neither split.

    Raises InputError when either split would be left with too little.
    """
    sizes = Counter(groups)
    limits = [max(1.0, settings.held_out_share * len(groups))]
    while limits[-1] < MAX_GROUP_SHARE * len(groups):
        limits.append(min(2 * limits[-1], MAX_GROUP_SHARE * len(groups)))
    chosen, documents = set[str](), 0
    for up_to in (limits, [limits[0], limits[-1]]):  # of few groups, all the smaller ones may be the corpus
        chosen = _lowest(sizes, up_to, settings)
        documents = sum(sizes[group] for group in chosen)
        if documents < len(groups):
            break
    field = f"corpora.{name}.held_out_min_documents ({settings.held_out_min_documents})"
    if groups and documents == len(groups):
        raise InputError(
            f"corpus {name}: the train split would be empty, since all {documents} documents are held out; "
            f"add sources, or lower {field}"
        )
    if documents < settings.held_out_min_documents:
        or_lower = f", or lower {field}" if documents else ""
        raise InputError(
            f"corpus {name}: the held-out split would have {documents} of {len(groups)} documents, since nearly all "
            f"are of one {settings.split_by}; set corpora.{name}.split_by to document{or_lower}"
        )
    return chosen


def _lowest(sizes: Mapping[str, int], limits: Sequence[float], settings: CorpusSettings) -> set[str]:
    """Return the groups whose hash is in the lowest share, of those within the first limit; and more, within each of
    the limits, until there are enough documents.
    """
    hashes = {group: xxhash.xxh3_64_intdigest(group.encode(errors="replace")) for group in sizes}
    in_order = sorted(sizes, key=lambda group: (hashes[group], group))
    chosen: set[str] = set()
    documents = 0
    for number, largest in enumerate(limits):
        share = 0.0 if number else settings.held_out_share
        for group in in_order:
            if documents >= settings.held_out_min_documents and hashes[group] >= share * 2**64:
                break
            if group not in chosen and sizes[group] <= largest:
                chosen.add(group)
                documents += sizes[group]
    return chosen


class HeldOutReference:
    """The held-out split of an earlier version, which later ones repeat."""

    def __init__(self, version: Path) -> None:
        self.files = shard_files(version, "held_out")
        columns = ["doc_id", "url", "host"]
        self.rows = [row for file in self.files for row in pq.read_table(file, columns=columns).to_pylist()]
        self.ids = {row["doc_id"] for row in self.rows}


def first_splits(name: str, documents: pa.Table, settings: CorpusSettings) -> dict[int, str]:
    """Return the split (train | held_out) by doc_no, chosen anew. Raises InputError when one would be left empty."""
    groups = _groups(documents.select(["url", "host", "doc_id"]).to_pylist(), settings)
    held_out = held_out_groups(name, groups, settings)
    splits = ["held_out" if group in held_out else "train" for group in groups]
    return dict(zip(documents["doc_no"].to_pylist(), splits, strict=True))


def later_splits(
    documents: pa.Table,
    reference: HeldOutReference,
    copies: npt.NDArray[np.bool_],
    settings: CorpusSettings,
    funnel: CorpusFunnel,
) -> dict[int, str]:
    """Return the train split by doc_no, where the held-out split is the first version's documents, `reference`.

    New documents of the hosts, paths or pages held out there, and `copies` of documents there, are in neither split,
    and counted in the funnel.
    """
    held_out = set(_groups(reference.rows, settings))
    rows = documents.select(["doc_id", "url", "host"]).to_pylist()
    in_reference = np.array([row["doc_id"] in reference.ids for row in rows], dtype=bool)
    in_group = np.array([group in held_out for group in _groups(rows, settings)], dtype=bool)
    funnel.add_table("split", "held_out_group", documents.filter(in_group & ~in_reference))
    funnel.add_table("split", "held_out_copy", documents.filter(copies & ~in_group & ~in_reference))
    train = documents.filter(~(in_group | in_reference | copies))
    return dict.fromkeys(train["doc_no"].to_pylist(), "train")


def copies_of_held_out(
    kept: pa.Table,
    matches: pa.Table,
    reference: HeldOutReference,
    index: Sequence[Segment],
    signatures: Callable[[DocNos], Iterator[tuple[DocNos, Signatures]]],
    scheme: SignatureScheme,
    settings: DedupSettings,
    scratch: Path,
) -> npt.NDArray[np.bool_]:
    """Tell which kept documents are copies of held-out ones that deduplication did not hold them against.

    A held-out document of the first version may be judged another way by now: it went itself as a copy of a kept one,
    or it is in no unit any more, and only its published text is left to compare with.
    """
    ids = pa.array(sorted(reference.ids), pa.string())
    leaders = matches.filter(pc.is_in(matches["doc_id"], ids))["kept_doc_no"].to_numpy()
    copies: npt.NDArray[np.bool_] = np.isin(kept["doc_no"].to_numpy(), leaders)
    known: set[str] = set()
    for table in [kept, *(segment.ids() for segment in index)]:
        known.update(table["doc_id"].filter(pc.is_in(table["doc_id"], ids)).to_pylist())
    if foreign := reference.ids - known:
        rows = (row for row in read_shards(reference.files) if row["doc_id"] in foreign)
        held_out = _HeldOut(np.array([scheme.of(hashes_of(row, scheme.shingle)[1]) for row in rows]), settings)
        doc_nos = kept["doc_no"].to_numpy()
        copies |= greedy_leaders(doc_nos, signatures, [held_out], settings, scratch).leader != doc_nos
    return copies


class _HeldOut:
    """Held-out documents in the place of a segment of the index, under numbers that no document has."""

    def __init__(self, signatures: Signatures, settings: DedupSettings) -> None:
        self._signatures = signatures
        self._hashes = band_hashes(signatures, settings)
        self._doc_nos = np.uint64(2**64 - 1) - np.arange(len(signatures), dtype=np.uint64)[::-1]

    def band(self, band: int) -> Iterator[tuple[DocNos, npt.NDArray[np.uint64]]]:
        yield self._doc_nos, self._hashes[:, band]

    def signatures(self, wanted: DocNos) -> Iterator[tuple[DocNos, Signatures]]:
        found = among(self._doc_nos, wanted)
        yield self._doc_nos[found], self._signatures[found]


def _groups(rows: Sequence[Mapping[str, Any]], settings: CorpusSettings) -> list[str]:
    return [group_of(settings.split_by, row["url"], row["host"], row["doc_id"]) for row in rows]
