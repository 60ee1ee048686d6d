"""A pool of worker processes of which any may die: it costs the unit that it had, and a new one takes its place."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from pipelines.settings import DocumentSettings
from pipelines.unit_report import UnitReport
from pipelines.work_units import WorkUnit


class WorkerDied(Exception):
    """A worker process ended in the middle of a unit. The message says how."""


def run_in_workers(
    units: Sequence[WorkUnit], settings: DocumentSettings, folder: Path, workers: int
) -> Iterator[tuple[WorkUnit, UnitReport | WorkerDied]]:
    """Yield each unit with its report as it ends, in any order. Ends all children when the caller stops early."""
    waiting: queue.SimpleQueue[WorkUnit] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[WorkUnit, UnitReport | WorkerDied]] = queue.SimpleQueue()
    for unit in units:
        waiting.put(unit)
    slots = [_Slot(settings, folder, waiting, ended) for _ in range(min(workers, len(units)))]
    for slot in slots:
        slot.start()
    left = len(units)
    try:
        while left:
            result = ended.get()
            left -= 1
            yield result
    finally:
        for slot in slots:
            if left:
                slot.kill()
            slot.join()


class _Slot(threading.Thread):
    """Feeds one child process at a time with units, until none is waiting."""

    def __init__(
        self,
        settings: DocumentSettings,
        folder: Path,
        waiting: "queue.SimpleQueue[WorkUnit]",
        ended: "queue.SimpleQueue[tuple[WorkUnit, UnitReport | WorkerDied]]",
    ) -> None:
        super().__init__(daemon=True)
        self._task = {"parent": os.getpid(), "settings": settings.model_dump(), "folder": str(folder)}
        self._waiting, self._ended = waiting, ended
        self._child: subprocess.Popen[str] | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                unit = self._waiting.get_nowait()
            except queue.Empty:
                break
            try:
                self._ended.put((unit, self._process(unit)))
            except (OSError, ValueError) as error:  # a closed pipe, or a report that is not whole
                self._ended.put((unit, WorkerDied(self._bury_child(error))))
        self._end_child()

    def kill(self) -> None:
        """End the child in the middle of its unit, and start no other."""
        self._stopped.set()
        if self._child is not None:
            self._child.kill()

    def _process(self, unit: WorkUnit) -> UnitReport:
        if self._child is None:
            self._child = _start_child()
            if self._stopped.is_set():  # after kill() had looked for a child
                self._child.kill()
            self._send(self._task)
        self._send(asdict(unit))
        assert self._child.stdout is not None
        return UnitReport.model_validate_json(self._child.stdout.readline())

    def _send(self, message: dict[str, object]) -> None:
        assert self._child is not None and self._child.stdin is not None
        self._child.stdin.write(json.dumps(message) + "\n")
        self._child.stdin.flush()

    def _bury_child(self, error: Exception) -> str:
        """Forget a child that stopped answering, and say what became of it."""
        child, self._child = self._child, None
        if child is None:
            return f"no worker process could be started ({error})"
        code = _end(child)
        if code < 0:
            return f"the worker process was ended by {signal.Signals(-code).name}; out of memory, if nobody sent it"
        return f"the worker process ended with exit code {code}; what it printed says why"

    def _end_child(self) -> None:
        if self._child is not None:
            _end(self._child)


def _end(child: "subprocess.Popen[str]") -> int:
    """Close a child's stdin, at which it ends, and wait for it. Returns its exit code."""
    assert child.stdin is not None and child.stdout is not None
    with suppress(BrokenPipeError):
        child.stdin.close()
    code = child.wait()
    child.stdout.close()
    return code


def _start_child() -> "subprocess.Popen[str]":
    # The child must find this package wherever the parent found it; a worker has one core to itself.
    rooms = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [rooms, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-m", "pipelines.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
