"""Flow train: one run for each method and seed, those that are done left alone."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from pydantic import ValidationError

from flows.config.resources import refuse_full_disk
from flows.config.runs import OwnText, refuse_wrong_teachers
from flows.config.study import Config
from flows.services.killed_runs import record_process
from flows.steps.base import PreparedBase, prepare_base
from flows.steps.checks import check_corpora
from flows.steps.jobs import Job, publish_job, refuse_failures, run_jobs
from flows.steps.last_failure import remembering_failure
from flows.steps.own_text import ensure_own_text, own_text_key
from flows.steps.progress import Progress
from flows.steps.result_records import now, record_model, record_run, record_training_steps, recorded_settings
from flows.steps.tokens import TOKENS_STAGE_VERSION, current_versions, ensure_tokens
from nr_core.settings import MethodSettings
from nr_core.specs import TrainInput, TrainSpec, Windows, first_problem
from storage.catalog import columns_of, refresh_catalog
from storage.errors import InputError
from storage.keys import hash_of
from storage.publish import is_done, read_manifest, resumable_partial
from storage.query import find_run
from storage.workspace import Workspace

STAGE_VERSIONS = (2, TOKENS_STAGE_VERSION)  # of training, and of the tokens that it reads
_WITHOUT = ("the finetuning that it is made of failed", "the finetuning that it learns from failed")


@dataclass(frozen=True)
class RunInput:
    """One text that a run is trained on. corpus: its name, None where it is text of the base."""

    corpus: str | None
    corpus_version: str
    role: Literal["new", "original"]
    language: str
    share: float


@dataclass(frozen=True)
class Run:
    """One training that is asked for; its id is the hash of all that bears on the outcome."""

    run_id: str
    method: MethodSettings
    seed: int
    inputs: list[RunInput]
    made_of: str | None = None  # the finetuned run that it lies between base and, not trained itself
    teacher: str | None = None  # the finetuned run that it learns from

    @property
    def label(self) -> str:
        return f"{self.method.label} seed {self.seed}"

    @property
    def needs(self) -> str | None:
        """The run that has to be there first."""
        return self.made_of or self.teacher


@flow(name="train", on_running=[record_process])
@remembering_failure
def train(config: Config, versions: dict[str, str] | None = None, base: PreparedBase | None = None) -> list[str]:
    """Train what the config asks for. Returns the run ids."""
    if versions is None:
        versions = current_versions(config)
        check_corpora(config.checks, versions, Workspace(config.workspace))
    base = base or prepare_base(config, versions)
    return train_runs(config, versions, base)


def planned_runs(config: Config, versions: Mapping[str, str], base: PreparedBase) -> list[Run]:
    if not config.inputs:
        raise InputError("`inputs` is missing: say which corpora a run is trained on, with role and share")
    refuse_wrong_teachers(config.methods, config.add_to or config.start_from)  # again: of a sweep's points
    inputs = [
        RunInput(
            corpus=item.corpus,
            corpus_version=own_text_key(item, base.model_id, base.spec)
            if item.corpus is None
            else versions[item.corpus],
            role=item.role,
            language=config.language_of(item),
            share=item.share,
        )
        for item in config.inputs
    ]
    bears = [{"corpus_version": one.corpus_version, "role": one.role, "share": one.share} for one in inputs]
    training = config.training.identity()
    builds_on = {name: run for name, run in built_on(config).items() if run}
    vocabulary = [] if base.spec.vocabulary == "full" else [base.spec.vocabulary]
    trained = [
        Run(
            run_id=hash_of(
                base.model_id,
                method.trained.identity(),
                training,
                bears,
                seed,
                STAGE_VERSIONS,
                *([builds_on] if builds_on else []),
                *vocabulary,
                *([windows.identity()] if (windows := _forgetting_windows(method, config)) else []),
            ),
            method=method,
            seed=seed,
            inputs=inputs,
        )
        for seed in config.seeds
        for method in config.methods
    ]
    taught = [_taught(run, trained) for run in trained]
    return [one for run in taught for one in (replace(run, method=run.method.trained), *_between(run))]


def _taught(run: Run, trained: list[Run]) -> Run:
    """Return a run with its teacher, of the same seed, which its id is made of too."""
    name = run.method.distil_from
    if name is None:
        return run
    teacher = next(one.run_id for one in trained if (one.method.label, one.seed) == (name, run.seed))
    return replace(run, run_id=hash_of(run.run_id, {"distil_from": teacher}), teacher=teacher)


def _between(run: Run) -> list[Run]:
    """Return the points between base and a run, where its method asks for them."""
    return [
        replace(run, run_id=hash_of(run.run_id, point.interpolate), method=point, made_of=run.run_id)
        for point in run.method.points()
    ]


@task(cache_policy=NO_CACHE)
def train_runs(config: Config, versions: Mapping[str, str], base: PreparedBase) -> list[str]:
    logger, workspace = get_run_logger(), Workspace(config.workspace)
    runs = planned_runs(config, versions, base)
    with ExitStack() as held, Progress(logger.info) as progress:
        for run_id in sorted(
            run.run_id for run in runs
        ):  # in one order everywhere, so that two flows cannot wait in a ring
            held.enter_context(workspace.lock(f"run-{run_id}"))
        waiting = [run for run in runs if not is_done(workspace.run(run.run_id))]
        logger.info("%d runs, %d done already", len(runs), len(runs) - len(waiting))
        if waiting:
            refuse_full_disk(workspace.root, config.resources.min_free_gb, "training")
        errors = _train([run for run in waiting if run.needs is None], config, base, workspace, progress)
        second = [run for run in waiting if run.needs is not None]
        ready = [run for run in second if is_done(workspace.run(str(run.needs)))]
        errors |= _train(ready, config, base, workspace, progress)
        errors |= {run.label: _WITHOUT[run.made_of is None] for run in second if run not in ready}
        for run in runs:
            _record(workspace, run, config, base, errors.get(run.label))
        refresh_catalog(workspace)
    refuse_failures(errors)
    return [run.run_id for run in runs]


def _train(
    runs: list[Run], config: Config, base: PreparedBase, workspace: Workspace, progress: Progress
) -> dict[str, str]:
    """Train and publish; the errors, by label."""
    resources = config.resources
    jobs, errors = _jobs(runs, config, base, workspace, progress)
    errors |= run_jobs(
        "train",
        jobs,
        workspace,
        progress,
        processes=resources.training_processes,
        threads=resources.training_threads(),
        devices=resources.devices,
        launcher=resources.launcher,
    )
    for run in runs:
        if run.label not in errors and not is_done(workspace.run(run.run_id)):
            publish_job(
                workspace.run(run.run_id),
                step="train",
                inputs={item.corpus_version: item.role for item in run.inputs},
                settings={"method": run.method.model_dump(mode="json"), "seed": run.seed},
            )
    return errors


def _jobs(
    runs: list[Run], config: Config, base: PreparedBase, workspace: Workspace, progress: Progress
) -> tuple[list[Job], dict[str, str]]:
    """Return the jobs, and what is wrong with the others by label."""
    jobs: list[Job] = []
    errors: dict[str, str] = {}
    streams = _streams(config, base, workspace, progress)
    for run in runs:
        try:
            jobs.append(Job(run.label, _spec(run, config, base, workspace, streams)))
        except ValidationError as error:
            errors[run.label] = first_problem(error)
    return jobs, errors


def _spec(
    run: Run, config: Config, base: PreparedBase, workspace: Workspace, streams: Callable[[RunInput], Path]
) -> TrainSpec:
    builds_on = {name: _finished(workspace, name, other) for name, other in built_on(config).items() if other}
    return TrainSpec(
        out=resumable_partial(workspace.run(run.run_id)),
        base=base.spec,
        method=run.method,
        training=config.training,
        inputs=[
            TrainInput(tokens=streams(item), share=item.share, role=item.role, language=item.language)
            for item in run.inputs
        ],
        seed=run.seed,
        add_to=builds_on.get("add_to"),
        start_from=builds_on.get("start_from"),
        tracking=config.tracking,
        tracking_project=config.name,
        interpolate_from=None if run.made_of is None else workspace.run(run.made_of),
        distil_from=None if run.teacher is None else workspace.run(run.teacher),
        forgetting_windows=_forgetting_windows(run.method, config),
    )


def _forgetting_windows(method: MethodSettings, config: Config) -> Windows | None:
    """Return the windows that the study is evaluated in, where they are set and the training measures in them too."""
    windows = Windows(sequence_length=config.evaluation.sequence_length, stride=config.evaluation.stride)
    return None if method.max_forgetting is None or windows == Windows() else windows


def _streams(
    config: Config, base: PreparedBase, workspace: Workspace, progress: Progress
) -> Callable[[RunInput], Path]:
    """Return what gives the token stream of an input, and makes it where it is missing."""
    resources = config.resources
    own = next((item for item in config.inputs if isinstance(item, OwnText)), None)

    @cache
    def stream(item: RunInput) -> Path:
        if item.corpus is None and own is not None:
            return Path(ensure_own_text(workspace, own, base.model_id, base.spec, progress, resources))
        workers = resources.reading_workers()
        folder = ensure_tokens(workspace, str(item.corpus), item.corpus_version, base.spec, progress, workers)
        return folder / "train"

    return stream


def built_on(config: Config) -> dict[str, str | None]:
    """Return the whole id of the run that a config's runs are added to, or go on from. Raises InputError for none."""
    workspace = Workspace(config.workspace)
    asked = {"add_to": config.add_to, "start_from": config.start_from}
    return {field: _whole_id(workspace, field, run) if run else None for field, run in asked.items()}


