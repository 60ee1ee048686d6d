"""Processes started in a session of their own and known by their number: whether they run, and how they are ended."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil


def runs_prefect(pid: int) -> bool:
    """Tell whether the process is still the one that was started: after a reboot its number may be anybody's."""
    try:
        return b"prefect" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def prefect_of(home: Path) -> list[int]:
    """Find the processes of Prefect that keep their state in a folder: those that lead a session, as all that we
    start.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            pid = process.pid
            if os.getsid(pid) == pid and runs_prefect(pid):
                there = process.environ().get("PREFECT_HOME")
                found += [pid] if there and Path(there).resolve() == home.resolve() else []
    return found


def end_session(pid: int, grace: float, process: subprocess.Popen[bytes] | None = None) -> None:
    """Signal a process and all of its session until it has gone, with more force each `grace` seconds."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        try:
            os.killpg(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            if process is not None:
                process.poll()
            if not _is_alive(pid):
                return
            time.sleep(0.1)


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        # Reap it where it is a child of ours: a zombie still answers to signals.
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
