"""A pool of worker processes of which any may die: a new one takes its place and reads the unit again.

A unit that ends its process each time, as a page could that crashes a native library, is given up.

Before them stand threads that fetch remote units, a few ahead of what is read. So there is one place that knows how
many connections are open, and a worker never waits for the network.

Not pebble or concurrent.futures: their children are multiprocessing's, which import the parent's `__main__` (under a
worker of Prefect's, Prefect) or fork a process that has threads; nor do they tell which record a child died of.
"""

import contextvars
import json
import logging
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from enum import Enum, auto
from pathlib import Path

from pipelines.settings import DocumentSettings
from pipelines.sources.fetch_unit import Fetched, Fetcher, needs_fetching
from pipelines.sources.retries import Stopped
from pipelines.sources.urls import redacted_text
from pipelines.sources.work_units import UnitReport, WorkUnit
from pipelines.workers.child_processes import python_command, python_environment, relay_in_background
from pipelines.workers.shared_position import NOTHING, TOGETHER, Poison, ReadingPlace
from storage.errors import InputError

logger = logging.getLogger(__name__)

# The DOM guard keeps pages under 2 s; what gets past it cannot be interrupted, only ended with its process.
RECORD_SECONDS = 300
PROCESSES_FOR_A_UNIT = 3  # that may be killed in a unit by who knows what, before it counts as failed
# Asked of the kernel for what malloc gives out (glibc 2.35 and later; docs/workarounds.md). The user's own word counts.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
MAX_POISON = 10  # records of a unit that may end a process each; for each the unit is read anew, to the next after them
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)


class _End(Enum):
    """The end of a worker process."""

    BY_THE_RECORD = auto()  # which hung or crashed it
    KILLED = auto()  # by somebody, or for want of memory
    OTHER = auto()


class NotRead(Exception):
    """A unit could not be fetched, or its worker processes ended in the middle of it. The message says how."""


_Ended = queue.SimpleQueue[tuple[WorkUnit, UnitReport | NotRead]]
_Ready = queue.SimpleQueue[tuple[WorkUnit, Fetched] | None]  # None: no further unit comes


def run_in_workers(
    units: Sequence[WorkUnit], settings: DocumentSettings, folder: Path, workers: int, fetcher: Fetcher
) -> Iterator[tuple[WorkUnit, UnitReport | NotRead]]:
    """Yield each unit with its report as it ends, in any order. Ends all children when the caller stops early."""
    far: queue.SimpleQueue[WorkUnit] = queue.SimpleQueue()
    ready: _Ready = queue.SimpleQueue()
    ended: _Ended = queue.SimpleQueue()
    for unit in units:
        if needs_fetching(unit):
            far.put(unit)
        else:
            ready.put((unit, fetcher.fetch(unit)))
    slots = [_Slot(settings, folder, ready, ended) for _ in range(min(workers, len(units)))]
    # So many units lie on disk at a time, fetched and not yet read.
    room = threading.Semaphore(fetcher.connections + len(slots))
    fetching = [_FetchThread(fetcher, far, ready, ended, room) for _ in range(min(fetcher.connections, far.qsize()))]
    for thread in (*slots, *fetching):
        thread.start()
    left = len(units)
    try:
        while left:
            unit, result = ended.get()
            if needs_fetching(unit):
                if not isinstance(result, NotRead):  # else what came of it is of use to the next attempt
                    fetcher.discard(unit)
                room.release()
            left -= 1
            yield unit, result
    finally:
        fetcher.stop()
        for slot in slots:
            if left:
                slot.kill()
            ready.put(None)
        for _ in fetching:
            room.release()  # whoever waits for it looks up, and ends
        for slot in slots:
            slot.join()


@contextmanager
def one_worker(
    settings: DocumentSettings, folder: Path
) -> Iterator[Callable[[WorkUnit, Fetched], UnitReport | NotRead]]:
    """Start a worker process for units that come one after the other, read as `run_in_workers` reads them."""
    ready: _Ready = queue.SimpleQueue()
    ended: _Ended = queue.SimpleQueue()
    slot = _Slot(settings, folder, ready, ended)
    slot.start()

    def read(unit: WorkUnit, fetched: Fetched) -> UnitReport | NotRead:
        ready.put((unit, fetched))
        return ended.get()[1]

    try:
        yield read
    except BaseException:
        slot.kill()
        raise
    finally:
        ready.put(None)
        slot.join()


class _FetchThread(threading.Thread):
    """Fetches one unit after the other, as long as there is room for another on disk."""

    def __init__(
        self,
        fetcher: Fetcher,
        far: "queue.SimpleQueue[WorkUnit]",
        ready: _Ready,
        ended: _Ended,
        room: threading.Semaphore,
    ) -> None:
        super().__init__(daemon=True)
        self._fetcher, self._far, self._ready, self._ended, self._room = fetcher, far, ready, ended, room

    def run(self) -> None:
        while True:
            self._room.acquire()
            try:
                unit = self._far.get_nowait()
            except queue.Empty:
                self._room.release()
                return
            try:
                self._ready.put((unit, self._fetcher.fetch(unit)))
            except Stopped:
                return
            except (InputError, OSError) as error:  # OSError: a full disk
                self._ended.put((unit, NotRead(redacted_text(str(error)))))
            except Exception as error:  # noqa: BLE001 (else nobody would ever hear of the unit again)
                self._ended.put((unit, NotRead(redacted_text(f"fetching failed: {type(error).__name__}: {error}"))))