def _whole_id(workspace: Workspace, field: str, run: str) -> str:
    """Return the whole id of a run, however the user named it: what a run is built on is part of its own id."""
    if "/" not in run and is_done(workspace.run(run)):
        return run
    try:
        return find_run(workspace, run)
    except InputError as error:
        raise InputError(f"`{field}`: {error}") from error


def _finished(workspace: Workspace, field: str, run_id: str) -> Path:
    if not is_done(workspace.run(run_id)):
        raise InputError(
            f'`{field}`: there is no finished run {run_id} in {workspace.root}; `nr sql "from runs"` lists them'
        )
    return workspace.run(run_id)


def _record(workspace: Workspace, run: Run, config: Config, base: PreparedBase, error: str | None) -> None:
    row: dict[str, Any] = {
        "run_id": run.run_id,
        "name": run.method.label,
        "base_model_id": base.model_id,
        "model_id": run.run_id,
        "method": run.method.method if run.made_of is None else "interpolation",
        "settings": recorded_settings(run.method, config.training, base.spec.vocabulary, run.teacher),
        "seed": run.seed,
        "status": "failed" if error else "done",
        "error": error,
    }
    inputs = [{name: value for name, value in asdict(item).items() if name != "corpus"} for item in run.inputs]
    folder = workspace.run(run.run_id)
    if error:
        record_run(workspace, {**row, "created": now()}, inputs)
        return
    facts = json.loads((folder / "run.json").read_text())
    created = (read_manifest(folder) or {})["created"]
    known = {**facts, **row, "created": created}
    # What a run of before did not report is null.
    record_run(workspace, {column: known.get(column) for column in columns_of("runs")}, inputs)
    model = {"model_id": run.run_id, "source": "run", "weights_hash": None, "parent_model_id": base.model_id}
    record_model(workspace, {**model, "created": created})
    record_training_steps(workspace, run.run_id, folder / "steps.parquet")
