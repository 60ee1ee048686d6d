"""Flow evaluate: the base and every run on every held-out set, each once."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from flows.artifacts import show_trade_off
from flows.base import PreparedBase, prepare_base
from flows.config import Config
from flows.corpora import current_versions
from flows.jobs import Job, refuse_failures, run_jobs
from flows.progress import Progress
from flows.recording import eval_id, evaluation_scope, record_evaluation
from flows.tokens import TOKENS_STAGE_VERSION, ensure_tokens
from flows.train import planned_runs
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.keys import hash_of
from storage.publish import is_done, read_manifest
from storage.records import write_records
from storage.workspace import Workspace

EVALUATE_STAGE_VERSION = 1


@dataclass(frozen=True)
class Model:
    model_id: str
    label: str
    step: int
    run: Path | None  # folder of the run, None for a base


@flow(name="evaluate")
def evaluate(config: Config, versions: dict[str, str] | None = None, base: PreparedBase | None = None) -> None:
    """Score the base and the runs that are done on the held-out sides of the corpora."""
    versions = versions or current_versions(config)
    base = base or prepare_base(config, versions)
    evaluate_models(config, versions, base)
    show_trade_off(Workspace(config.workspace), base.model_id)


@task(cache_policy=NO_CACHE)
def evaluate_models(config: Config, versions: Mapping[str, str], base: PreparedBase) -> None:
    logger, workspace = get_run_logger(), Workspace(config.workspace)
    content = config.evaluation.model_dump(mode="json", exclude={"sets", "batch_size"})
    settings_hash = hash_of(content, EVALUATE_STAGE_VERSION, TOKENS_STAGE_VERSION)
    versions_by_set = {name: versions[name] for name in config.evaluation_sets()}
    set_ids = {name: _set_id(workspace, name, version) for name, version in versions_by_set.items()}
    models = _models(config, versions, base, workspace)
    with workspace.lock(f"evaluate-{base.model_id}"), Progress(logger.info) as progress:
        workers = config.resources.reading_workers()
        tokens = partial(ensure_tokens, workspace, tokenizer=base.spec, progress=progress, workers=workers)
        jobs = []
        for model in models:
            missing = [
                name for name in versions_by_set if not _is_recorded(workspace, model, set_ids[name], settings_hash)
            ]
            if missing:
                sets = [
                    {
                        "eval_id": set_ids[name],
                        "tokens": str(tokens(name, versions_by_set[name]) / "held_out"),
                    }
                    for name in missing
                ]
                jobs.append((model, _job(model, sets, config, base, workspace)))
        logger.info("%d models on %d sets, %d models to score", len(models), len(set_ids), len(jobs))
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
            named = [{"run_id": model.model_id, "eval_id": set_id} for set_id in set_ids.values()]
            write_records(workspace, "run_eval_sets", model.model_id, named)
        for model, job in jobs:
            if job.label not in errors:
                result = json.loads((job.out / "evaluation.json").read_text())
                record_evaluation(workspace, model.model_id, model.step, settings_hash, result)
                shutil.rmtree(job.out)
        refresh_catalog(workspace)
    refuse_failures(errors)


def _models(config: Config, versions: Mapping[str, str], base: PreparedBase, workspace: Workspace) -> list[Model]:
    runs = [run for run in planned_runs(config, versions, base) if is_done(workspace.run(run.run_id))]
    return [
        Model(base.model_id, "base", 0, None),
        *(Model(run.run_id, run.label, config.training.steps, workspace.run(run.run_id)) for run in runs),
    ]


def _set_id(workspace: Workspace, name: str, version: str) -> str:
    manifest = read_manifest(workspace.corpus_version(name, version))
    if manifest is None:
        raise InputError(
            f"version {version} of corpus {name} is not in workspace {workspace.root}: run `nr refresh CONFIG`"
        )
    return eval_id(name, manifest["counts"]["content_hash_held_out"])


def _is_recorded(workspace: Workspace, model: Model, set_id: str, settings_hash: str) -> bool:
    scope = evaluation_scope(model.model_id, set_id, settings_hash)
    return (workspace.records("evaluations") / f"{scope}.parquet").exists()


def _job(model: Model, sets: list[dict[str, str]], config: Config, base: PreparedBase, workspace: Workspace) -> Job:
    spec = {
        "base": base.spec.model_dump(mode="json"),
        "run": str(model.run) if model.run else None,
        "sets": sets,
        "settings": config.evaluation.model_dump(mode="json", exclude={"sets"}),
    }
    out = workspace.scratch(f"evaluation-{model.model_id}-{hash_of(spec)}")
    return Job(f"evaluation of {model.label}", {"out": str(out), **spec})
