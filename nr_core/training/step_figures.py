"""Figures of the steps of a training: losses, speeds, peak memory, and the rows of steps.parquet."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nr_core.files import writing
from nr_core.training.checkpoints import LoopState
from nr_core.training.distributed import Ranks


def reset_peak_memory() -> None:
    """Start counting anew, where the kernel lets us (Linux): each of a process's jobs has a peak of its own."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak of the whole process is then what peak_memory() gives


def peak_memory() -> int:
    """Return peak memory in bytes: of the GPU where there is one, else resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.is_file():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        if "VmHWM" in fields:
            return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


STEP_COLUMNS = pa.schema(
    [
        ("step", pa.int64()),
        ("tokens", pa.int64()),
        ("lm_loss", pa.float64()),
        ("local_loss", pa.float64()),
        ("kl_loss", pa.float64()),
        ("alpha", pa.float64()),
        ("learning_rate", pa.float64()),
        ("tokens_per_second", pa.float64()),
        ("mfu", pa.float64()),
        ("grad_norm", pa.float64()),
        ("open_rate_new", pa.float64()),
        ("open_rate_original", pa.float64()),
    ]
)


@dataclass
class StepFigures:
    """Sums of one step over all its micro-batches. Of each role: open gates by layer of `layers`, and tokens."""

    lm_loss: float = 0.0
    local_loss: float = 0.0
    kl_loss: float = 0.0
    open_new: Tensor | None = None
    open_original: Tensor | None = None
    layers: list[int] = field(default_factory=list)
    tokens_new: int = 0
    tokens_original: int = 0

    @property
    def open_rate_new(self) -> float | None:
        return _rate(self.open_new, self.tokens_new)

    @property
    def open_rate_original(self) -> float | None:
        return _rate(self.open_original, self.tokens_original)

    @property
    def most_open(self) -> float | None:
        """The share of the new language's tokens that open a gate in the layer where most do; None without gates."""
        if self.open_new is None or not len(self.open_new) or not self.tokens_new:
            return None
        return float(self.open_new.max()) / self.tokens_new

    def gather(self, ranks: Ranks, device: torch.device) -> None:
        """Sum what each process saw of its rows: all then log and judge alike."""
        if ranks.count == 1:
            return
        losses = [self.lm_loss, self.local_loss, self.kl_loss]
        sums = ranks.sum(torch.tensor(losses, dtype=torch.float64, device=device))
        self.lm_loss, self.local_loss, self.kl_loss = sums.tolist()
        for opened in (self.open_new, self.open_original):
            if opened is not None and len(opened):
                ranks.sum(opened)


@dataclass
class Pace:
    """Speeds of a training in tokens a second: since it began or went on, and since it last logged."""

    begun: float
    tokens_begun: int
    seconds_before: float
    logged: float
    tokens_logged: int
    now: float

    @classmethod
    def at(cls, state: LoopState) -> Pace:
        now = time.monotonic()
        return cls(now, state.tokens, state.seconds, now, state.tokens, now)

    def count(self, state: LoopState) -> None:
        """Take the time of a step that is done."""
        self.now = time.monotonic()
        state.seconds = self.seconds_before + self.now - self.begun

    def since_log(self, state: LoopState) -> float:
        """Return the speed since this was last asked."""
        speed = (state.tokens - self.tokens_logged) / (self.now - self.logged)
        self.logged, self.tokens_logged = self.now, state.tokens
        return speed

    def since_begin(self, state: LoopState) -> float:
        return (state.tokens - self.tokens_begun) / (self.now - self.begun)


def _rate(opened: Tensor | None, tokens: int) -> float | None:
    return float(opened.float().mean()) / tokens if opened is not None and len(opened) and tokens else None


def write_steps(rows: list[dict[str, Any]], path: Path) -> None:
    unknown = {name for row in rows for name in row} - set(STEP_COLUMNS.names)
    assert not unknown, f"without a column in STEP_COLUMNS, which Arrow would drop: {unknown}"
    with writing(path) as partial:
        pq.write_table(pa.Table.from_pylist(rows, schema=STEP_COLUMNS), partial)
