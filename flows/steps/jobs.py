"""Starts long torch work as `python -m nr_core COMMAND SPEC...` and relays what it says."""

import contextvars
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from flows.steps.progress import Progress
from nr_core.specs import JOBS, JobSpec
from pipelines.workers.child_processes import python_environment, relay_line
from storage.errors import InputError
from storage.files import write_atomically
from storage.keys import hash_of
from storage.publish import Manifest, make_once
from storage.workspace import Workspace

logger = logging.getLogger(__name__)
Spec = TypeVar("Spec", bound=JobSpec)

# glibc gives large blocks back to the kernel after each use and faults them in again: 20 % of a small CPU training. So
# blocks below 32 MB (the most that glibc takes) are kept; above, what is kept would be cut up by smaller blocks: pieces
# of logits of 67 MB once grew an evaluation from 2.8 to 5.9 GB.
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "67108864",
}

# The libraries' own progress bars and advice: ours are the ones that people are to see.
QUIET = {
    "PYTHONUNBUFFERED": "1",
    # PEFT's is of a base that is a GGUF file, whose vocabulary it would look up in a config.json.
    "PYTHONWARNINGS": "ignore::FutureWarning,ignore:Could not find a config file:UserWarning",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


HERE = [sys.executable, "-P", "-m"]  # a job in one process of this machine


@dataclass(frozen=True)
class Job:
    """One spec of `python -m nr_core` (its `out` is the folder to fill) and what progress lines call it."""

    label: str
    spec: JobSpec

    @property
    def out(self) -> Path:
        return self.spec.out

    @property
    def is_finished(self) -> bool:
        return (self.out / self.spec.last_file).is_file()


def run_jobs(
    command: str,
    jobs: Sequence[Job],
    workspace: Workspace,
    progress: Progress,
    *,
    processes: int,
    threads: int,
    devices: int = 1,
    launcher: str | None = None,
) -> dict[str, str]:
    """Run jobs in `processes` processes side by side; return the error sentence of each that failed, by label.

    A process takes several jobs, since importing torch takes seconds; when one takes its process with it, the others
    go on in a new one. devices: of each job, by torchrun, where more than one; launcher: what starts a job on several
    machines instead. An interrupt or cancellation of the flow stops them all, each after a checkpoint.
    """
    start = _start(devices, launcher)
    lanes = [
        _Lane(command, list(jobs[lane::processes]), workspace, progress, threads, start) for lane in range(processes)
    ]
    with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        # Each in a copy of this context: whose log their lines go to, a Prefect run's, stands in it.
        running = [pool.submit(contextvars.copy_context().run, lane.run) for lane in lanes]
        try:
            results = [lane.result() for lane in running]
        except BaseException:  # an interrupt, or a cancellation by Prefect, is none of Exception
            for lane in lanes:
                lane.stop()
            raise
    return {label: error for errors in results for label, error in errors.items()}


class _Lane:
    """Some jobs one after the other, in one process where none breaks it."""

    def __init__(
        self, command: str, jobs: list[Job], workspace: Workspace, progress: Progress, threads: int, start: list[str]
    ) -> None:
        self._command, self._jobs, self._workspace, self._progress = command, jobs, workspace, progress
        self._threads, self._start = threads, start
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> dict[str, str]:
        errors: dict[str, str] = {}
        waiting = self._jobs
        while waiting and not self._stopped.is_set():
            # Of several devices, one that fails ends the others with it: a job at a time.
            batch = waiting if self._start == HERE else waiting[:1]
            told, crash = self._run_process(batch)
            errors.update(told)
            left = [job for job in batch if job.label not in errors and not job.is_finished]
            if left:
                # Jobs run in order: the first without a result is the one that took the process with it.
                errors[left[0].label] = crash
            waiting = [job for job in waiting if job.label not in errors and not job.is_finished]
        return errors

    def stop(self) -> None:
        self._stopped.set()
        if self._process is not None:
            self._process.terminate()

    def _run_process(self, jobs: list[Job]) -> tuple[dict[str, str], str]:
        """Return the errors that the process told, by label, and what to say of a job that it left without a word."""
        specs = []
        for job in jobs:
            path = self._workspace.job_spec(hash_of(self._command, job.spec.model_dump(mode="json")))
            spec = job.spec.model_copy(update={"label": job.label, "threads": self._threads})
            write_atomically(path, spec.model_dump_json(indent=1))
            specs.append(str(path))
        errors: dict[str, str] = {}
        with subprocess.Popen(
            [*self._start, "nr_core", self._command, *specs],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **python_environment(), **MALLOC, **QUIET, "OMP_NUM_THREADS": str(self._threads)},
            start_new_session=True,  # an interrupt at the terminal reaches the flow, which stops the job in order
        ) as self._process:
            source = f"{self._command} process {self._process.pid}"
            for event in _events(self._process, source, self._progress, self._stopped):
                errors[str(event["label"])] = str(event["message"])
        code = self._process.returncode
        if code < 0:
            return errors, f"{self._command} was ended by signal {-code} (9 is often the kernel short of memory)"
        return errors, f"{self._command} ended with exit code {code} and no result; its log lines say more"


def _start(devices: int, launcher: str | None) -> list[str]:
    if launcher is not None:
        program, *options = shlex.split(launcher)
        if shutil.which(program) is None:
            raise InputError(f"resources.launcher: there is no program {program} on this machine; give a command of it")
        return [program, *options, "-m"]
    if devices == 1:
        return HERE
    return [*HERE, "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices), "-m"]


def _events(
    process: subprocess.Popen[str], source: str, progress: Progress, stopped: threading.Event
) -> Iterator[Mapping[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        if stopped.is_set():
            continue  # after an interrupt Prefect's server may be gone as well, and each word to it takes a minute
        try:
            event = json.loads(line) if line.startswith('{"event"') else None
        except ValueError:
            event = None
        if event is None and line.strip():
            relay_line(line, source, logger)
        elif event is None:
            continue
        elif event["event"] == "progress":
            progress.update(event)
        elif event["event"] == "error":
            yield event


def in_scratch(spec: Spec, model_id: str, workspace: Workspace) -> Spec:
    """Give an evaluation a scratch folder that is named by all that bears on it."""
    return spec.model_copy(update={"out": workspace.scratch(f"evaluation-{model_id}-{hash_of(spec.identity())}")})


def publish_job(folder: Path, *, step: str, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Give what a finished job left beside `folder` its manifest and its place; its checkpoints have served."""

    def tidy(partial: Path) -> Manifest:
        if not (partial / JOBS[step].last_file).is_file():
            raise InputError(f"{partial} holds no finished {step} job: run the same command again")
        shutil.rmtree(partial / "checkpoints", ignore_errors=True)
        (partial / ".lock").unlink(missing_ok=True)
        return Manifest(step, folder.name, inputs, settings)

    make_once(folder, tidy, nullcontext(), resumable=True)  # the caller holds the lock while its jobs run


def refuse_failures(errors: Mapping[str, str]) -> None:
    """Raise one sentence for what failed; what succeeded has been recorded by then."""
    if errors:
        raise InputError("; ".join(f"{label}: {message}" for label, message in errors.items()))
