"""Lineage of a corpus version: its id by its inputs, its parent, the version that it is incremental from, and its
held-out reference.

Of three versions, of which the second has more units and the third another rule of the filter:

                        v1      v2        v3
    parent              none    v1        v2      the version that came before
    incremental from    none    v1        none    v2 filters its new units alone, v3 all of them
    reference           none    v1        v1      v1 chose the held-out split, the others repeat it
    segments            v1      v1, v2    v3      of the dedup index, which the next one reads if incremental

In manifests `incremental from` is called `continues`, and the reference `yardstick`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.dedup.index import number_units
from pipelines.settings import CorpusSettings
from pipelines.settings.strict import Bears
from pipelines.sources.work_units import WorkUnit
from pipelines.text.bad_words import BadWords
from storage.files import DamagedFile
from storage.keys import hash_of
from storage.publish import is_done, read_manifest
from storage.records import read_records
from storage.workspace import Workspace

CORPUS_STAGE_VERSION = 3  # raise it when the same documents and settings come to give another corpus
SEGMENT = "index/kept.parquet"  # its checksum tells a segment


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of a version, beside its settings."""

    units: Sequence[WorkUnit]
    documents_key: str
    denied: Sequence[str]  # hosts taken down that are in the units
    evaluation_sets: Mapping[str, str]  # content hash by name
    bad_words: BadWords | None = None

    @property
    def bad_words_hash(self) -> str | None:
        return self.bad_words.content_hash if self.bad_words is not None else None


@dataclass(frozen=True, slots=True)
class Lineage:
    """`version` of a corpus, its parent, the refresh of each of its units in doc_no order, and its held-out reference:
    the version whose held-out split it repeats (None where it chooses its own).

    `incremental_from` is the version whose outcome holds for the documents of its units, the parent where it can be;
    only documents of the other units are filtered. None: all are.
    """

    version: str
    parent: str | None
    refreshes: dict[str, int]
    reference: str | None
    incremental_from: str | None


def find_lineage(name: str, settings: CorpusSettings, inputs: Inputs, workspace: Workspace) -> Lineage:
    """Return the version that these inputs give after those published, or the published one of the same inputs."""
    published = list(_published(name, workspace))
    for manifest in published:
        if _is_made_of(manifest, settings, inputs):
            own = manifest["inputs"]
            incremental_from = own["continues"]
            if incremental_from and not can_continue(name, incremental_from, workspace):
                incremental_from = None
            return Lineage(manifest["key"], own["parent_version"], own["refreshes"], own["yardstick"], incremental_from)
    parent = published[0] if published else None
    chosen = settings.identity()
    if parent is None or _chooses_anew(parent["settings"], chosen):
        refreshes, reference, incremental_from = number_units(inputs.units, {}), None, None
    else:
        refreshes = number_units(inputs.units, parent["inputs"]["refreshes"])
        reference = _reference(name, parent, workspace)
        holds = _holds(parent, settings, inputs, refreshes) and can_continue(name, parent["key"], workspace)
        incremental_from = parent["key"] if holds else None
    bears = [list(refreshes.items()), reference, sorted(inputs.denied), dict(inputs.evaluation_sets)]
    bears += [inputs.bad_words_hash] if inputs.bad_words is not None else []
    version = hash_of("corpus", CORPUS_STAGE_VERSION, name, chosen, inputs.documents_key, *bears)
    return Lineage(version, parent["key"] if parent else None, refreshes, reference, incremental_from)


def segment_hash(manifest: Mapping[str, Any]) -> str | None:
    """Return what tells the segment that a version brought to the index; None where it brought none."""
    return str(manifest["files"][SEGMENT]["sha256"]) if SEGMENT in manifest["files"] else None


def can_continue(name: str, version: str, workspace: Workspace) -> bool:
    """Tell whether a version and all segments of the index that it names stand as they were."""
    manifest = _manifest(name, version, workspace)
    return (
        manifest is not None
        and is_done(workspace.corpus_version(name, version))
        and all(
            (other := _manifest(name, segment, workspace)) is not None
            and segment_hash(other) == checksum
            and is_done(workspace.corpus_version(name, segment))
            for segment, checksum in manifest["inputs"]["segments"].items()
        )
    )


def _reference(name: str, parent: Mapping[str, Any], workspace: Workspace) -> str:
    """Return the first version, or the parent where that is gone, as by a take-down: it repeats what may stay of that
    split.
    """
    first = parent["inputs"]["yardstick"]
    return first if first and _manifest(name, first, workspace) else str(parent["key"])


def _is_made_of(manifest: Mapping[str, Any], settings: CorpusSettings, inputs: Inputs) -> bool:
    own = manifest["inputs"]
    return (
        own["stage_version"] == CORPUS_STAGE_VERSION
        and own["documents_key"] == inputs.documents_key
        and own["refreshes"].keys() == {unit.unit_id for unit in inputs.units}
        and own["denied"] == sorted(inputs.denied)
        and own["evaluation_sets"] == inputs.evaluation_sets
        and own.get("bad_words") == inputs.bad_words_hash
        and has_settings(manifest, settings)
    )


def has_settings(manifest: Mapping[str, Any], settings: CorpusSettings) -> bool:
    """Tell whether a version was made with these settings, wherever the lists that they name lie."""
    named = CorpusSettings.marked(Bears.BY_CONTENT)
    made_with = {field: value for field, value in manifest["settings"].items() if field not in named}
    return made_with == settings.identity()


def _chooses_anew(before: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """Tell whether these settings make another corpus of it. A switch that an old version lacks was off."""
    return any(before.get(field, False) != chosen[field] for field in CorpusSettings.marked(Bears.ON_HELD_OUT))


def _holds(parent: Mapping[str, Any], settings: CorpusSettings, inputs: Inputs, refreshes: Mapping[str, int]) -> bool:
    """Tell whether what became of the parent's documents would become of them again."""
    own, before = parent["inputs"], parent["settings"]
    free = CorpusSettings.marked(Bears.ON_NO_DOCUMENT)
    return (
        own["stage_version"] == CORPUS_STAGE_VERSION
        and own["documents_key"] == inputs.documents_key
        and own["refreshes"].items() <= refreshes.items()
        and set(own["denied"]) <= set(inputs.denied)
        and own["evaluation_sets"] == inputs.evaluation_sets
        and own.get("bad_words") == inputs.bad_words_hash
        and all(before.get(field) == value for field, value in settings.identity().items() if field not in free)
    )


def _published(name: str, workspace: Workspace) -> Iterator[dict[str, Any]]:
    """Yield the manifests from the current version back to the first.

    Of a version whose folder is gone or damaged the record says what came before: the held-out reference stays as it
    was.
    """
    version, seen = workspace.current_version(name), set[str]()
    while version and version not in seen:
        seen.add(version)
        if manifest := _manifest(name, version, workspace):
            yield manifest
            version = manifest["inputs"]["parent_version"]
        else:
            version = _recorded_parent(version, workspace)


def _manifest(name: str, version: str, workspace: Workspace) -> dict[str, Any] | None:
    """Return the manifest of a version; None for a damaged one: that version is made anew."""
    try:
        return read_manifest(workspace.corpus_version(name, version))
    except DamagedFile:
        return None


def _recorded_parent(version: str, workspace: Workspace) -> str | None:
    rows = read_records(workspace, "corpora", version)
    return rows[0]["parent_version"] if rows else None
