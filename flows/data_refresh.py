"""Flow data-refresh: what is new of the sources becomes documents, and the documents become corpora."""

import logging
from collections.abc import Iterable
from typing import cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.utilities.annotations import quote

from flows.config.inputs import take_secrets
from flows.config.resources import refuse_full_disk
from flows.config.study import Config
from flows.services.killed_runs import record_process
from flows.steps.artifacts import show_funnel, show_refresh
from flows.steps.checks import check_corpora
from flows.steps.cluster import on_cluster, run_jobs
from flows.steps.last_failure import remembering_failure
from flows.steps.progress import Progress
from flows.steps.result_records import record_corpus, record_move, record_units
from pipelines.corpus.summary import CorpusReport
from pipelines.settings import CorpusSettings
from pipelines.sources.work_units import UnitReport, WorkUnit, is_unit_done, read_report
from storage.catalog import refresh_catalog
from storage.query import query
from storage.workspace import Workspace

# Which work units a refresh has still to read: one look at the ledger, whatever their number.


RECORDED = "SELECT unit_id, path FROM work_units WHERE documents_key = ? AND status = 'done'"


def waiting_units(units: Iterable[WorkUnit], documents_key: str, workspace: Workspace) -> list[WorkUnit]:
    """Return units that are not done, or whose outcome is not in the catalog: a flow was killed between the two."""
    folder = workspace.documents(documents_key)
    recorded = set(query(workspace, RECORDED, [documents_key]).rows) if workspace.catalog.exists() else set()
    return [
        unit
        for unit in units
        if (unit.unit_id, unit.path) not in recorded or not is_unit_done(folder, read_report(folder, unit.unit_id))
    ]


def failed_units(units: Iterable[WorkUnit], documents_key: str, workspace: Workspace) -> list[WorkUnit]:
    """Return units whose last attempt failed."""
    folder = workspace.documents(documents_key)
    reports = ((unit, read_report(folder, unit.unit_id)) for unit in units)
    return [unit for unit, report in reports if report is not None and report.status == "failed"]


UNITS_PER_PROCESS = 16  # that a task takes: enough to keep the pool busy, few enough to see progress
MOST_BATCHES = 100  # of one flow run: above some 200 task runs Prefect's SQLite is locked at times


@flow(name="data-refresh", on_running=[record_process])
@remembering_failure
def data_refresh(config: Config, only_failed: bool = False) -> dict[str, str]:
    """Read what is new of the sources and publish the corpora. Returns the version of each corpus by name.

    `only_failed` tries the units again that failed before, and reads no other.
    """
    take_secrets(config)
    Workspace(config.workspace, config.bucket)
    units = select_units(config)
    parts = batches(still_to_read(whole(units), config, only_failed), config.resources.reading_workers())
    if config.resources.runner != "processes":
        parts = on_cluster(config.resources)(parts, config)
    for part in parts:
        read_units(whole(part), config)
    versions = {name: publish_corpus(name, config.corpora[name], whole(units), config) for name in config.in_order()}
    end_refresh(config)
    pass_checks(versions, config)
    show_funnel(Workspace(config.workspace), versions)
    show_refresh(Workspace(config.workspace), versions)
    # An event of our own: that of a scheduled run's end reaches triggers 15 minutes late, since Prefect holds it back
    # for the event of its scheduling, which there is none of.
    refresh = {"prefect.resource.id": f"neutral-residues.refresh.{config.name}", "prefect.resource.name": config.name}
    emit_event("neutral-residues.refresh.finished", refresh, payload={"versions": versions})
    return versions


@task(cache_policy=NO_CACHE)
def select_units(config: Config) -> list[WorkUnit]:
    from pipelines.sources.work_units import list_work_units

    logger = get_run_logger()
    units = list_work_units(config.sources, Workspace(config.workspace), config.fetch, logger.info)
    logger.info("%d work units, %.1f MB of known size", len(units), sum(unit.bytes for unit in units) / 1e6)
    return units


@task(cache_policy=NO_CACHE)
def still_to_read(units: list[WorkUnit], config: Config, only_failed: bool) -> list[WorkUnit]:
    from pipelines.documents.stage import documents_key
    from pipelines.sources.work_units import units_to_read

    key, workspace = documents_key(config.documents), Workspace(config.workspace)
    # Units of snapshots that the sources have moved on from are read too, if the document settings have changed.
    wanted = units_to_read(units, config.corpora, workspace)
    if workspace.catalog.exists():  # one that a power cut has torn is made anew here
        refresh_catalog(workspace)
    waiting = waiting_units(wanted, key, workspace)
    if only_failed:
        waiting = failed_units(waiting, key, workspace)
    logger = get_run_logger()
    logger.info("%d of %d work units to read%s", len(waiting), len(wanted), "" if waiting else ": nothing is new")
    if waiting:
        refuse_full_disk(workspace.root, config.resources.min_free_gb, "reading")
    return waiting


