"""From documents to a published version of a corpus: verdict, deduplication, split, shards."""

import errno
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from pipelines.corpus_report import CorpusFunnel, CorpusReport
from pipelines.dedup_index import write_segment
from pipelines.deduplicate import deduplicate
from pipelines.doc_no import first_doc_nos
from pipelines.documents import documents_key
from pipelines.line_dedup import SeenLines
from pipelines.lineage import CORPUS_STAGE_VERSION, Lineage, find_lineage
from pipelines.read_documents import read_documents
from pipelines.settings import CorpusSettings, DocumentSettings
from pipelines.shards import ShardWriter
from pipelines.sides import first_sides, later_sides
from pipelines.text_steps import TextSteps
from pipelines.unit_report import documents_file, is_unit_done, read_report
from pipelines.verdict import REMEDIES, Judged, judge
from pipelines.work_units import WorkUnit
from storage.atomic import write_atomically
from storage.errors import InputError
from storage.publish import is_done, publishing, read_manifest, write_manifest
from storage.workspace import Workspace

__all__ = ["CORPUS_STAGE_VERSION", "CorpusReport", "build_corpus"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def build_corpus(
    name: str,
    settings: CorpusSettings,
    units: Sequence[WorkUnit],
    documents: DocumentSettings,
    workspace: Workspace,
) -> CorpusReport:
    """Publish the version of corpus `name` that these inputs give, and point CURRENT at it.

    A version that stands is returned at once. Units that have not been read (their report is not `done`) stay out,
    and count as later when they come in. The caller holds a lock on the corpus.
    Raises InputError when the corpus or one of its sides would be empty: it names the filter that took most; and when
    the disk is full.
    """
    _check(name, settings, units, documents)
    key = documents_key(documents)
    folder = workspace.documents(key)
    reports = [read_report(folder, unit.unit_id) for unit in units]
    read = [unit for unit, report in zip(units, reports, strict=True) if is_unit_done(folder, report)]
    if not read:
        errors = [report.error for report in reports if report is not None and report.error]
        why = f"; the first: {errors[0]}" if errors else "; read them with process_units first"
        raise InputError(f"corpus {name}: none of its {len(units)} files has been read{why}")
    lineage = find_lineage(name, settings, read, key, workspace)
    target = workspace.corpus_version(name, lineage.version)
    reused = is_done(target)
    if not reused:
        try:
            with publishing(target) as partial:
                _write_version(partial, name, settings, lineage, key, workspace)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise InputError(f"no space is left for {target}: free some, then run the same command again") from None
    write_atomically(workspace.corpus(name) / "CURRENT", lineage.version)
    manifest = read_manifest(target)
    assert manifest is not None
    return CorpusReport(**manifest["counts"], created=manifest["created"], reused=reused)


def _check(name: str, settings: CorpusSettings, units: Sequence[WorkUnit], documents: DocumentSettings) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(f"corpus name '{name}': use lower-case letters, digits, - and _ only")
    if without := set(settings.sources) - {unit.source for unit in units}:
        raise InputError(f"corpus {name}: its sources {sorted(without)} have no file; check corpora.{name}.sources")
    needed = settings.dedup.bands * settings.dedup.rows
    if needed > documents.num_perm:
        raise InputError(
            f"corpora.{name}.dedup: bands x rows = {needed} needs signatures of that length; "
            f"set documents.num_perm (now {documents.num_perm}) to {needed} or more"
        )


def _write_version(
    folder: Path, name: str, settings: CorpusSettings, lineage: Lineage, key: str, workspace: Workspace
) -> None:
    numbers = first_doc_nos(lineage.refreshes)
    files = {unit_id: documents_file(workspace.documents(key), unit_id) for unit_id in numbers}
    funnel = CorpusFunnel(settings.language)

    judged = judge(list(files.values()), numbers, settings, spill=folder)
    for row in judged.left:
        funnel.add("verdict", row["reason"], row["documents"], row["characters"], row["language"])
    if not judged.kept.num_rows:
        raise InputError(_why_empty(name, settings, judged))

    found = deduplicate(judged.kept, settings.dedup)
    funnel.add_table("exact_dedup", "exact_copy", found.exact_copies)
    funnel.add_table("minhash_dedup", "near_copy", found.near_copies)
    pq.write_table(found.matches, folder / "duplicates.parquet", compression="zstd")
    kept = found.kept

    if settings.line_dedup:
        lines = SeenLines(settings.min_characters)
        stripped = read_documents(files, numbers, kept["doc_no"].to_numpy(), lines)
        remaining = np.isin(kept["doc_no"].to_numpy(), [document["doc_no"] for document in stripped])
        funnel.add_table("line_dedup", "seen_lines", kept.filter(~remaining))
        kept = kept.filter(remaining)  # never empty: nothing was seen before the first document

    yardstick = (
        _held_out(workspace.corpus_version(name, lineage.parent)) if lineage.parent and lineage.yardstick else []
    )
    sides = later_sides(name, kept, yardstick, settings, funnel) if yardstick else first_sides(name, kept, settings)

    # The lines are gone through a second time, to the same end, rather than all texts held in memory or written twice.
    seen = SeenLines(settings.min_characters) if settings.line_dedup else None
    text_steps = TextSteps(settings)
    with ShardWriter(folder, "train") as train, ShardWriter(folder, "held_out") as held_out:
        for document in yardstick:
            held_out.add(document)
        for document in read_documents(files, numbers, kept["doc_no"].to_numpy(), seen, text_steps):
            side = sides.get(document["doc_no"])
            if side is not None:
                (held_out if side == "held_out" else train).add(document)
    write_segment(folder / "index", kept, seen.first_doc_no if seen else {}, settings.dedup)

    documents, characters = train.documents + held_out.documents, train.characters + held_out.characters
    funnel.add("corpus", "kept", documents, characters)
    write_manifest(
        folder,
        step="corpus",
        key=lineage.version,
        inputs={
            "stage_version": CORPUS_STAGE_VERSION,
            "documents_key": key,
            "refreshes": lineage.refreshes,
            "parent_version": lineage.parent,
            "yardstick": lineage.yardstick,
        },
        settings=settings.model_dump(),
        counts={
            "version": lineage.version,
            "name": name,
            "language": settings.language,
            "text_domain": settings.text_domain,
            "parent_version": lineage.parent,
            "documents": documents,
            "characters": characters,
            "held_out_documents": held_out.documents,
            "texts_changed": text_steps.changed,
            "funnel": funnel.rows,
            "unit_ids": list(lineage.refreshes),
            "content_hash_held_out": held_out.content_hash,
        },
    )


def _why_empty(name: str, settings: CorpusSettings, judged: Judged) -> str:
    left = Counter(judged.unread)
    for row in judged.left:
        left[row["reason"]] += row["documents"]
    if not left:
        return f"corpus {name} is empty: its sources {settings.sources} hold no document; give other sources"
    [(reason, documents)] = left.most_common(1)
    remedy = REMEDIES.get(reason, "they gave no text; check what the sources hold")
    return (
        f"corpus {name} is empty: of {left.total()} documents, {documents} left with reason {reason}: "
        f"{remedy.format(name=name, language=settings.language)}"
    )


def _held_out(version: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(version.glob("held_out-*.parquet")) for row in pq.read_table(file).to_pylist()]
