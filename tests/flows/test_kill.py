"""Killed or interrupted at random moments, the same command gives the corpora and figures of an undisturbed run.

NR_KILLS sets how many times (2 in CI; 20 were seen to pass). The victim is drawn from the flow's process and all that
it started: pool workers, trainings, the evaluation.
"""

import contextlib
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
LONGEST_WAIT = 20.0  # seconds from the flow's begin to the kill: data, base, methods and some of the evaluation
FIGURES = """SELECT e.model_id, s.name, e.metric, e.value, e.n FROM evaluations e JOIN eval_sets s USING (eval_id)
ORDER BY ALL"""
CORPORA = "SELECT name, version, documents, characters FROM corpora ORDER BY ALL"
STEPS = "SELECT run_id, step, lm_loss, local_loss FROM training_steps ORDER BY ALL"


def start(workspace: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from flows.cli import main; main()", "run", str(TINY)]
    options = ["--set", f"workspace={workspace}", "--set", "training.checkpoint_every=1"]
    with log.open("wb") as stream:
        return subprocess.Popen(command + options, cwd=log.parent, stdout=stream, stderr=stream, start_new_session=True)


def finish(workspace: Path, log: Path) -> None:
    process = start(workspace, log)
    assert process.wait(timeout=400) == 0, log.read_text()[-4000:]


def kill_at_random(process: subprocess.Popen[bytes], log: Path, chance: random.Random) -> str | None:
    """Wait until the flow has begun, then for a random time; return whom it hit, None if the flow had ended before."""
    while b"Beginning flow run" not in log.read_bytes() and process.poll() is None:
        time.sleep(0.05)
    deadline = time.monotonic() + chance.uniform(0, LONGEST_WAIT)
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    if process.poll() is not None:
        return None
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
    undisturbed, disturbed, log = tmp_path / "undisturbed", tmp_path / "disturbed", tmp_path / "log"
    finish(undisturbed, log)
    chance = random.Random(int(os.environ.get("NR_SEED", "0")))
    hit = []
    for _ in range(KILLS):
        process = start(disturbed, log)
        try:
            hit.append(kill_at_random(process, log, chance))
            print("killed", hit[-1], flush=True)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # Prefect's temporary server outlives a killed flow
    assert any(hit)
    finish(disturbed, log)
    for sql in (CORPORA, FIGURES, STEPS):
        expected = query(Workspace(undisturbed), sql).rows
        assert expected and query(Workspace(disturbed), sql).rows == expected
    leftovers = [path for path in disturbed.rglob("*.partial*") if "private" not in path.parts]
    assert leftovers == []
