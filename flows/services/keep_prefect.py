"""Prefect's server, started again when something kills it: `python -m flows.services.keep_prefect HOST PORT`.

Flows and workers ask again for a minute before they give up, and a new server answers sooner. One that ends by itself
is not replaced: its log says why.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

from pipelines.workers.children import exit_with_parent, python_command

PAUSE_SECONDS = 1.0  # where the machine has no memory for it, it is killed again and again
CHILD = "--of"


def keep(host: str, port: str) -> int:
    """Run Prefect's server until it ends by itself or a signal ends us; return its exit code."""
    command = python_command("flows.services.keep_prefect", CHILD, str(os.getpid()), host, port)
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


if __name__ == "__main__":
    if sys.argv[1] == CHILD:
        run(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(keep(*sys.argv[1:]))
