"""One run and its base on tasks, without a config: by our scorer, or by lm-evaluation-harness."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from flows.config.resources import Resources
from flows.steps.jobs import Job, in_scratch, refuse_failures, run_jobs
from flows.steps.progress import Progress
from flows.steps.result_records import (
    evaluation_scope,
    keep_eval_sets,
    record_evaluation,
    record_settings,
    record_task_set,
)
from flows.steps.tasks import PinnedTask, pin_tasks
from nr_core.settings import BaseSpec, EvaluationSettings
from nr_core.specs import EvaluateSpec, HarnessTasks, TaskItems
from pipelines.text.languages import CODE_OF_LABEL, NAME_OF_CODE
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.keys import hash_of
from storage.publish import is_done
from storage.query import Result, find_run, query
from storage.workspace import Workspace

HARNESS_STAGE_VERSION = 1
SHOWN = """SELECT eval_set, language, role, metric, base_value, value, stderr FROM run_evaluations
WHERE run_id = ? AND eval_id IN (SELECT unnest(?)) ORDER BY ALL"""
SETTINGS = EvaluationSettings(sequence_length=512, batch_size=16)


@dataclass(frozen=True)
class Model:
    """The run or its base. folder: of the run, None of the base."""

    model_id: str
    label: str
    step: int
    folder: Path | None


def evaluate_run(
    workspace: Workspace,
    run: str,
    tasks: Sequence[str],
    harness: Literal["own", "lm_eval"],
    task_data: Path,
    items: int | None,
) -> tuple[str, Result]:
    """Score a run and its base on what is not recorded yet; return a title and all that is recorded of the tasks.

    Raises:
        InputError: no such run, or a model could not be scored.
        ModelError: a task's data is not to be had.
    """
    base, models = _models(workspace, run)
    run_id = models[1].model_id
    with workspace.lock(f"evaluate-{models[0].model_id}"), Progress(print) as progress:
        hashes: dict[str, str] = {}
        if harness == "own":
            pinned = pin_tasks(tasks, str(task_data), items, workspace)
            hashes = {task.eval_id: task.settings_hash for task in pinned}
            jobs = _own_jobs(pinned, models, base, workspace)
        else:
            asked = HarnessTasks(tasks=list(tasks), limit=items)
            jobs = [(model, _job(model, base, workspace, harness=asked)) for model in models]
        threads = Resources().training_threads()
        errors = run_jobs("evaluate", [job for _, job in jobs], workspace, progress, processes=1, threads=threads)
        for model, job in jobs:
            if job.label not in errors:
                hashes |= _record(model, job, hashes, items, workspace)
        keep_eval_sets(workspace, run_id, hashes)
        refresh_catalog(workspace)
    refuse_failures(errors)
    return f"run {run_id} and its base", query(workspace, SHOWN, [run_id, list(hashes)])


def _models(workspace: Workspace, run: str) -> tuple[BaseSpec, list[Model]]:
    """Find a finished run, by its id, the beginning of it or its name, and its base."""
    from nr_core.runs.build_on_earlier import base_of_run

    run_id = find_run(workspace, run)
    folder = workspace.run(run_id)
    if not is_done(folder):
        raise InputError(f"run {run_id} is in the catalog, but its folder {folder} is not whole; train it again")
    facts = json.loads((folder / "run.json").read_text())
    base_id = str(query(workspace, "SELECT base_model_id FROM runs WHERE run_id = ?", [run_id]).rows[0][0])
    (step,) = query(workspace, "SELECT max(step) FROM training_steps WHERE run_id = ?", [run_id]).rows[0]
    models = [Model(base_id, "the base", 0, None), Model(run_id, run_id, step or 0, folder)]
    return base_of_run(folder, facts), models


def _own_jobs(
    pinned: Sequence[PinnedTask], models: Sequence[Model], base: BaseSpec, workspace: Workspace
) -> list[tuple[Model, Job]]:
    """Return a job for each model that has not been scored on all of the tasks."""
    jobs = []
    for model in models:
        missing = [
            task for task in pinned if not _is_recorded(workspace, model.model_id, task.eval_id, task.settings_hash)
        ]
        if missing:
            jobs.append((model, _job(model, base, workspace, tasks=[task.spec for task in missing])))
    return jobs


def _job(
    model: Model,
    base: BaseSpec,
    workspace: Workspace,
    tasks: Sequence[TaskItems] = (),
    harness: HarnessTasks | None = None,
) -> Job:
    spec = EvaluateSpec(out=Path(), base=base, run=model.folder, tasks=list(tasks), harness=harness, settings=SETTINGS)
    return Job(f"evaluation of {model.label}", in_scratch(spec, model.model_id, workspace))


def _record(model: Model, job: Job, hashes: dict[str, str], limit: int | None, workspace: Workspace) -> dict[str, str]:
    """Record what a job found; returns the hash of the settings of each set that lm_eval had."""
    result = json.loads((job.out / job.spec.last_file).read_text())
    of_harness = _record_harness_sets(workspace, result, limit) if "harness" in result else {}
    record_evaluation(workspace, model.model_id, model.step, hashes | of_harness, result)
    shutil.rmtree(job.out)
    return of_harness


def _is_recorded(workspace: Workspace, model_id: str, eval_id: str, settings_hash: str) -> bool:
    scope = evaluation_scope(model_id, eval_id, settings_hash)
    return (workspace.records("evaluations") / f"{scope}.parquet").exists()


def _record_harness_sets(workspace: Workspace, result: Any, limit: int | None) -> dict[str, str]:
    hashes = {}
    for task in result["harness"]:
        settings = {"kind": "lm_eval", "version": task["version"], "harness": task["harness"], "limit": limit}
        hashes[task["eval_id"]] = hash_of(settings, HARNESS_STAGE_VERSION)
        record_settings(workspace, hashes[task["eval_id"]], settings)
        name, language = task["name"], language_of(task["name"])
        record_task_set(workspace, task["eval_id"], f"lm_eval/{name}", language, "lm_eval task", task["content_hash"])
    return hashes


def language_of(task: str) -> str:
    """Return ISO 639-3 of a harness task, by the end of its name (arc_hu, belebele_hun_Latn); else English."""
    for part in reversed(re.split(r"[_-]", task)):
        if part in CODE_OF_LABEL and len(part) == 2:
            return CODE_OF_LABEL[part]
        if part in NAME_OF_CODE:
            return part
    return "eng"
