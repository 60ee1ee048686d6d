"""Reading on a cluster of Dask or Ray: each task reads its units in the process that the cluster gives it.

The workspace must lie where all workers see it under the same path, and their environment must hold this package, the
runner's extra and, for Prefect's API, PREFECT_API_URL.
"""

from collections.abc import Callable
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from flows.config import Config, Resources
from flows.recording import record_units
from pipelines.unit_report import UnitReport
from pipelines.work_units import WorkUnit
from storage.errors import InputError
from storage.workspace import Workspace


def on_cluster(resources: Resources) -> Callable[[list[list[WorkUnit]], Config], None]:
    """The flow that reads batches of units on the runner that `resources` names."""
    return read_on_cluster.with_options(task_runner=_task_runner(resources))


@flow(name="read-on-cluster")
def read_on_cluster(parts: list[list[WorkUnit]], config: Config) -> None:
    from pipelines.documents import documents_key

    workspace, logger = Workspace(config.workspace), get_run_logger()
    for reading in [read_part.submit(part, config) for part in parts]:
        reports = reading.result()
        for report in reports:
            if report.status == "failed":
                logger.warning("%s: %s", report.path, report.error)
        record_units(workspace, documents_key(config.documents), reports)


@task(cache_policy=NO_CACHE, retries=2)  # a worker that dies takes its batch along: what it had read stands
def read_part(units: list[WorkUnit], config: Config) -> list[UnitReport]:
    from pipelines.on_one_process import process_units_here

    return process_units_here(units, config.documents, Workspace(config.workspace, config.bucket), config.fetch)


def _task_runner(resources: Resources) -> Any:
    try:
        if resources.runner == "dask":
            from prefect_dask import DaskTaskRunner

            if resources.address:
                return DaskTaskRunner(address=resources.address)
            workers = {"n_workers": resources.reading_workers(), "threads_per_worker": 1, "dashboard_address": None}
            return DaskTaskRunner(cluster_kwargs=workers)
        from prefect_ray import RayTaskRunner

        if resources.address:
            return RayTaskRunner(address=resources.address)
        return RayTaskRunner(init_kwargs={"num_cpus": resources.reading_workers(), "include_dashboard": False})
    except ImportError:
        raise InputError(
            f"`resources.runner` is {resources.runner}, which is not installed: "
            f"pip install -c constraints.txt 'neutral-residues[{resources.runner}]'"
        ) from None
