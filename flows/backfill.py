"""Flow backfill: one data refresh a snapshot, oldest first, each with a flow run of its own."""

from prefect import flow

from flows.config.study import Config, parse_config
from flows.data_refresh import data_refresh
from flows.services.killed_runs import record_process
from flows.steps.last_failure import remembering_failure
from pipelines.settings import CommonCrawlIndexSource, CommonCrawlSource
from storage.errors import InputError


@flow(name="backfill", on_running=[record_process])
@remembering_failure
def backfill(config: Config, crawls: list[str]) -> dict[str, str]:
    """Refresh the corpora from each of `crawls` (CC-MAIN-YYYY-WW) in turn. Returns the versions after the last.

    Snapshots that are in the corpora already are gone through in seconds; a backfill that was stopped goes on with
    the same command.
    """
    versions: dict[str, str] = {}
    for crawl in in_order(crawls):
        versions = data_refresh.with_options(flow_run_name=crawl)(of_snapshot(config, crawl))
    return versions


def in_order(crawls: list[str]) -> list[str]:
    """Return each once, oldest first: earlier documents are those that later copies are dropped for."""
    if not crawls:
        raise InputError("`crawls` is empty: name the snapshots to go through, like CC-MAIN-2026-43")
    return sorted(set(crawls))


def of_snapshot(config: Config, crawl: str) -> Config:
    """Return the config with every Common Crawl source at this snapshot.

    Raises:
        InputError: no source is one, or the name is none of a snapshot.
    """
    values = config.model_dump(exclude_unset=True)
    ours = [
        name
        for name, source in config.sources.items()
        if isinstance(source, CommonCrawlSource | CommonCrawlIndexSource)
    ]
    if not ours:
        raise InputError("`sources`: none is of kind common_crawl or common_crawl_index; there is nothing to backfill")
    for name in ours:
        values["sources"][name]["crawl"] = crawl
    return parse_config(values, f"backfill of {crawl}")
