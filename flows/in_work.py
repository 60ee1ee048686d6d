"""Who is at work in a workspace at this moment, by the locks that the system ends with their process."""

import fcntl
import os
import re
from pathlib import Path

from storage.workspace import Workspace

JOB_LOCK = ".lock"  # nr_core holds it in the folder that a job fills
_WRITER = re.compile(r"\.(\d+)\.partial$")  # of a file that is on its way to its name


class Workers:
    """The locks of a workspace that are held, looked at once."""

    def __init__(self, workspace: Workspace) -> None:
        locks = (workspace.root / "private" / "locks").glob("*.lock")
        self._held = {lock.stem for lock in locks if is_held(lock)}

    def are_in(self, path: Path) -> bool:
        """Whether somebody is filling a folder or file that is not whole yet, or results on their way into records."""
        if writer := _WRITER.search(path.name):
            return _is_alive(int(writer[1]))
        if path.is_dir() and any(is_held(lock) for lock in path.rglob(JOB_LOCK)):
            return True
        if path.parent.name == "scratch":
            return any(held.startswith("evaluate-") for held in self._held)
        step = path.name.removeprefix(".").removesuffix(".partial")
        names = {step, f"corpus-{path.parent.name}"}
        return any(held in names or held.endswith(f"-{step}") for held in self._held)


def is_held(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is_alive(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; no process
        return process < 2**22
    return True
