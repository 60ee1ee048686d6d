"""Starts processes of ours: by this Python, with our own packages, whatever files lie in the current folder.

`python -m` would look for modules in the current folder first, and run a flows.py or a json.py of the user's.
"""

import os
import sys
import sysconfig
import threading
import time
from pathlib import Path

# Python's own switch, which the processes that those start inherit: torchrun's, Prefect's flow runs, spawned pools.
SAFE = {"PYTHONSAFEPATH": "1"}


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command of `python -m module`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """Variables with which a child finds the packages that this process has: those of a checkout by its path."""
    root = str(Path(__file__).resolve().parents[2])
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]  # '' is the current folder
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *given[:1]}:
        given.insert(0, root)
    return {**SAFE, "PYTHONPATH": os.pathsep.join(given)}


# A process that nobody waits for any more ends itself.


PARENT_POLL_SECONDS = 1.0


def exit_with_parent(parent: int) -> None:
    """End this process at once, from a thread in the background, when process `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
