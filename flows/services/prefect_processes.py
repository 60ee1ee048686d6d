"""Processes of Prefect: which run, how they are ended, and its server, started again when something kills it.

They are started in a session of their own and known by their number. `python -m flows.services.prefect_processes HOST
PORT` runs the server.

Flows and workers ask again for a minute before they give up, and a new server answers sooner. One that ends by itself
is not replaced: its log says why.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import psutil

from pipelines.workers.child_processes import exit_with_parent, python_command

PAUSE_SECONDS = 1.0  # where the machine has no memory for it, it is killed again and again
CHILD = "--of"


def keep(host: str, port: str) -> int:
    """Run Prefect's server until it ends by itself or a signal ends us; return its exit code."""
    command = python_command("flows.services.prefect_processes", CHILD, str(os.getpid()), host, port)
    stopping = False
    child = subprocess.Popen(command)

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True
        child.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    while True:
        code = child.wait()
        if stopping or code >= 0:
            return code
        print(f"Prefect's server was ended by signal {-code}: a new one takes its place", flush=True)
        time.sleep(PAUSE_SECONDS)
        if not stopping:
            child = subprocess.Popen(command)
        if stopping:  # the signal came when there was no child
            child.terminate()


def run(parent: int, host: str, port: int) -> None:
    exit_with_parent(parent)
    from flows.services.prefect_app import serve

    serve(host, port)


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


if __name__ == "__main__":
    if sys.argv[1] == CHILD:
        run(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(keep(*sys.argv[1:]))
