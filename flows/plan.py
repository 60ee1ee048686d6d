"""What a refresh would read: the selection of each source, with what is still to be downloaded."""

from collections.abc import Callable, Iterator
from itertools import groupby

from flows.config import Config
from pipelines.documents import documents_key
from pipelines.settings import CommonCrawlIndexSource
from pipelines.sources.fetch_unit import needs_fetching
from pipelines.sources.remote import Remote
from pipelines.sources.selection import read_batch, read_units
from pipelines.unit_report import is_unit_done, read_report
from pipelines.work_units import WorkUnit, list_work_units
from storage.query import Result
from storage.workspace import Workspace

SHOWN_RECORDS = 20


def plan_refresh(config: Config, say: Callable[[str], None]) -> Iterator[tuple[str, Result]]:
    """Tables with titles: the sources, then the first records of each selection.

    `say` hears the size of each index download before it starts. Raises InputError as list_work_units does.
    """
    workspace = Workspace(config.workspace)
    units = list_work_units(config.sources, workspace, config.fetch, say)
    folder = workspace.documents(documents_key(config.documents))
    rows, selections = [], []
    for source, found in groupby(sorted(units, key=lambda unit: unit.source), key=lambda unit: unit.source):
        own = list(found)
        new = [unit for unit in own if not is_unit_done(folder, read_report(folder, unit.unit_id))]
        far = [unit for unit in new if needs_fetching(unit)]
        pages = requests = None
        if isinstance(config.sources[source], CommonCrawlIndexSource):
            key = own[0].options["selection"]
            batches = read_units(key, workspace).to_pylist()
            pages, requests = (sum(batch[column] for batch in batches) for column in ("pages", "requests"))
            selections.append((source, key, own))
        rows.append((source, len(own), len(new), pages, requests, _megabytes(far, Remote(config.fetch))))
    yield "sources", Result(["source", "units", "to read", "pages", "requests", "MB to download (estimate)"], rows)
    for source, key, own in selections:
        records = read_batch(key, 0, own[0].options["pages"], workspace)[:SHOWN_RECORDS]
        table = [(record.path, record.place.offset, record.place.length) for record in records]
        yield (
            f"{source}: first records of {workspace.selection(key)}/selection.parquet",
            Result(["file", "offset", "length"], list(table)),
        )


def _megabytes(units: list[WorkUnit], remote: Remote) -> float:
    """The files of a snapshot tell their size to whom asks only, but they are alike: one is asked."""
    unknown = [unit for unit in units if not unit.bytes]
    size = remote.size(unknown[0].path) if unknown else 0
    return (sum(unit.bytes for unit in units) + size * len(unknown)) / 1e6
