"""Flow extend-language, the whole way: data, corpora, base, training, evaluation, report."""

import time
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from flows.config.inputs import check_inputs
from flows.config.study import Config
from flows.config.yaml_files import write_yaml
from flows.data_refresh import data_refresh
from flows.evaluate import evaluate
from flows.services.killed_runs import record_process
from flows.steps.artifacts import show_summary
from flows.steps.base import PreparedBase, find_given, fitting_shape, pretrain
from flows.steps.finished_study import input_stamps, remember_finished
from flows.steps.last_failure import remembering_failure
from flows.steps.tasks import pin_tasks
from flows.train import train
from nr_core.settings import BaseSpec
from storage.catalog import refresh_catalog
from storage.locations import values_without_folders
from storage.workspace import Workspace


@flow(name="extend-language", on_running=[record_process])
@remembering_failure
def extend_language(config: Config) -> str:
    """Teach a model a new language and measure what it learned and forgot. Returns the report's path."""
    stages = Stopwatch()
    inputs = input_stamps(config)
    check(config)
    versions = data_refresh(config)
    stages.lap("data")
    base = pretrain(config, versions)
    stages.lap("base model")
    trained = train(config, versions, base, return_state=True)
    stages.lap("methods")
    evaluate(config, versions, base)
    stages.lap("evaluation")
    path = report(config, base)
    stages.lap("report")
    get_run_logger().info("stages: %s", stages)
    run_ids = trained.result()  # a run that failed fails the flow, now that the others have been measured
    remember_finished(config, inputs, versions, run_ids)
    return str(path)


class Stopwatch:
    """Seconds by stage, for the log."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.monotonic()
        self._laps[stage] = now - self._started
        self._started = now

    def __str__(self) -> str:
        return ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in self._laps.items())


@task(cache_policy=NO_CACHE)
def check(config: Config) -> None:
    """Refuse before hours of work what would fail after them."""
    check_inputs(config, "base", "inputs")
    plan, workspace = config.evaluation, Workspace(config.workspace)
    pin_tasks(plan.tasks, plan.task_data, plan.task_items, workspace)
    if isinstance(config.base, BaseSpec):
        find_given(config.base, workspace)
        if not workspace.catalog.exists():  # a first run that is refused behind this leaves no records without one
            refresh_catalog(workspace)
        fitting_shape(config.base, config)


@task(cache_policy=NO_CACHE)
def report(config: Config, base: PreparedBase) -> Path:
    from flows.report import write_report

    workspace = Workspace(config.workspace)
    inner = {"resources": {"address", "launcher"}}  # name hosts of a cluster, and bear on no result
    shown = values_without_folders(config.model_dump(mode="json", exclude_none=True, exclude=inner))
    path = write_report(workspace, title=config.name, base_model_id=base.model_id, config_yaml=write_yaml(shown))
    show_summary(workspace, base.model_id, path)
    get_run_logger().info("report: %s", path)
    return path