class _Slot(threading.Thread):
    """Feeds one child process at a time with units, until no further one comes."""

    def __init__(
        self,
        settings: DocumentSettings,
        folder: Path,
        ready: _Ready,
        ended: _Ended,
    ) -> None:
        super().__init__(daemon=True)
        self._task = {"parent": os.getpid(), "settings": settings.model_dump(), "folder": str(folder)}
        self._place = ReadingPlace()
        self._task |= {"record_seconds": RECORD_SECONDS, "place": self._place.descriptor}
        self._ready, self._ended = ready, ended
        self._context = contextvars.copy_context()  # of the flow's task, whose log takes what the child prints
        self._child: subprocess.Popen[str] | None = None
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            item = self._ready.get()
            if item is None:
                break
            unit, fetched = item
            self._ended.put((unit, self._read(unit, fetched)))
        self._end_child()

    def kill(self) -> None:
        """End the child in the middle of its unit, and start no other."""
        self._stopped.set()
        if self._child is not None:
            self._child.kill()

    def _read(self, unit: WorkUnit, fetched: Fetched) -> UnitReport | NotRead:
        """Read one unit, by another process where one ends in it, without the record that was seen to end one.

        Not later: a later refresh would take it in as a later unit.
        """
        poison, before = Poison(), (NOTHING, False)
        killed = 0
        while True:
            try:
                return self._process(unit, fetched, poison)
            except (OSError, ValueError) as error:  # a closed pipe, or a report that is not whole
                end, how = self._reap(error)
            place = self._place.read()
            killed += end is _End.KILLED
            if end is _End.OTHER or self._stopped.is_set():
                break
            number, was_read = place
            if number == TOGETHER:
                if killed >= PROCESSES_FOR_A_UNIT:
                    break
                poison = replace(poison, apart=True)
            elif number <= 0 and not was_read:  # nothing of the file could be read
                if end is _End.BY_THE_RECORD or killed >= PROCESSES_FOR_A_UNIT:
                    break
            elif end is _End.BY_THE_RECORD or place == before:
                passes_over = was_read and len(poison.records) < MAX_POISON
                if poison.stop is not None and not passes_over:
                    break
                if passes_over:
                    poison = replace(poison, records={*poison.records, number})
                    how += f"; record {number} of the file is left out"
                else:
                    poison = replace(poison, stop=number)
                    how += f"; the file is read to before its record {number}"
                killed = 0  # that record is why
            elif killed >= PROCESSES_FOR_A_UNIT:
                break
            before = place
            self._context.run(logger.warning, "%s: %s; it is read again", unit.path, how)
        return NotRead(how)

    def _process(self, unit: WorkUnit, fetched: Fetched, poison: Poison) -> UnitReport:
        self._place.write(NOTHING)
        if self._child is None:
            self._child = self._context.run(_start_child, self._place.descriptor)
            if self._stopped.is_set():  # after kill() had looked for a child
                self._child.kill()
            self._send(self._task)
        self._send({"unit": unit.record(), "fetched": asdict(fetched), "poison": poison.message()})
        assert self._child.stdout is not None
        return UnitReport.model_validate_json(self._child.stdout.readline())

    def _send(self, message: dict[str, object]) -> None:
        assert self._child is not None and self._child.stdin is not None
        self._child.stdin.write(json.dumps(message) + "\n")
        self._child.stdin.flush()

    def _reap(self, error: Exception) -> tuple["_End", str]:
        """Forget a child that stopped answering. Returns what became of it."""
        child, self._child = self._child, None
        if child is None:
            return _End.OTHER, f"no worker process could be started ({error})"
        code = _end(child)
        if code == -signal.SIGALRM:
            return (
                _End.BY_THE_RECORD,
                f"the worker process was ended: it got no further for {RECORD_SECONDS} s, in one record of the file",
            )
        if code < 0:
            name = signal.Signals(-code).name
            if -code in _CRASHES:
                return _End.BY_THE_RECORD, f"the worker process crashed ({name})"
            return _End.KILLED, f"the worker process was ended by {name}; out of memory, if nobody sent it"
        return _End.OTHER, f"the worker process ended with exit code {code}; what it printed says why"

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


def _start_child(place: int) -> "subprocess.Popen[str]":
    child = subprocess.Popen(
        python_command("pipelines.workers.worker"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
        pass_fds=[place],
        # An interrupt at the terminal is for the flow, which ends this. Of this process's group it would meet the child
        # at its imports too, and be told as a traceback.
        start_new_session=True,
        # A worker has one core to itself.
        env={**HUGE_PAGES, **os.environ, **python_environment(), "OMP_NUM_THREADS": "1"},
    )
    assert child.stderr is not None
    relay_in_background(child.stderr, f"reading process {child.pid}", logger)
    return child
