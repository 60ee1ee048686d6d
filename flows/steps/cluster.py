"""Work on a cluster of Dask or Ray: a task reads its units, or joins a band of signatures, in the process that the
cluster gives it.

The workspace lies where all workers see it under the same path, or has a bucket. Their environment must hold this
package, the runner's extra and, for Prefect's API, PREFECT_API_URL.
"""

from collections.abc import Callable, Iterable
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

import flows.config.resources
from flows.config.inputs import take_secrets
from flows.config.resources import Resources
from flows.config.study import Config
from flows.services.killed_runs import record_process
from flows.steps.result_records import record_units
from pipelines.dedup.minhash import BandBuckets, BandJob, RunJobs
from pipelines.sources.work_units import UnitReport, WorkUnit
from storage.errors import InputError
from storage.workspace import Workspace


def on_cluster(resources: Resources) -> Callable[[list[list[WorkUnit]], Config], list[list[WorkUnit]]]:
    """Return the flow that reads batches of units on the runner that `resources` names. Returns what is left to read
    here.
    """
    return read_on_cluster.with_options(task_runner=_task_runner(resources))


@flow(name="read-on-cluster", on_running=[record_process])
def read_on_cluster(parts: list[list[WorkUnit]], config: Config) -> list[list[WorkUnit]]:
    from pipelines.documents.shared_units import fetch_units
    from pipelines.documents.stage import documents_key
    from pipelines.sources.work_units import is_unit_done, read_report, write_report

    workspace, logger, key = Workspace(config.workspace), get_run_logger(), documents_key(config.documents)
    folder, left = workspace.documents(key), []
    for part, reading in zip(parts, [read_part.submit(part, config) for part in parts], strict=True):
        reports = reading.result()
        fetch_units(folder, [report.unit_id for report in reports if report.status == "done"], workspace)
        for report in reports:
            if report.status == "failed":
                logger.warning("%s: %s", report.path, report.error)
                write_report(folder, report)  # its worker may have another disk
        done = {report.unit_id for report in reports if is_unit_done(folder, read_report(folder, report.unit_id))}
        came = [report for report in reports if report.unit_id in done or report.status == "failed"]
        record_units(workspace, key, came)
        # Of a bucket's pages from a host that was taken down a worker keeps the documents to itself.
        known = {report.unit_id for report in came}
        left.append([unit for unit in part if unit.unit_id not in known])
    return [part for part in left if part]


@task(cache_policy=NO_CACHE, retries=2)  # a worker that dies takes its batch along: what it had read stands
def read_part(units: list[WorkUnit], config: Config) -> list[UnitReport]:
    from pipelines.documents.cluster_worker import process_units_here

    take_secrets(config)  # its machine is another than the flow's
    return process_units_here(units, config.documents, Workspace(config.workspace, config.bucket), config.fetch)


def run_jobs(config: Config) -> RunJobs:
    """Return what runs the joins of the bands, their outcomes in order: the cluster, or this process one after the
    other.

    The jobs read the index of the workspace: a cluster that does not share its disk does not run them.
    """
    if config.resources.runner == "processes" or config.bucket:
        return map

    def on_the_cluster(function: Callable[[BandJob], BandBuckets], jobs: Iterable[BandJob]) -> Iterable[BandBuckets]:
        listed = list(jobs)
        if len(listed[0][1]) < flows.config.resources.WORTH_SENDING:
            return map(function, listed)
        # Not in a flow of their own: its context, which goes with every task, would hold all of them.
        with _task_runner(config.resources) as runner:
            waiting = [runner.submit(run_job, {"function": function, "job": job}) for job in listed]
            return [job.result() for job in waiting]

    return on_the_cluster


@task(cache_policy=NO_CACHE, retries=2)
def run_job(function: Callable[[BandJob], BandBuckets], job: BandJob) -> BandBuckets:
    return function(job)


def _task_runner(resources: Resources) -> Any:
    try:
        if resources.runner == "dask":
            from prefect_dask import DaskTaskRunner

            if resources.address:
                return DaskTaskRunner(address=resources.address)
            workers = {"n_workers": resources.reading_workers(), "threads_per_worker": 1, "dashboard_address": None}
            # Whoever reaches a scheduler has it run code: certificates of this cluster's own keep other users out.
            return DaskTaskRunner(cluster_kwargs={**workers, "security": True})
        from prefect_ray import RayTaskRunner

        if resources.address:
            return RayTaskRunner(address=resources.address)
        return RayTaskRunner(init_kwargs={"num_cpus": resources.reading_workers(), "include_dashboard": False})
    except ImportError:
        raise InputError(
            f"`resources.runner` is {resources.runner}, which is not installed: "
            f"pip install -c constraints.txt 'neutral-residues[{resources.runner}]'"
        ) from None
