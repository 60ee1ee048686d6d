"""One version of a corpus, written step by step: a version that continues another judges new units only."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.accumulate import write_units
from pipelines.corpus_report import CorpusFunnel
from pipelines.data_card import write_data_card
from pipelines.decontaminate import Contamination, NgramIndex
from pipelines.dedup_index import Segment, write_segment
from pipelines.deduplicate import deduplicate
from pipelines.doc_no import among, first_doc_nos
from pipelines.evaluation_sets import EvaluationSet
from pipelines.line_dedup import LineRule, line_rule
from pipelines.lineage import CORPUS_STAGE_VERSION, SEGMENT, Inputs, Lineage
from pipelines.minhash_dedup import DocNos, RunJobs
from pipelines.read_documents import DocumentFiles
from pipelines.rehydrate import write_clusters, write_repeats
from pipelines.settings import CorpusSettings
from pipelines.shards import ShardWriter, content_hash, number_of, shard_files, take_over
from pipelines.sides import Yardstick, copies_of_held_out, first_sides, later_sides
from pipelines.signature import SignatureScheme
from pipelines.take_down import TakenDown
from pipelines.text_steps import TextSteps
from pipelines.unit_report import documents_file
from pipelines.verdict import REMEDIES, Judged, judge
from pipelines.version_changes import changes_since
from storage.errors import InputError
from storage.keys import file_sha256
from storage.publish import read_manifest, write_manifest
from storage.workspace import Workspace

# What the verdict leaves where no unit is new: only hosts were taken down.
NOTHING = Judged(
    pa.schema(
        [
            ("doc_no", pa.uint64()),
            *((name, pa.string()) for name in ("doc_id", "url", "host")),
            ("characters", pa.int64()),
            ("text_hash", pa.binary()),
        ]
    ).empty_table(),
    [],
    {},
)
_CONTAMINATED = pa.schema(
    [
        ("doc_no", pa.uint64()),
        ("doc_id", pa.string()),
        ("url", pa.string()),
        ("evaluation_set", pa.string()),
        ("ngram", pa.string()),
    ]
)


def write_version(
    folder: Path,
    name: str,
    settings: CorpusSettings,
    lineage: Lineage,
    inputs: Inputs,
    scheme: SignatureScheme,
    sets: Sequence[EvaluationSet],
    workspace: Workspace,
    run_jobs: RunJobs = map,
) -> None:
    """Write a version into the empty `folder`, its manifest last. Raises InputError when a side would be empty."""
    before = _manifest(name, lineage.continues, workspace)
    segments: dict[str, str] = before["inputs"]["segments"] if before else {}
    index = [Segment(workspace.corpus_version(name, version) / "index") for version in segments]
    funnel = CorpusFunnel(settings.language, before["counts"]["funnel"] if before else [])
    numbers = first_doc_nos(lineage.refreshes)
    known = before["inputs"]["refreshes"] if before else {}
    new = [unit_id for unit_id in lineage.refreshes if unit_id not in known]
    files = DocumentFiles(
        {unit_id: documents_file(workspace.documents(inputs.documents_key), unit_id) for unit_id in new}, numbers
    )

    judged = judge(list(files.files.values()), numbers, settings, folder, inputs.bad_words) if new else NOTHING
    for row in judged.left:
        funnel.add("verdict", row["reason"], row["documents"], row["characters"], row["language"])
    if not judged.kept.num_rows and not before:
        raise InputError(_why_empty(name, settings, judged))

    found = deduplicate(judged.kept, files.signatures, index, settings.dedup, folder, run_jobs)
    funnel.add_table("exact_dedup", "exact_copy", found.exact_copies)
    funnel.add_table("minhash_dedup", "near_copy", found.near_copies)
    pq.write_table(found.matches, folder / "duplicates.parquet", compression="zstd")

    earlier_lines = [segment.lines() for segment in index]
    kept = _settle(folder, found.kept, files, _line_rule(settings, earlier_lines), sets, settings, funnel)
    taken_down = TakenDown(inputs.denied)
    gone = taken_down.mask(kept)
    funnel.add_table("take_down", "forgotten_host", kept.filter(gone))
    kept = kept.filter(~gone)

    if lineage.yardstick is None:
        sides = first_sides(name, kept, settings)
    else:
        yardstick = Yardstick(workspace.corpus_version(name, lineage.yardstick))
        copies = copies_of_held_out(
            kept, found.matches, yardstick, index, files.signatures, scheme, settings.dedup, folder
        )
        sides = later_sides(kept, yardstick, copies, settings, funnel)
        take_over(
            workspace.corpus_version(name, lineage.yardstick),
            folder,
            "held_out",
            taken_down.mask if inputs.denied else None,
        )
    if before and lineage.continues:
        parent = workspace.corpus_version(name, lineage.continues)
        news = set(inputs.denied) - set(before["inputs"]["denied"])
        lost = take_over(parent, folder, "train", taken_down.mask if news else None)
        funnel.add("take_down", "forgotten_host", *lost)

    # The lines are gone through a second time, to the same end, rather than all texts held in memory or written twice.
    lines, text_steps = _line_rule(settings, earlier_lines), TextSteps(settings)
    first = 1 + max((number_of(file) for file in shard_files(folder, "train")), default=-1)
    with ShardWriter(folder, "train", first) as train, ShardWriter(folder, "held_out") as held_out:
        for document in files.rows(found.kept["doc_no"].to_numpy(), lines, text_steps):
            if side := sides.get(document["doc_no"]):
                (held_out if side == "held_out" else train).add(document)
    seen = lines.first_doc_nos() if lines else (np.empty(0, np.uint64), np.empty(0, np.uint64))
    if new:
        write_segment(folder / "index", found.kept, found.texts, files.signatures, seen, settings.dedup)

    write_clusters(folder, [*(workspace.corpus_version(name, version) for version in segments), folder])
    repeats = write_repeats(folder) if settings.rehydrate else 0
    if new:
        segments = segments | {lineage.version: file_sha256(folder / SEGMENT)}
    documents, characters = _measure(name, folder, settings)
    funnel.add("corpus", "kept", sum(documents.values()), sum(characters.values()))
    funnel.write_left(folder / "left.parquet")
    write_units(folder, inputs.units)
    counts = {
        "version": lineage.version,
        "name": name,
        "language": settings.language,
        "text_domain": settings.text_domain,
        "parent_version": lineage.parent,
        "documents": sum(documents.values()),
        "characters": sum(characters.values()),
        "held_out_documents": documents["held_out"],
        "repeats": repeats,
        "texts_changed": Counter(before["counts"]["texts_changed"] if before else {}) + text_steps.changed,
        "funnel": funnel.rows,
        "changes": changes_since(
            workspace.corpus_version(name, lineage.parent) if lineage.parent else None, folder, found.matches.num_rows
        ),
        "unit_ids": list(lineage.refreshes),
        "content_hash_held_out": content_hash(shard_files(folder, "held_out")),
    }
    write_data_card(folder, counts, settings, lineage, inputs, workspace)
    write_manifest(
        folder,
        step="corpus",
        key=lineage.version,
        inputs={
            "stage_version": CORPUS_STAGE_VERSION,
            "documents_key": inputs.documents_key,
            "signatures": {"shingle": scheme.shingle, "num_perm": scheme.num_perm, "seed": scheme.seed},
            "refreshes": lineage.refreshes,
            "parent_version": lineage.parent,
            "continues": lineage.continues,
            "yardstick": lineage.yardstick,
            "segments": segments,
            "denied": sorted(inputs.denied),
            "evaluation_sets": dict(inputs.evaluation_sets),
            "bad_words": inputs.bad_words_hash,
        },
        settings=settings.model_dump(mode="json"),
        counts=counts,
        linked_from=[
            workspace.corpus_version(name, version) for version in (lineage.continues, lineage.yardstick) if version
        ],
    )


def _settle(
    folder: Path,
    kept: pa.Table,
    files: DocumentFiles,
    lines: LineRule | None,
    sets: Sequence[EvaluationSet],
    settings: CorpusSettings,
    funnel: CorpusFunnel,
) -> pa.Table:
    """The documents that line deduplication and decontamination leave."""
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


def _line_rule(settings: CorpusSettings, before: Sequence[DocNos]) -> LineRule | None:
    return None if settings.line_dedup == "none" else line_rule(settings.line_dedup, settings.min_characters, before)


def _measure(name: str, folder: Path, settings: CorpusSettings) -> tuple[dict[str, int], dict[str, int]]:
    """Documents and characters by side."""
    documents, characters = {}, {}
    for side in ("train", "held_out"):
        columns = [pq.read_table(file, columns=["characters"])["characters"] for file in shard_files(folder, side)]
        documents[side] = sum(map(len, columns))
        characters[side] = sum(pc.sum(column).as_py() for column in columns)
    if not documents["train"]:
        raise InputError(
            f"corpus {name}: the train side would be empty, since every {settings.split_by} in it is held out since "
            "its first version or was taken down; add sources, or publish it under a new name"
        )
    if not documents["held_out"]:
        raise InputError(
            f"corpus {name}: the held-out side would be empty, since all its hosts were taken down; publish the "
            "corpus under a new name, which holds out others"
        )
    return documents, characters


def _manifest(name: str, version: str | None, workspace: Workspace) -> dict[str, Any] | None:
    return read_manifest(workspace.corpus_version(name, version)) if version else None


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
