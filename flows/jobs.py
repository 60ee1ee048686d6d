"""Starts long torch work as `python -m nr_core COMMAND SPEC...` and relays what it says."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.progress import Progress
from storage.atomic import write_atomically
from storage.errors import InputError
from storage.keys import hash_of
from storage.publish import publish_folder, resumable_partial, write_manifest
from storage.workspace import Workspace

# What a finished job leaves in its folder, written last.
LAST_FILE = {"pretrain": "model.json", "train": "run.json", "evaluate": "evaluation.json"}

# glibc gives large blocks back to the kernel after each use and faults them in again: 20 % of a small CPU training.
MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "536870912",
}

# The libraries' own progress bars and advice: ours are the ones that people are to see.
QUIET = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONWARNINGS": "ignore::FutureWarning",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Job:
    """One spec of `python -m nr_core` (its `out` is the folder to fill) and what progress lines call it."""

    label: str
    spec: Mapping[str, Any]

    @property
    def out(self) -> Path:
        return Path(self.spec["out"])


def run_jobs(
    command: str, jobs: Sequence[Job], workspace: Workspace, progress: Progress, *, processes: int, threads: int
) -> dict[str, str]:
    """Run jobs in `processes` processes side by side; return the error sentence of each that failed, by label.

    A process takes several jobs, since importing torch takes seconds; when one fails, the others go on in a new one.
    """
    lanes = [list(jobs[lane::processes]) for lane in range(min(processes, len(jobs)))]
    errors: dict[str, str] = {}
    with ThreadPoolExecutor(max_workers=max(1, len(lanes))) as pool:
        for lane_errors in pool.map(lambda lane: _run_lane(command, lane, workspace, progress, threads), lanes):
            errors.update(lane_errors)
    return errors


def _run_lane(command: str, jobs: list[Job], workspace: Workspace, progress: Progress, threads: int) -> dict[str, str]:
    errors: dict[str, str] = {}
    waiting = jobs
    while waiting:
        told, crash = _run_process(command, waiting, workspace, progress, threads)
        errors.update(told)
        waiting = [job for job in waiting if job.label not in errors and not (job.out / LAST_FILE[command]).exists()]
        if waiting:
            # Jobs run in order: the first without a result is the one that took the process with it.
            errors[waiting[0].label] = crash
            waiting = waiting[1:]
    return errors


def _run_process(
    command: str, jobs: list[Job], workspace: Workspace, progress: Progress, threads: int
) -> tuple[dict[str, str], str]:
    """Returns the errors that the process told, by label, and what to say of a job that it left without a word."""
    specs = []
    for job in jobs:
        path = workspace.job_spec(hash_of(command, job.spec))
        write_atomically(path, json.dumps({**job.spec, "label": job.label, "threads": threads}, indent=1))
        specs.append(str(path))
    arguments = [sys.executable, "-m", "nr_core", command, *specs]
    environment = {**os.environ, **MALLOC, **QUIET, "OMP_NUM_THREADS": str(threads)}
    errors: dict[str, str] = {}
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    ) as process:
        try:
            for event in _events(process, progress):
                errors[str(event["label"])] = str(event["message"])
        except BaseException:
            process.terminate()  # a cancelled flow: the job saves a checkpoint and ends
            raise
    if process.returncode < 0:
        return errors, f"{command} was ended by signal {-process.returncode} (9 is often the kernel short of memory)"
    return errors, f"{command} ended with exit code {process.returncode} and no result; its log lines say more"


def _events(process: subprocess.Popen[str], progress: Progress) -> Iterator[Mapping[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        try:
            event = json.loads(line) if line.startswith('{"event"') else None
        except ValueError:
            event = None
        if event is None and line.strip():
            progress.line(line.rstrip())
        elif event is None:
            continue
        elif event["event"] == "progress":
            progress.update(event)
        elif event["event"] == "error":
            yield event


def publish_job(folder: Path, *, step: str, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Give what a finished job left beside `folder` its manifest and its place; its checkpoints have served."""
    partial = resumable_partial(folder)
    shutil.rmtree(partial / "checkpoints", ignore_errors=True)
    (partial / ".lock").unlink(missing_ok=True)
    write_manifest(partial, step=step, key=folder.name, inputs=inputs, settings=settings, counts={})
    publish_folder(partial, folder)


def refuse_failures(errors: Mapping[str, str]) -> None:
    """Raise one sentence for what failed; what succeeded has been recorded by then."""
    if errors:
        raise InputError("; ".join(f"{label}: {message}" for label, message in errors.items()))
