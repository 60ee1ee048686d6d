"""Killed or interrupted at random moments, the same command gives the corpora and figures of an undisturbed run.

NR_KILLS sets how many times (2 in CI; 20 were seen to pass). The victim is drawn from the flow's process and all that
it started: pool workers, trainings, the evaluation.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from storage.query import query
from storage.workspace import Workspace

TINY = Path(__file__).parent / "tiny.yaml"
KILLS = int(os.environ.get("NR_KILLS", "2"))
LONGEST_WAIT = 25.0  # seconds from the first file in the workspace to the kill: data, base, methods and evaluation
FIGURES = """SELECT e.model_id, s.name, e.metric, e.value, e.n FROM evaluations e JOIN eval_sets s USING (eval_id)
ORDER BY ALL"""
CORPORA = "SELECT name, version, documents, characters FROM corpora ORDER BY ALL"
STEPS = "SELECT run_id, step, lm_loss, local_loss FROM training_steps ORDER BY ALL"


def start(workspace: Path, cwd: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from flows.cli import main; main()", "run", str(TINY)]
    options = ["--set", f"workspace={workspace}", "--set", "training.checkpoint_every=1"]
    with (cwd / "log").open("ab") as log:
        return subprocess.Popen(command + options, cwd=cwd, stdout=log, stderr=log, start_new_session=True)


def finish(workspace: Path, cwd: Path) -> None:
    process = start(workspace, cwd)
    assert process.wait(timeout=400) == 0, (cwd / "log").read_text()[-4000:]


def kill_at_random(process: subprocess.Popen[bytes], workspace: Path, chance: random.Random) -> str:
    while not (workspace / "workspace.json").exists() and process.poll() is None:
        time.sleep(0.05)
    deadline = time.monotonic() + chance.uniform(0, LONGEST_WAIT)
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    if process.poll() is not None:
        return "nothing: the run had ended"
    flow = psutil.Process(process.pid)
    # Prefect's own temporary server is not ours to survive without.
    ours = [flow, *(child for child in flow.children(recursive=True) if not _is_server(child))]
    if chance.random() < 0.25:
        name = "nothing: interrupted, as at a terminal"
        os.killpg(process.pid, signal.SIGINT)
    else:
        victim = chance.choice(ours)
        name = " ".join(victim.cmdline()[1:4])
        victim.kill()
    process.wait(timeout=400)
    for left in ours[1:]:
        left.wait(timeout=90)  # what the flow started ends by itself when the flow is gone
    return name


def _is_server(process: psutil.Process) -> bool:
    return "prefect.server" in " ".join(process.cmdline())


@pytest.mark.deployment
def test_killed_at_random_moments_the_same_command_gives_the_same_result(tmp_path):
    undisturbed, disturbed = tmp_path / "undisturbed", tmp_path / "disturbed"
    finish(undisturbed, tmp_path)
    chance = random.Random(int(os.environ.get("NR_SEED", "0")))
    for _ in range(KILLS):
        process = start(disturbed, tmp_path)
        try:
            print("killed", kill_at_random(process, disturbed, chance), flush=True)
        finally:
            os.killpg(process.pid, 9) if psutil.pid_exists(process.pid) else None
    finish(disturbed, tmp_path)
    for sql in (CORPORA, FIGURES, STEPS):
        expected = query(Workspace(undisturbed), sql).rows
        assert expected and query(Workspace(disturbed), sql).rows == expected
    leftovers = [path for path in disturbed.rglob("*.partial*") if "private" not in path.parts]
    assert leftovers == []