@task(cache_policy=NO_CACHE)
def read_units(units: list[WorkUnit], config: Config) -> None:
    from pipelines.documents.stage import documents_key, process_units

    logger, workspace = get_run_logger(), Workspace(config.workspace)
    reports: list[UnitReport] = []

    def on_report(report: UnitReport) -> None:
        reports.append(report)
        if report.status == "failed":
            logger.warning("%s: %s", report.path, report.error)
        done, seconds = len(reports), sum(report.seconds for report in reports)
        progress.update(
            {
                "label": "reading",
                "done": done,
                "total": len(units),
                "unit": "documents",
                "rate": sum(report.documents for report in reports) / max(seconds, 1e-3),
                "message": report.path,
            }
        )

    with Progress(logger.info) as progress:
        workers = config.resources.reading_workers()
        all_reports = process_units(units, config.documents, workspace, workers, on_report, config.fetch)
    record_units(workspace, documents_key(config.documents), all_reports)


@task(cache_policy=NO_CACHE, task_run_name="publish-corpus-{name}")
def publish_corpus(name: str, settings: CorpusSettings, units: list[WorkUnit], config: Config) -> str:
    from pipelines.corpus.build import build_corpus
    from pipelines.corpus.shared_versions import changing_corpus

    workspace = Workspace(config.workspace)
    own = [unit for unit in units if unit.source in settings.sources]
    with changing_corpus(name, workspace):
        before = workspace.current_version(name)
        report = build_corpus(name, settings, own, config.documents, workspace, run_jobs(config))
    record_corpus(workspace, report, settings.model_dump(mode="json"))
    record_move(workspace, name, before, report.version, "refresh")
    get_run_logger().info(
        "corpus %s: %s version %s, %d documents (%d held out; %d came, %d left), %.1f M characters",
        name, "kept" if report.reused else "new", report.version, report.documents, report.held_out_documents,
        report.changes.documents_gained, report.changes.documents_lost, report.characters / 1e6,
    )  # fmt: skip
    if (said := in_neither_split(report, settings)) and not report.reused:
        get_run_logger().log(logging.WARNING if report.parent_version else logging.INFO, "corpus %s: %s", name, said)
    return report.version


def in_neither_split(report: CorpusReport, settings: CorpusSettings) -> str | None:
    """Return what the held-out split will cost later refreshes; of a later version what it did cost, where that is
    much.
    """
    if report.parent_version is None:
        if settings.split_by == "document":
            return None
        return (
            f"its {report.held_out_documents} held-out documents stay those of later versions: what later refreshes "
            f"bring of the same {settings.split_by}s is in neither split, so let the first refresh be a large one"
        )
    lost = sum(row["documents"] for row in report.funnel if row["reason"] == "held_out_group")
    if lost <= 2 * settings.held_out_share * (report.documents + lost):
        return None
    return (
        f"{lost} of {report.documents + lost} documents are of a {settings.split_by} that its first version held out, "
        "and in neither split; a corpus of another name would choose anew"
    )


@task(cache_policy=NO_CACHE)
def pass_checks(versions: dict[str, str], config: Config) -> None:
    check_corpora(config.checks, versions, Workspace(config.workspace))


@task(cache_policy=NO_CACHE)
def end_refresh(config: Config) -> None:
    """Let the next refresh look up what `latest` is: until here, a run that was killed goes on with the same crawl."""
    from pipelines.sources.common_crawl.snapshots import release_latest

    release_latest(Workspace(config.workspace))


def whole(units: list[WorkUnit]) -> list[WorkUnit]:
    """Return the units as a parameter that Prefect does not search for futures, which took half an empty refresh."""
    return cast(list[WorkUnit], quote(units))


def batches(units: list[WorkUnit], workers: int) -> list[list[WorkUnit]]:
    """Return what one task run takes each: enough for all workers, and never more than MOST_BATCHES of them."""
    size = max(workers * UNITS_PER_PROCESS, -(-len(units) // MOST_BATCHES))
    return [units[start : start + size] for start in range(0, len(units), size)]
