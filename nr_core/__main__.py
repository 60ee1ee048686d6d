"""`python -m nr_core pretrain|train|evaluate|sample SPEC.json ...`: long torch work in a process of its own.

Each spec is one job (nr_core.specs). Progress and errors are JSON lines on stdout; anything else is a log line. A job
that is finished returns at once; one that was cut off goes on from its last checkpoint. Exit code 2: a job could not be
done, for the reason its error line gives (the other specs are still run); 143: stopped by SIGTERM or with the parent,
after a checkpoint, or while it was loading.

On several devices: `torchrun --standalone --nproc-per-node N -m nr_core train SPEC.json`. The first process owns the
folder and reports; the others follow it.
"""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nr_core import stopping
from nr_core.errors import ModelError
from nr_core.files import write_json
from nr_core.imports import without_collecting
from nr_core.progress import Progress
from nr_core.specs import JOBS, JobSpec, first_problem


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m nr_core", description="Pretrain, train and evaluate by spec.")
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("specs", nargs="+", type=Path, metavar="SPEC.json")
    chosen = parser.parse_args(arguments)
    stopping.listen()
    results = [_run(chosen.job, path) for path in chosen.specs]
    if "WORLD_SIZE" in os.environ:
        from nr_core.training.distributed import leave

        leave()
    return 0 if all(results) else 2


def _run(job: str, path: Path) -> bool:
    """Run one job: True where it is done, False after telling what is wrong."""
    spec_class = JOBS[job]
    progress = Progress(job, path.stem, spec_class.unit)
    try:
        spec = _read(spec_class, path)
        progress.label = spec.label or spec.out.name
        stopping.begin()
        if "WORLD_SIZE" in os.environ:
            _work_with_others(job, spec, progress)
            return True
        with _owning(spec):
            if not (spec.out / spec.last_file).is_file():
                _work(job, spec, progress)
        return True
    except ModelError as error:
        progress.error(str(error))
    except Exception as error:
        if not _disk_is_full(error):
            raise
        progress.error(f"No space is left on the disk for {spec.out}; free some, and start the same command again.")
    return False


def _read(spec_class: type[JobSpec], path: Path) -> Any:
    try:
        return spec_class.model_validate(json.loads(path.read_text()))
    except ValidationError as error:
        raise ModelError(f"{path}: {first_problem(error)}.") from error
    except (OSError, ValueError, RecursionError) as error:  # ValidationError is a ValueError too
        raise ModelError(f"{path} is no readable JSON spec: {error}.") from error


@contextmanager
def _owning(spec: JobSpec) -> Iterator[None]:
    """Hold the out folder: two processes never train in one. A second one waits, then finds the job done or goes on."""
    spec.out.mkdir(parents=True, exist_ok=True)
    with open(spec.out / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            Progress.log(f"waiting for another process that works on {spec.out}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        begun = spec.out / "spec.json"
        home = str(spec.out.absolute().parent.parent)
        identity = _named_from(home, spec.identity())
        if not begun.is_file():
            write_json(begun, identity)
        elif _named_from(home, _begun_with(begun)) != identity:
            raise ModelError(f"{spec.out} was begun with other settings; give another folder, or delete that one.")
        yield


def _named_from(home: str, content: Any) -> Any:
    """Return JSON content whose paths below `home` are relative to it: what is moved as a whole goes on."""
    if isinstance(content, dict):
        return {name: _named_from(home, value) for name, value in content.items()}
    if isinstance(content, list):
        return [_named_from(home, value) for value in content]
    return content.removeprefix(f"{home}/") if isinstance(content, str) else content


def _begun_with(begun: Path) -> Any:
    try:
        return json.loads(begun.read_bytes())
    except ValueError as error:
        raise ModelError(
            f"{begun} is damaged, as by a power cut: delete it, and the same command goes on from its last checkpoint."
        ) from error


def _work_with_others(job: str, spec: JobSpec, progress: Progress) -> None:
    """Let the first process look whether there is work, for all: by the time another looked, it might have changed."""
    from nr_core.training.distributed import ranks

    joined = ranks()
    if job != "train" and joined.count > 1:
        raise ModelError(f"{job} runs on one device; start it without torchrun.")
    if not joined.is_main:
        progress.silence()
    with _owning(spec) if joined.is_main else nullcontext():
        done = joined.agree((spec.out / spec.last_file).is_file() if joined.is_main else None)
        if not done:
            _work(job, spec, progress)
        joined.wait()


def _work(job: str, spec: Any, progress: Progress) -> None:
    """Do the work, imported late: torch takes seconds, and a finished job does not need it."""
    with without_collecting():
        import torch
        from transformers.utils.logging import disable_progress_bar

        from nr_core.evaluation.evaluate import evaluate
        from nr_core.generation.own_text import sample_tokens
        from nr_core.training.pretrain import pretrain
        from nr_core.training.train import train

    disable_progress_bar()  # its bars would be log lines of whoever reads ours
    torch.set_num_threads(spec.threads)
    functions: dict[str, Callable[[Any, Progress], None]] = {
        "pretrain": pretrain,
        "train": train,
        "evaluate": evaluate,
        "sample": sample_tokens,
    }
    functions[job](spec, progress)


def _disk_is_full(error: BaseException) -> bool:
    """Tell whether the disk is full: safetensors reports the system's error as text of its own exception.

    (storage.errors has one for the other packages, of which nr_core imports nothing.)
    """
    return getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error)


if __name__ == "__main__":
    sys.exit(main())
