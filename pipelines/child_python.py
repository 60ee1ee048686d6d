"""How processes of ours are started: by this Python, with our own packages, whatever files lie where the user stands.

`python -m` would look for modules in the current folder first, and run a flows.py or a json.py of the user's.
"""

import os
import sys
import sysconfig
from pathlib import Path

# Python's own switch, which the processes that those start inherit: torchrun's, Prefect's flow runs, spawned pools.
SAFE = {"PYTHONSAFEPATH": "1"}


def python_command(module: str, *arguments: str) -> list[str]:
    """The command of `python -m module`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """Variables with which a child finds the packages that this process has: those of a checkout by its path."""
    root = str(Path(__file__).resolve().parent.parent)
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]  # '' is the current folder
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *given[:1]}:
        given.insert(0, root)
    return {**SAFE, "PYTHONPATH": os.pathsep.join(given)}
