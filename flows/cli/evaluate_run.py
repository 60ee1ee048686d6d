"""One run and its base on tasks, without a config: by our scorer, or by lm-evaluation-harness."""

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from flows.progress import Progress
from flows.recording import (
    evaluation_scope,
    keep_eval_sets,
    record_evaluation,
    record_settings,
    record_task_set,
)
from flows.resources import Resources
from flows.results import find_run
from flows.steps.jobs import Job, refuse_failures, run_jobs
from flows.steps.tasks import pin_tasks
from pipelines.text.languages import CODE_OF_LABEL, NAME_OF_CODE
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.keys import hash_of
from storage.publish import is_done
from storage.query import query
from storage.workspace import Workspace

HARNESS_STAGE_VERSION = 1
SHOWN = """SELECT eval_set, language, role, metric, base_value, value, stderr FROM run_evaluations
WHERE run_id = ? AND eval_id IN (SELECT unnest(?)) ORDER BY ALL"""
BATCH = {"sequence_length": 512, "batch_size": 16}


def evaluate_run(
    workspace: Workspace,
    run: str,
    tasks: Sequence[str],
    harness: Literal["own", "lm_eval"],
    task_data: Path,
    items: int | None,
) -> None:
    """Score a run and its base on what is not recorded yet, and show it.

    Raises:
        InputError: no such run, or a model could not be scored.
        ModelError: a task's data is not to be had.
    """
    run_id = find_run(workspace, run)
    folder = workspace.run(run_id)
    if not is_done(folder):
        raise InputError(f"run {run_id} is in the catalog, but its folder {folder} is not whole; train it again")
    facts = json.loads((folder / "run.json").read_text())
    base_id = str(query(workspace, "SELECT base_model_id FROM runs WHERE run_id = ?", [run_id]).rows[0][0])
    (step,) = query(workspace, "SELECT max(step) FROM training_steps WHERE run_id = ?", [run_id]).rows[0]
    with workspace.lock(f"evaluate-{base_id}"), Progress(print) as progress:
        wanted: dict[str, Any] = {}
        hashes: dict[str, str] = {}
        if harness == "own":
            pinned = pin_tasks(tasks, str(task_data), items, workspace)
            hashes = {task.eval_id: task.settings_hash for task in pinned}
            kinds = {task.eval_id: {"kind": task.settings.kind, "items": str(task.items)} for task in pinned}
        else:
            wanted = {"harness": {"tasks": list(tasks), "limit": items}}
        jobs = []
        for model_id, path in ((base_id, None), (run_id, folder)):
            if harness == "own":
                missing = [one for one in hashes if not _is_recorded(workspace, model_id, one, hashes[one])]
                wanted = {"tasks": [{"eval_id": one, **kinds[one]} for one in missing]}
                if not missing:
                    continue
            spec = {"base": facts["base"], "run": str(path) if path else None, "settings": BATCH, **wanted}
            out = workspace.scratch(f"evaluation-{model_id}-{hash_of(spec)}")
            label = f"evaluation of {'the base' if path is None else run_id}"
            jobs.append((model_id, 0 if path is None else step or 0, Job(label, {"out": str(out), **spec})))
        threads = Resources().training_threads()
        errors = run_jobs("evaluate", [job for _, _, job in jobs], workspace, progress, processes=1, threads=threads)
        for model_id, at, job in jobs:
            if job.label not in errors:
                result = json.loads((job.out / "evaluation.json").read_text())
                if harness == "lm_eval":
                    hashes |= _record_harness_sets(workspace, result, items)
                record_evaluation(workspace, model_id, at, hashes, result)
                shutil.rmtree(job.out)
        keep_eval_sets(workspace, run_id, hashes)
        refresh_catalog(workspace)
    refuse_failures(errors)
    from flows.cli.table import print_table

    print_table(query(workspace, SHOWN, [run_id, list(hashes)]), f"run {run_id} and its base")


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
    """ISO 639-3 of a harness task, by the end of its name (arc_hu, belebele_hun_Latn); else English."""
    for part in reversed(re.split(r"[_-]", task)):
        if part in CODE_OF_LABEL and len(part) == 2:
            return CODE_OF_LABEL[part]
        if part in NAME_OF_CODE:
            return part
    return "eng"
