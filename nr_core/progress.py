"""Progress as JSON lines on stdout, at most one a second, for whoever started the job."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

INTERVAL = 1.0


class Progress:
    def __init__(self, job: str, label: str, unit: str) -> None:
        self.job, self.label, self.unit = job, label, unit
        self._last = -INTERVAL
        self._silent = False

    def silence(self) -> None:
        """Silence non-zero ranks."""
        self._silent = True

    def report(
        self,
        done: int,
        total: int,
        rate: float | None = None,
        seconds_left: float | None = None,
        message: str = "",
    ) -> None:
        """Report how far the job is. rate: units (tokens) a second. The last report, done == total, is never held
        back."""
        now = time.monotonic()
        if now - self._last < INTERVAL and done < total:
            return
        self._last = now
        self.emit(
            "progress", done=done, total=total, unit=self.unit, rate=rate, seconds_left=seconds_left, message=message
        )

    def error(self, message: str) -> None:
        self.emit("error", message=message)

    def emit(self, event: str, **content: Any) -> None:
        if self._silent:
            return
        print(json.dumps({"event": event, "job": self.job, "label": self.label, **content}), flush=True)

    @staticmethod
    def log(line: str) -> None:
        print(line, file=sys.stderr, flush=True)
