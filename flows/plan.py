"""What a flow would do: the selection of each source, what is still to be downloaded, and which steps stand."""

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby

from flows.config import Config
from flows.plan_steps import plan_steps, reading_rates
from flows.unit_ledger import waiting_units
from pipelines.bucket_units import units_in_bucket
from pipelines.documents import documents_key
from pipelines.settings import CommonCrawlIndexSource
from pipelines.sources.fetch_unit import needs_fetching
from pipelines.sources.remote import Remote
from pipelines.sources.selection import read_batch, read_units
from pipelines.work_units import WorkUnit, list_work_units
from storage.query import Result
from storage.workspace import Workspace

SHOWN_RECORDS = 20


def plan_refresh(config: Config, say: Callable[[str], None]) -> Iterator[tuple[str, Result]]:
    """Tables with titles: the sources, then the first records of each selection.

    `say` hears the size of each index download before it starts. Raises InputError as list_work_units does.
    """
    workspace = Workspace(config.workspace, config.bucket)
    units = list_work_units(config.sources, workspace, config.fetch, say)
    key_of_documents = documents_key(config.documents)
    shared = units_in_bucket(workspace.documents(key_of_documents), workspace)  # downloaded, not read
    rates = reading_rates(workspace)
    rows, selections = [], []
    for source, found in groupby(sorted(units, key=lambda unit: unit.source), key=lambda unit: unit.source):
        own = list(found)
        new = [unit for unit in waiting_units(own, key_of_documents, workspace) if unit.unit_id not in shared]
        far = [unit for unit in new if needs_fetching(unit)]
        pages = requests = None
        if isinstance(config.sources[source], CommonCrawlIndexSource):
            key = own[0].options["selection"]
            batches = read_units(key, workspace).to_pylist()
            pages, requests = (sum(batch[column] for batch in batches) for column in ("pages", "requests"))
            selections.append((source, key, own))
        minutes = _minutes(new, rates, config.resources.reading_workers())
        rows.append((source, len(own), len(new), pages, requests, _megabytes(far, Remote(config.fetch)), minutes))
    columns = ["source", "units", "to read", "pages", "requests", "MB to download (estimate)", "minutes (estimate)"]
    yield "sources", Result(columns, rows)
    yield "steps", plan_steps(config, units, workspace)
    for source, key, own in selections:
        records = read_batch(key, 0, own[0].options["pages"], workspace)[:SHOWN_RECORDS]
        table = [(record.path, record.place.offset, record.place.length) for record in records]
        yield (
            f"{source}: first records of {workspace.selection(key)}/selection.parquet",
            Result(["file", "offset", "length"], list(table)),
        )


def _minutes(units: list[WorkUnit], rates: Mapping[str, float], workers: int) -> float | None:
    """From what past units of the kind took; None where none was read yet, or sizes are not known."""
    if not all(unit.kind in rates and unit.bytes for unit in units):
        return None
    return round(sum(unit.bytes * rates[unit.kind] for unit in units) / workers / 60, 1)


def _megabytes(units: list[WorkUnit], remote: Remote) -> float:
    """The files of a snapshot tell their size to whom asks only, but they are alike: one is asked."""
    unknown = [unit for unit in units if not unit.bytes]
    size = remote.size(unknown[0].path) if unknown else 0
    return (sum(unit.bytes for unit in units) + size * len(unknown)) / 1e6
