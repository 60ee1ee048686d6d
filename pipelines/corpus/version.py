"""One version of a corpus, written step by step: one that is incremental from another filters new units only."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.corpus.data_card import write_data_card
from pipelines.corpus.decontaminate import DecontaminationSet, remove_by_text
from pipelines.corpus.filter import NOTHING, filter_documents, left_before, sizes_of_splits, why_empty
from pipelines.corpus.lineage import CORPUS_STAGE_VERSION, SEGMENT, Inputs, Lineage
from pipelines.corpus.read_documents import DocumentFiles
from pipelines.corpus.rehydrate import write_clusters, write_repeats
from pipelines.corpus.shards import ShardWriter, content_hash, number_of, shard_files, take_over
from pipelines.corpus.split import HeldOutReference, copies_of_held_out, first_splits, later_splits
from pipelines.corpus.summary import CorpusFunnel
from pipelines.corpus.text_steps import TextSteps
from pipelines.dedup.deduplicate import Deduplicated, deduplicate
from pipelines.dedup.index import Segment, first_doc_nos, write_segment
from pipelines.dedup.lines import Hashes, LineRule, line_rule
from pipelines.dedup.minhash import RunJobs
from pipelines.dedup.signature import SignatureScheme
from pipelines.denylist import DenyList
from pipelines.settings import CorpusSettings
from pipelines.sources.work_units import documents_file, write_units
from storage.duckdb_connection import connect_quietly
from storage.errors import InputError
from storage.keys import file_sha256
from storage.publish import Manifest, read_manifest
from storage.workspace import Workspace

# What a version of a corpus gained and lost against its parent.


_GAINED = """
SELECT count(*), coalesce(sum(characters), 0)::BIGINT FROM read_parquet($own)
WHERE doc_id NOT IN (SELECT doc_id FROM read_parquet($other))
"""
_ALL = "SELECT count(*), coalesce(sum(characters), 0)::BIGINT FROM read_parquet($own)"


def changes_since(parent: Path | None, folder: Path, duplicates: int) -> dict[str, int]:
    """Return the documents, by doc_id, and characters that the version in `folder` has and its parent has not, and the
    reverse."""
    gained, lost = _gained(folder, parent), _gained(parent, folder) if parent else (0, 0)
    return {
        "documents_gained": gained[0],
        "characters_gained": gained[1],
        "documents_lost": lost[0],
        "characters_lost": lost[1],
        "duplicates": duplicates,
    }


def _gained(folder: Path, other: Path | None) -> tuple[int, int]:
    files = {"own": _shards(folder)} | ({"other": _shards(other)} if other else {})
    with connect_quietly() as connection:
        row = connection.execute(_GAINED if other else _ALL, files).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def _shards(folder: Path) -> list[str]:
    return [str(file) for split in ("train", "held_out") for file in shard_files(folder, split)]


def write_version(
    folder: Path,
    name: str,
    settings: CorpusSettings,
    lineage: Lineage,
    inputs: Inputs,
    scheme: SignatureScheme,
    sets: Sequence[DecontaminationSet],
    workspace: Workspace,
    run_jobs: RunJobs = map,
) -> Manifest:
    """Write a version into the empty `folder`; return its manifest. Raises InputError when a split would be empty."""
    version = _Version(folder, name, settings, lineage, inputs, scheme, workspace)
    found = version.deduplicate(version.filter(), run_jobs)
    remaining = remove_by_text(folder, found.kept, version.files, version.line_rule(), sets, settings, version.funnel)
    remaining = version.apply_deny_list(remaining)
    splits = version.divide(remaining, found.matches)
    version.take_over_shards()
    texts_changed, lines_seen = version.write_shards(found.kept, splits)
    version.write_segment(found, lines_seen)
    version.write_clusters()
    return version.describe(texts_changed, found.matches.num_rows)


class _Version:
    """A version on its way into `folder`: what it is made of, and in `funnel` what has left it so far.

    `before` is the manifest of the version that it is incremental from, whose documents are not filtered again;
    `files` are the documents of its other units.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        settings: CorpusSettings,
        lineage: Lineage,
        inputs: Inputs,
        scheme: SignatureScheme,
        workspace: Workspace,
    ) -> None:
        self.folder, self.name, self.settings = folder, name, settings
        self.lineage, self.inputs, self.scheme, self.workspace = lineage, inputs, scheme, workspace
        self.before = read_manifest(self._published(lineage.incremental_from)) if lineage.incremental_from else None
        self.segments: dict[str, str] = self.before["inputs"]["segments"] if self.before else {}
        self.index = [Segment(self._published(version) / "index") for version in self.segments]
        self.funnel = CorpusFunnel(settings.language, self.before["counts"]["funnel"] if self.before else [])
        self.deny_list = DenyList(inputs.denied)
        self._first_doc_nos = first_doc_nos(lineage.refreshes)
        known = self.before["inputs"]["refreshes"] if self.before else {}
        documents = workspace.documents(inputs.documents_key)
        self.files = DocumentFiles(
            {unit_id: documents_file(documents, unit_id) for unit_id in lineage.refreshes if unit_id not in known},
            self._first_doc_nos,
        )
        self._lines_before = [segment.lines() for segment in self.index]

    def line_rule(self) -> LineRule | None:
        """Return the rule of line deduplication, with the lines of earlier versions seen and none of this one's."""
        if self.settings.line_dedup == "none":
            return None
        return line_rule(self.settings.line_dedup, self.settings.min_characters, self._lines_before)

    def filter(self) -> pa.Table:
        """Return the new documents that the filter keeps."""
        files = list(self.files.files.values())
        settings, bad_words = self.settings, self.inputs.bad_words
        found = filter_documents(files, self._first_doc_nos, settings, self.folder, bad_words) if files else NOTHING
        for row in found.left:
            self.funnel.add("verdict", row["reason"], row["documents"], row["characters"], row["language"])
        if not found.kept.num_rows and not self.before:
            raise InputError(why_empty(self.name, self.settings, found))
        return found.kept

    def deduplicate(self, filtered: pa.Table, run_jobs: RunJobs) -> Deduplicated:
        found = deduplicate(filtered, self.files.signatures, self.index, self.settings.dedup, self.folder, run_jobs)
        self.funnel.add_table("exact_dedup", "exact_copy", found.exact_copies)
        self.funnel.add_table("minhash_dedup", "near_copy", found.near_copies)
        pq.write_table(found.matches, self.folder / "duplicates.parquet", compression="zstd")
        return found

    def apply_deny_list(self, documents: pa.Table) -> pa.Table:
        """Return the documents whose host was not taken down."""
        gone = self.deny_list.mask(documents)
        self.funnel.add_table("take_down", "forgotten_host", documents.filter(gone))
        return documents.filter(~gone)

    def divide(self, documents: pa.Table, matches: pa.Table) -> dict[int, str]:
        """Return the split of each document by doc_no; those that are in neither are in the funnel."""
        if self.lineage.reference is None:
            try:
                return first_splits(self.name, documents, self.settings)
            except InputError as error:
                raise InputError(f"{error}{left_before(self.name, self.settings, self.funnel.rows)}") from None
        reference = HeldOutReference(self._published(self.lineage.reference))
        copies = copies_of_held_out(
            documents,
            matches,
            reference,
            self.index,
            self.files.signatures,
            self.scheme,
            self.settings.dedup,
            self.folder,
        )
        return later_splits(documents, reference, copies, self.settings, self.funnel)

    def take_over_shards(self) -> None:
        """Take over the reference's held-out split and the train split that goes on, less what was taken down since."""
        if self.lineage.reference:
            goes = self.deny_list.mask if self.inputs.denied else None
            take_over(self._published(self.lineage.reference), self.folder, "held_out", goes)
        if self.before and self.lineage.incremental_from:
            news = set(self.inputs.denied) - set(self.before["inputs"]["denied"])
            goes = self.deny_list.mask if news else None
            lost = take_over(self._published(self.lineage.incremental_from), self.folder, "train", goes)
            self.funnel.add("take_down", "forgotten_host", *lost)

    def write_shards(self, kept: pa.Table, splits: dict[int, str]) -> tuple[Counter[str], tuple[Hashes, Hashes]]:
        """Write the new documents that are in a split. Returns how many texts each step changed, and the lines seen."""
        # The lines are gone through a second time, to the same end, rather than all texts held in memory or written
        # twice.
        lines, text_steps = self.line_rule(), TextSteps(self.settings)
        first = 1 + max((number_of(file) for file in shard_files(self.folder, "train")), default=-1)
        with ShardWriter(self.folder, "train", first) as train, ShardWriter(self.folder, "held_out") as held_out:
            for document in self.files.rows(kept["doc_no"].to_numpy(), lines, text_steps):
                if split := splits.get(document["doc_no"]):
                    (held_out if split == "held_out" else train).add(document)
        seen = lines.first_doc_nos() if lines else (np.empty(0, np.uint64), np.empty(0, np.uint64))
        changed = Counter(self.before["counts"]["texts_changed"] if self.before else {}) + text_steps.changed
        return changed, seen

    def write_segment(self, found: Deduplicated, lines: tuple[Hashes, Hashes]) -> None:
        """Write what a later version's documents are compared with. Without new documents there is none."""
        if self.files.files:
            index = self.folder / "index"
            write_segment(index, found.kept, found.texts, self.files.signatures, lines, self.settings.dedup)
            self.segments = self.segments | {self.lineage.version: file_sha256(self.folder / SEGMENT)}

    def write_clusters(self) -> None:
        earlier = [self._published(version) for version in self.segments if version != self.lineage.version]
        write_clusters(self.folder, [*earlier, self.folder])

    def describe(self, texts_changed: Counter[str], copies: int) -> Manifest:
        """Write re-hydration's repeats and the data card; return the manifest."""
        lineage, inputs = self.lineage, self.inputs
        counts = self._counts(texts_changed, copies)
        self.funnel.write_left(self.folder / "left.parquet")
        write_units(self.folder, inputs.units)
        write_data_card(self.folder, counts, self.settings, lineage, inputs, self.workspace)
        scheme = {"shingle": self.scheme.shingle, "num_perm": self.scheme.num_perm, "seed": self.scheme.seed}
        return Manifest(
            step="corpus",
            key=lineage.version,
            inputs={
                "stage_version": CORPUS_STAGE_VERSION,
                "documents_key": inputs.documents_key,
                "signatures": scheme,
                "refreshes": lineage.refreshes,
                "parent_version": lineage.parent,
                "continues": lineage.incremental_from,
                "yardstick": lineage.reference,
                "segments": self.segments,
                "denied": sorted(inputs.denied),
                "evaluation_sets": dict(inputs.evaluation_sets),
                "bad_words": inputs.bad_words_hash,
            },
            settings=self.settings.model_dump(mode="json"),
            counts=counts,
            linked_from=[
                self._published(version) for version in (lineage.incremental_from, lineage.reference) if version
            ],
        )

    def _counts(self, texts_changed: Counter[str], copies: int) -> dict[str, Any]:
        """Return the fields of CorpusReport, less those that publication adds."""
        repeats = write_repeats(self.folder) if self.settings.rehydrate else 0
        documents, characters = sizes_of_splits(self.name, self.folder, self.settings)
        self.funnel.add("corpus", "kept", sum(documents.values()), sum(characters.values()))
        parent = self._published(self.lineage.parent) if self.lineage.parent else None
        return {
            "version": self.lineage.version,
            "name": self.name,
            "language": self.settings.language,
            "text_domain": self.settings.text_domain,
            "parent_version": self.lineage.parent,
            "documents": sum(documents.values()),
            "characters": sum(characters.values()),
            "held_out_documents": documents["held_out"],
            "repeats": repeats,
            "texts_changed": texts_changed,
            "funnel": self.funnel.rows,
            "changes": changes_since(parent, self.folder, copies),
            "unit_ids": list(self.lineage.refreshes),
            "content_hash_held_out": content_hash(shard_files(self.folder, "held_out")),
        }

    def _published(self, version: str) -> Path:
        return self.workspace.corpus_version(self.name, version)
