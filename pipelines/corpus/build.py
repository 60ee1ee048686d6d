"""From documents to a published version of a corpus: filter, deduplication, decontamination, split, shards."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from pipelines.corpus.decontaminate import evaluation_sets
from pipelines.corpus.lineage import CORPUS_STAGE_VERSION, Inputs, find_lineage
from pipelines.corpus.shards import shard_files
from pipelines.corpus.summary import CorpusReport
from pipelines.corpus.version import write_version
from pipelines.dedup.minhash import RunJobs
from pipelines.dedup.signature import SignatureScheme
from pipelines.denylist import hosts_taken_down
from pipelines.documents.shared_units import fetch_units, share_units, units_in_bucket
from pipelines.documents.stage import documents_key
from pipelines.settings import CorpusSettings, DocumentSettings
from pipelines.sources.work_units import WorkUnit, documents_file, earlier_units, is_unit_done, read_report
from pipelines.text.bad_words import read_bad_words
from pipelines.text.rules import QUALITY
from storage.errors import InputError, is_disk_full, os_sentence
from storage.publish import Manifest, make_once, read_manifest
from storage.workspace import Workspace

__all__ = ["CORPUS_STAGE_VERSION", "CorpusReport", "build_corpus", "publish_version"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def build_corpus(
    name: str,
    settings: CorpusSettings,
    units: Sequence[WorkUnit],
    documents: DocumentSettings,
    workspace: Workspace,
    run_jobs: RunJobs = map,
) -> CorpusReport:
    """Publish the version of corpus `name` that these inputs give, and point CURRENT at it.

    A version that stands is returned at once. To `units` come those of earlier snapshots that the corpus keeps
    (sources/work_units.py). Units that have not been read (their report is not `done`) stay out, and count as
    later when they come in. The caller holds the corpus (bucket_corpora.changing_corpus). `run_jobs` runs the joins of
    the bands. Raises InputError when the corpus or one of its splits would be empty: it names the filter that took
    most; and when the disk is full.
    """
    _check(name, settings, units, documents)
    scheme = SignatureScheme(documents.shingle, documents.num_perm, documents.seed)
    units = [*units, *earlier_units(name, settings, units, workspace)]
    return publish_version(name, settings, units, documents_key(documents), scheme, workspace, run_jobs)


def publish_version(
    name: str,
    settings: CorpusSettings,
    units: Sequence[WorkUnit],
    key: str,
    scheme: SignatureScheme,
    workspace: Workspace,
    run_jobs: RunJobs = map,
) -> CorpusReport:
    """Publish the version that exactly these units give, read with the document settings of this key."""
    folder = workspace.documents(key)
    fetch_units(folder, [unit.unit_id for unit in units], workspace)
    share_units(folder, [unit.unit_id for unit in units], workspace, units_in_bucket(folder, workspace))
    reports = [read_report(folder, unit.unit_id) for unit in units]
    read = [unit for unit, report in zip(units, reports, strict=True) if is_unit_done(folder, report)]
    if not read:
        errors = [report.error for report in reports if report is not None and report.error]
        why = f"; the first: {errors[0]}" if errors else "; read them with process_units first"
        raise InputError(f"corpus {name}: none of its {len(units)} files has been read{why}")
    sets = evaluation_sets(name, settings.decontaminate, workspace)
    current = workspace.current_version(name)
    held_out = shard_files(workspace.corpus_version(name, current), "held_out") if current else []
    inputs = Inputs(
        units=read,
        documents_key=key,
        denied=hosts_taken_down([*(documents_file(folder, unit.unit_id) for unit in read), *held_out], workspace),
        evaluation_sets={item.name: item.content_hash for item in sets},
        bad_words=read_bad_words(name, settings),
    )
    lineage = find_lineage(name, settings, inputs, workspace)
    target = workspace.corpus_version(name, lineage.version)

    def make(partial: Path) -> Manifest:
        return write_version(partial, name, settings, lineage, inputs, scheme, sets, workspace, run_jobs)

    try:
        made = make_once(target, make, nullcontext())
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise InputError(os_sentence(error, at=target)) from None
    workspace.point_to(name, lineage.version)
    manifest = read_manifest(target)
    assert manifest is not None
    return CorpusReport(**manifest["counts"], created=manifest["created"], reused=not made)


def _check(name: str, settings: CorpusSettings, units: Sequence[WorkUnit], documents: DocumentSettings) -> None:
    if not _NAME.fullmatch(name):
        raise InputError(f"corpus name '{name}': use lower-case letters, digits, - and _ only")
    if without := set(settings.sources) - {unit.source for unit in units}:
        raise InputError(f"corpus {name}: its sources {sorted(without)} have no file; check corpora.{name}.sources")
    if name in settings.decontaminate:
        raise InputError(
            f"corpora.{name}.decontaminate names the corpus itself: its held-out split is kept apart by split_by"
        )
    if QUALITY in settings.thresholds() and documents.quality_model is None:
        raise InputError(f"corpora.{name}.rules.{QUALITY} needs documents.quality_model: `nr train-quality` makes one")
    needed = settings.dedup.bands * settings.dedup.rows
    if needed > documents.num_perm:
        raise InputError(
            f"corpora.{name}.dedup: bands x rows = {needed} needs signatures of that length; "
            f"set documents.num_perm (now {documents.num_perm}) to {needed} or more"
        )
