"""Ends a job early: SIGTERM asks it to save and stop, and so does the death of the process that started it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

TERMINATED = 128 + signal.SIGTERM  # exit code 143, as of any process that SIGTERM ends
GRACE = 60.0  # seconds that an orphaned job has to save before it is ended the hard way

requested = threading.Event()


class Stopped(SystemExit):
    """The job was asked to stop, and has saved what it had."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


def listen() -> None:
    """Listen for SIGTERM and for the parent's death: either sets `requested`."""
    signal.signal(signal.SIGTERM, lambda number, frame: requested.set())

    def save_and_end() -> None:
        requested.set()
        time.sleep(GRACE)
        os._exit(TERMINATED)

    when_parent_dies(os.getppid(), save_and_end)


def when_parent_dies(parent: int, act: Callable[[], object]) -> None:
    """Call `act`, from a thread in the background, when process `parent` is no longer this one's parent.

    (pipelines.workers.child_processes has a watcher of its own: nr_core imports nothing of the other packages.)
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        act()

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
