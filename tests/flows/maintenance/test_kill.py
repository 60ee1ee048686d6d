"""Killed or interrupted in any stage, the same command gives the corpora and figures of an undisturbed run.

The matrix is who is hit by stage. CELLS of it are gone through here, all of it by `make test-kill` (NR_KILL_ALL=1),
with NR_KILLS further kills at random moments. A secret of the environment is looked for in all that was written.
"""

import contextlib
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from flows.maintenance.gc import Keep, find_waste, remove
from storage.query import query
from storage.workspace import Workspace

LONGEST_WAIT = 20.0  # seconds from the flow's begin to a random kill: data, base, methods and some of the evaluation
SOON = 1.0  # seconds within a stage before the kill
SECRET = "s3cret-canary-of-the-environment"
FIGURES = """SELECT e.model_id, s.name, e.metric, e.value, e.n FROM evaluations e JOIN eval_sets s USING (eval_id)
ORDER BY ALL"""
CORPORA = "SELECT name, version, documents, characters FROM corpora ORDER BY ALL"
STEPS = "SELECT run_id, step, lm_loss, local_loss FROM training_steps ORDER BY ALL"

# A stage is under way when its process runs, or when its line stands in the log.
PROCESSES = {
    "reading": r"pipelines\.worker",
    "pretraining": r"nr_core pretrain",
    "training": r"nr_core train",
    "evaluation": r"nr_core evaluate",
}
LINES = {"corpora": rb"Task run 'publish-corpus", "report": rb"Task run 'report"}
STAGES = ("reading", "corpora", "pretraining", "training", "evaluation", "report")
# flow: kill -9; interrupt: Ctrl-C at a terminal; child: the process that does the stage's work; server: Prefect's.
WHO = ("flow", "interrupt", "child", "server")
MATRIX = [cell for cell in itertools.product(WHO, STAGES) if cell[0] != "child" or cell[1] in PROCESSES]
# A hit that the flow bears comes last: after it a workspace has no later stage, and the next would begin from nothing.
CELLS = [("flow", "reading"), ("flow", "corpora"), ("flow", "training"), ("child", "evaluation")]


def start(workspace: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from flows.cli import main; main()", "run", "study.yaml"]
    options = ["--set", f"workspace={workspace}", "--set", "training.checkpoint_every=1"]
    everything = {**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET, "HF_TOKEN": SECRET}
    with log.open("wb") as stream:
        return subprocess.Popen(
            command + options, cwd=log.parent, env=everything, stdout=stream, stderr=stream, start_new_session=True
        )


def finish(workspace: Path, log: Path) -> None:
    process = start(workspace, log)
    assert process.wait(timeout=500) == 0, log.read_text()[-4000:]


def in_stage(process: subprocess.Popen[bytes], log: Path, stage: str) -> psutil.Process | None:
    """Wait until a stage is under way; return the process that does its work, the flow where that does it itself."""
    flow = psutil.Process(process.pid)
    while process.poll() is None:
        if stage in LINES:
            if re.search(LINES[stage], log.read_bytes()):
                return flow
        else:
            for child in children(flow):
                if re.search(PROCESSES[stage], command_of(child)):
                    return child
        time.sleep(0.02)
    return None


def children(flow: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return flow.children(recursive=True)
    return []


def command_of(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return " ".join(process.cmdline())
    return ""


def is_server(process: psutil.Process) -> bool:
    return "flows.services.temporary_server" in command_of(process)


def hit(process: psutil.Process, who: str, flow: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
        if who == "interrupt":
            os.killpg(flow.pid, signal.SIGINT)
        elif who == "server":
            for child in children(psutil.Process(flow.pid)):
                if is_server(child):
                    child.kill()
        elif who == "flow":
            flow.kill()
        else:
            process.kill()


def disturb(workspace: Path, log: Path, who: str, stage: str, wait: float) -> str:
    """Start the flow, hit `who` in `stage`, and wait until all that was started has gone."""
    process = start(workspace, log)
    try:
        worker = in_stage(process, log, stage)
        if worker is None:
            return "the stage was done already"
        time.sleep(wait)
        started = children(psutil.Process(process.pid))
        hit(worker, who, process)
        code = process.wait(timeout=500)
        for left in started:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.wait(timeout=90)  # what the flow started ends by itself when the flow is gone
        return f"exit code {code}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what did not end as it should


def disturb_at_random(workspace: Path, log: Path, chance: random.Random) -> tuple[str | None, int]:
    """Who was hit, None where the flow had ended before, and the flow's exit code."""
    process = start(workspace, log)
    try:
        while b"Beginning flow run" not in log.read_bytes() and process.poll() is None:
            time.sleep(0.05)
        deadline = time.monotonic() + chance.uniform(0, LONGEST_WAIT)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        if process.poll() is not None:
            return None, process.returncode
        victim = chance.choice([psutil.Process(process.pid), *children(psutil.Process(process.pid))])
        name = " ".join(command_of(victim).split()[1:4])
        hit(victim, "interrupt" if chance.random() < 0.25 else "child", process)
        return name, process.wait(timeout=500)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def written(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.mark.timeout(7200)
def test_killed_in_any_stage_the_same_command_gives_the_same_result(finished_study, tmp_path, prefect_home):
    prefect_home(tmp_path / ".prefect")
    undisturbed, disturbed, log = finished_study / "workspace", tmp_path / "disturbed", tmp_path / "log"
    for file in (path for path in finished_study.iterdir() if path.is_file()):
        shutil.copy(file, tmp_path)
    chance = random.Random(int(os.environ.get("NR_SEED", "0")))
    cells = MATRIX if os.environ.get("NR_KILL_ALL") else CELLS
    for number, ((who, stage), following) in enumerate(zip(cells, [*cells[1:], None], strict=True)):
        outcome = disturb(disturbed, log, who, stage, chance.uniform(0, SOON))
        print(f"{who:>9} in {stage:<11} {outcome}", flush=True)
        # One workspace goes on from stage to stage, until a hit is borne, or there is no later stage to hit.
        if outcome == "exit code 0" or following is None or STAGES.index(following[1]) < STAGES.index(stage):
            finish(disturbed, log)
            assert_same(undisturbed, disturbed)
            disturbed = tmp_path / f"disturbed-after-{number}"
    kills, attempts = int(os.environ.get("NR_KILLS", "0")), itertools.count()
    while kills:
        name, code = disturb_at_random(disturbed, log, chance)
        if name is not None:
            print(f"at random: {name}, exit code {code}", flush=True)
            kills -= 1
        if name is None or code == 0 or not kills:
            finish(disturbed, log)
            assert_same(undisturbed, disturbed)
            disturbed = tmp_path / f"disturbed-at-random-{next(attempts)}"
    assert not [path for path in written(tmp_path) if SECRET.encode() in path.read_bytes()]


def assert_same(undisturbed: Path, disturbed: Path) -> None:
    for sql in (CORPORA, FIGURES, STEPS):
        expected = query(Workspace(undisturbed), sql).rows
        assert expected and query(Workspace(disturbed), sql).rows == expected
    # A folder that was not finished goes when the step is taken again, a small file by `nr gc`.
    leftovers = [path for path in disturbed.rglob(".*.partial") if "private" not in path.parts]
    assert all(path.is_file() for path in leftovers), leftovers
    remove(find_waste(Workspace(disturbed), Keep(days=0)), Workspace(disturbed))
    assert list(disturbed.rglob(".*.partial")) == []
