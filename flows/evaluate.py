"""Flow evaluate: the base and every run on every held-out set, each once."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from flows.config.runs import EvaluationPlan
from flows.config.study import Config
from flows.services.killed_runs import record_process
from flows.steps.artifacts import show_trade_off
from flows.steps.base import PreparedBase, prepare_base
from flows.steps.jobs import Job, in_scratch, refuse_failures, run_jobs
from flows.steps.last_failure import remembering_failure
from flows.steps.progress import Progress
from flows.steps.result_records import eval_id, evaluation_scope, name_eval_sets, record_evaluation, record_settings
from flows.steps.tasks import PinnedTask, pin_tasks
from flows.steps.tokens import TOKENS_STAGE_VERSION, PinnedText, current_versions, ensure_tokens, pin_texts, text_tokens
from flows.train import planned_runs
from nr_core.specs import EvaluateSpec, HeldOutTokens
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.keys import hash_of
from storage.publish import is_done, read_manifest
from storage.workspace import Workspace

EVALUATE_STAGE_VERSION = 2
WINDOWS = (
    "of sequence_length tokens (null: 1024, or the model's context where that is shorter), stride apart (null: side by "
    "side), each opened by a token that is not scored"
)


@dataclass(frozen=True)
class Model:
    model_id: str
    label: str
    step: int
    run: Path | None  # folder of the run, None for a base


@dataclass(frozen=True)
class Corpus:
    """A corpus version whose held-out split is scored."""

    name: str
    version: str


@dataclass(frozen=True)
class EvaluationSet:
    eval_id: str
    settings_hash: str
    what: Corpus | PinnedText | PinnedTask


@flow(name="evaluate", on_running=[record_process])
@remembering_failure
def evaluate(config: Config, versions: dict[str, str] | None = None, base: PreparedBase | None = None) -> None:
    """Score the base and the runs that are done on the held-out splits of the corpora."""
    versions = versions or current_versions(config)
    base = base or prepare_base(config, versions)
    evaluate_models(config, versions, base)
    show_trade_off(Workspace(config.workspace), base.model_id)


@task(cache_policy=NO_CACHE)
def evaluate_models(config: Config, versions: Mapping[str, str], base: PreparedBase) -> None:
    logger, workspace = get_run_logger(), Workspace(config.workspace)
    models = _models(config, versions, base, workspace)
    sets = _sets(config, versions, workspace)
    with workspace.lock(f"evaluate-{base.model_id}"), Progress(logger.info) as progress:
        workers = config.resources.reading_workers()
        tokens = partial(ensure_tokens, workspace, tokenizer=base.spec, progress=progress, workers=workers)
        jobs = []
        for model in models:
            missing = [one for one in sets if not _is_recorded(workspace, model, one)]
            if missing:
                jobs.append((model, _job(model, missing, config, base, workspace, tokens, progress)))
        logger.info("%d models on %d sets, %d models to score", len(models), len(sets), len(jobs))
        resources = config.resources
        errors = run_jobs(
            "evaluate",
            [job for _, job in jobs],
            workspace,
            progress,
            processes=resources.training_processes,
            threads=resources.training_threads(),
        )
        for model in models[1:]:
            name_eval_sets(workspace, model.model_id, {one.eval_id: one.settings_hash for one in sets})
        for model, job in jobs:
            if job.label not in errors:
                result = json.loads((job.out / job.spec.last_file).read_text())
                hashes = {one.eval_id: one.settings_hash for one in sets}
                record_evaluation(workspace, model.model_id, model.step, hashes, result)
                shutil.rmtree(job.out)
        refresh_catalog(workspace)
    refuse_failures(errors)


def _models(config: Config, versions: Mapping[str, str], base: PreparedBase, workspace: Workspace) -> list[Model]:
    runs = [run for run in planned_runs(config, versions, base) if is_done(workspace.run(run.run_id))]
    return [
        Model(base.model_id, "base", 0, None),
        *(Model(run.run_id, run.label, config.training.steps, workspace.run(run.run_id)) for run in runs),
    ]


def _sets(config: Config, versions: Mapping[str, str], workspace: Workspace) -> list[EvaluationSet]:
    """Return what the config asks for, each with the hash of its settings; the settings are recorded."""
    plan = config.evaluation
    on_text = text_settings_hash(plan)
    record_settings(workspace, on_text, {"kind": "text", **plan.identity(), "windows": WINDOWS})
    sets = [
        EvaluationSet(_set_id(workspace, name, versions[name]), on_text, Corpus(name, versions[name]))
        for name in config.evaluation_sets()
    ]
    sets += [EvaluationSet(text.eval_id, on_text, text) for text in pin_texts(plan.texts, workspace)]
    for pinned_task in pin_tasks(plan.tasks, plan.task_data, plan.task_items, workspace):
        sets.append(EvaluationSet(pinned_task.eval_id, pinned_task.settings_hash, pinned_task))
    return sets


def text_settings_hash(plan: EvaluationPlan) -> str:
    """Return what tells figures on text from those of other settings."""
    return hash_of(plan.identity(), EVALUATE_STAGE_VERSION, TOKENS_STAGE_VERSION)


def _set_id(workspace: Workspace, name: str, version: str) -> str:
    manifest = read_manifest(workspace.corpus_version(name, version))
    if manifest is None:
        raise InputError(
            f"version {version} of corpus {name} is not in workspace {workspace.root}: run `nr refresh CONFIG`"
        )
    return eval_id(name, manifest["counts"]["content_hash_held_out"])


def _is_recorded(workspace: Workspace, model: Model, one: EvaluationSet) -> bool:
    scope = evaluation_scope(model.model_id, one.eval_id, one.settings_hash)
    return (workspace.records("evaluations") / f"{scope}.parquet").exists()


def _job(
    model: Model,
    sets: list[EvaluationSet],
    config: Config,
    base: PreparedBase,
    workspace: Workspace,
    tokens: Callable[[str, str], Path],
    progress: Progress,
) -> Job:
    spec = EvaluateSpec(
        out=Path(),
        base=base.spec,
        run=model.run,
        sets=[
            HeldOutTokens(
                eval_id=one.eval_id,
                called=one.what.name,
                tokens=_held_out(one.what, base, workspace, tokens, progress),
            )
            for one in sets
            if not isinstance(one.what, PinnedTask)
        ],
        tasks=[one.what.spec for one in sets if isinstance(one.what, PinnedTask)],
        settings=config.evaluation.on_text(),
    )
    return Job(f"evaluation of {model.label}", in_scratch(spec, model.model_id, workspace))


def _held_out(
    what: Corpus | PinnedText,
    base: PreparedBase,
    workspace: Workspace,
    tokens: Callable[[str, str], Path],
    progress: Progress,
) -> Path:
    """Return the folder of a set's token stream, which is made where it is missing."""
    if isinstance(what, PinnedText):
        return text_tokens(workspace, what, base.spec, progress)
    return tokens(what.name, what.version) / "held_out"
