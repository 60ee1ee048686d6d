"""Versions of a corpus: which one these inputs give, which came before it, and whose held-out side is the yardstick."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.doc_no import number_units
from pipelines.settings import CorpusSettings
from pipelines.work_units import WorkUnit
from storage.keys import hash_of
from storage.publish import read_manifest
from storage.workspace import Workspace

CORPUS_STAGE_VERSION = 1  # raise it when the same documents and settings come to give another corpus

# A corpus with another of these is another corpus: its held-out side is chosen anew.
_YARDSTICK_FIELDS = {
    *("language", "text_domain", "split_by", "held_out_share", "held_out_min_documents"),
    *("repair", "pii"),  # else texts would stay in it as they are no longer wanted
}


@dataclass(frozen=True, slots=True)
class Lineage:
    """`version` of a corpus, its parent, the refresh of each of its units in doc_no order, and its yardstick: the
    version whose held-out side it repeats (None where it chooses its own)."""

    version: str
    parent: str | None
    refreshes: dict[str, int]
    yardstick: str | None


def find_lineage(
    name: str, settings: CorpusSettings, units: Sequence[WorkUnit], documents_key: str, workspace: Workspace
) -> Lineage:
    """The version that these inputs give after those published: one of the published, if its inputs are the same."""
    wanted = {
        "stage_version": CORPUS_STAGE_VERSION,
        "documents_key": documents_key,
        "units": sorted(unit.unit_id for unit in units),
    }
    chosen = settings.model_dump()
    published = list(_published(name, workspace))
    for manifest in published:
        inputs = manifest["inputs"]
        own = {**{field: inputs[field] for field in wanted.keys() - {"units"}}, "units": sorted(inputs["refreshes"])}
        if own == wanted and manifest["settings"] == chosen:
            return Lineage(manifest["key"], inputs["parent_version"], inputs["refreshes"], inputs["yardstick"])
    parent = published[0] if published else None
    if parent is None or any(parent["settings"].get(field) != chosen[field] for field in _YARDSTICK_FIELDS):
        refreshes, yardstick = number_units(units, {}), None
    else:
        refreshes = number_units(units, parent["inputs"]["refreshes"])
        yardstick = parent["inputs"]["yardstick"] or parent["key"]
    version = hash_of("corpus", CORPUS_STAGE_VERSION, name, chosen, documents_key, list(refreshes.items()), yardstick)
    return Lineage(version, parent["key"] if parent else None, refreshes, yardstick)


def _published(name: str, workspace: Workspace) -> Iterator[dict[str, Any]]:
    """Manifests from the current version back to the first."""
    try:
        version = (workspace.corpus(name) / "CURRENT").read_text().strip()
    except FileNotFoundError:
        return
    while version and (manifest := read_manifest(workspace.corpus_version(name, version))):
        yield manifest
        version = manifest["inputs"]["parent_version"]
