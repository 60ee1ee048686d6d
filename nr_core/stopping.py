"""Ends a job early: SIGTERM asks it to save and stop, and so does the death of the process that started it.

Until a job looks whether it was asked, it has nothing to save, since it loads, or evaluates: then it ends at once.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

TERMINATED = 128 + signal.SIGTERM  # exit code 143, as of any process that SIGTERM ends
GRACE = 60.0  # seconds that an orphaned job has to save before it is ended the hard way

requested = threading.Event()
_looks = threading.Event()  # from its first look on a job goes on to look


class Stopped(SystemExit):
    """The job was asked to stop, and has saved what it had."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


def begin() -> None:
    """Begin a job, which loads first. Raises Stopped where the one before it was asked to stop."""
    _looks.clear()
    if requested.is_set():
        raise Stopped


def asked() -> bool:
    """Tell whether to save and stop; who calls this does so again soon."""
    _looks.set()
    return requested.is_set()


def listen() -> None:
    """Listen for SIGTERM and for the parent's death: either sets `requested`, and ends what is still loading.

    SIGTERM is heard by a thread: Python's own handlers wait for native code to return, as where others are waited for.
    """
    heard, told = socket.socketpair()
    told.setblocking(False)
    signal.signal(signal.SIGTERM, lambda number, frame: requested.set())
    signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_be_nobodys_job)

    def hear() -> None:
        with heard, told:
            while number := heard.recv(1):
                if number[0] == signal.SIGTERM:
                    _stop()

    def save_and_end() -> None:
        _stop()
        time.sleep(GRACE)
        os._exit(TERMINATED)

    threading.Thread(target=hear, daemon=True, name="terminations").start()
    when_parent_dies(os.getppid(), save_and_end)


def _be_nobodys_job() -> None:
    """Let SIGTERM end a process that a library forks, and not be told to the job, whose socket the two share."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _release()


def _hold() -> None:
    """Let SIGTERM wait while a process is forked: the new one would still hear it as the job."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _stop() -> None:
    requested.set()
    if not _looks.is_set():
        os._exit(TERMINATED)


def when_parent_dies(parent: int, act: Callable[[], object]) -> None:
    """Call `act`, from a thread in the background, when process `parent` is no longer this one's parent.

    (pipelines.workers.child_processes has a watcher of its own: nr_core imports nothing of the other packages.)
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        act()

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
