"""Units that a corpus keeps when a source has moved on: those of the snapshots before.

What Common Crawl published does not go when `latest` comes to mean another snapshot, or a source another slice of it.
Local files and plain addresses do leave a corpus with the config's paths.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.settings import CorpusSettings
from pipelines.sources.work_units import WorkUnit
from storage.workspace import Workspace

_FILE = "units.parquet"


def earlier_units(
    name: str, settings: CorpusSettings, listed: Iterable[WorkUnit], workspace: Workspace
) -> list[WorkUnit]:
    """Snapshot units of the current version of corpus `name`, of sources that it still has, that are not `listed`.

    Their licence is what their source states now.
    """
    current = workspace.current_version(name)
    if current is None:
        return []
    listed = list(listed)
    known, licences = {unit.unit_id for unit in listed}, {unit.source: unit.licence for unit in listed}
    units = read_units(workspace.corpus_version(name, current))
    return [
        replace(unit, licence=licences.get(unit.source, unit.licence))
        for unit in units
        if unit.accumulates and unit.source in settings.sources and unit.unit_id not in known
    ]


def units_to_read(
    listed: Sequence[WorkUnit], corpora: Mapping[str, CorpusSettings], workspace: Workspace
) -> list[WorkUnit]:
    """Return the listed units, and those that the corpora keep: with other document settings these are read anew."""
    units = {(unit.source, unit.unit_id): unit for unit in listed}
    for name, settings in corpora.items():
        for unit in earlier_units(name, settings, listed, workspace):
            units.setdefault((unit.source, unit.unit_id), unit)
    return list(units.values())


def write_units(version: Path, units: Iterable[WorkUnit]) -> None:
    rows = [unit.record() | {"options": json.dumps(unit.options)} for unit in units]
    pq.write_table(pa.Table.from_pylist(rows), version / _FILE, compression="zstd")


def read_units(version: Path) -> list[WorkUnit]:
    """Return the units of a version; none where an earlier program wrote it."""
    if not (version / _FILE).exists():
        return []
    rows = pq.read_table(version / _FILE).to_pylist()
    return [WorkUnit(**row | {"options": json.loads(row["options"])}) for row in rows]
