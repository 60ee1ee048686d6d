"""How a job ends early: SIGTERM asks it to save and stop, and so does the death of the process that started it."""

from __future__ import annotations

import os
import signal
import threading
import time

TERMINATED = 128 + signal.SIGTERM  # exit code 143, as of any process that SIGTERM ends
GRACE = 60.0  # seconds that an orphaned job has to save before it is ended the hard way

requested = threading.Event()


class Stopped(SystemExit):
    """The job was asked to stop, and has saved what it had."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


def listen() -> None:
    """From now on SIGTERM sets `requested`, and so does the parent's death (a daemon thread polls the parent's id)."""
    signal.signal(signal.SIGTERM, lambda number, frame: requested.set())
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        requested.set()
        time.sleep(GRACE)
        os._exit(TERMINATED)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
