"""Progress of long work: bars in a terminal, log lines and bars in its UI every few seconds under Prefect."""

import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

SECONDS_BETWEEN_LINES = 5.0


class Progress:
    """Takes progress events of several jobs at once; made by the thread of a flow's task, if there is one. Use as a
    context manager.

    An event has label, done, total, unit, rate (units a second; tokens where the units are steps), seconds_left and a
    message.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._lock = threading.Lock()
        self._last_line: dict[str, float] = {}
        self._bars = _bars() if sys.stderr.isatty() else None
        self._tasks: dict[str, Any] = {}
        self._artifacts: dict[str, ProgressArtifact] | None = {} if _in_a_flow_run() else None

    def __enter__(self) -> "Progress":
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def update(self, event: Mapping[str, Any]) -> None:
        with self._lock:
            if self._bars:
                self._update_bar(event)
            else:
                self._log_sometimes(event)

    def _update_bar(self, event: Mapping[str, Any]) -> None:
        assert self._bars is not None
        label = str(event["label"])
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=event["total"], rate="")
        self._bars.update(self._tasks[label], completed=event["done"], total=event["total"], rate=_rate(event))

    def _log_sometimes(self, event: Mapping[str, Any]) -> None:
        label, now = str(event["label"]), time.monotonic()
        is_last = event["done"] == event["total"]
        if now - self._last_line.get(label, -SECONDS_BETWEEN_LINES) < SECONDS_BETWEEN_LINES and not is_last:
            return
        self._last_line[label] = now
        left = event.get("seconds_left")
        parts = [f"{event['done']}/{event['total']}", _rate(event), event.get("message") or ""]
        parts.append(f"{left:.0f} s left" if left else "")
        self._log(f"{label}: " + ", ".join(part for part in parts if part))
        if self._artifacts is not None:
            self._artifacts.setdefault(label, ProgressArtifact(label)).show(event["done"] / max(event["total"], 1))


def _in_a_flow_run() -> bool:
    """Tell whether a flow runs: outside of one Prefect's client would start a server for a bar that nobody looks at."""
    context = sys.modules.get("prefect.context")
    return context is not None and bool(context.TaskRunContext.get() or context.FlowRunContext.get())


def _rate(event: Mapping[str, Any]) -> str:
    rate = event.get("rate")
    unit = "tokens" if event.get("unit") == "steps" else event.get("unit", "")
    return f"{rate:,.0f} {unit}/s" if rate else ""


def _bars() -> Bars:
    from rich.console import Console

    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


class ProgressArtifact:
    """Shows one bar in Prefect's UI, versioned by its key. Prefect is imported with the first figure, for it takes
    seconds.

    The server's absence is no reason to end the work that it shows, nor to wait for it more than once: Prefect's client
    tries for a minute.
    """

    def __init__(self, label: str) -> None:
        self._label, self._key = label, re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "progress"
        self._id: UUID | None = None
        self._server_is_gone = False

    def show(self, share: float) -> None:
        """Show the share of the work that is done, from 0 to 1."""
        if self._server_is_gone:
            return
        from httpx import HTTPError
        from prefect.artifacts import create_progress_artifact, update_progress_artifact
        from prefect.exceptions import PrefectException

        percent = round(100 * min(max(share, 0.0), 1.0), 1)
        try:
            if self._id is None:
                self._id = create_progress_artifact(percent, key=self._key, description=self._label)  # type: ignore[assignment]
            else:
                update_progress_artifact(self._id, progress=percent)
        except (HTTPError, PrefectException):
            self._server_is_gone = True
