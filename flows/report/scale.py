"""From figures to places on the page: linear scales with round ticks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

ROUND_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """Linear from `low`..`high` to `start`..`end` (SVG units; start may be the larger: y grows downwards)."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def tick_text(self, tick: float) -> str:
        step = self.ticks[1] - self.ticks[0] if len(self.ticks) > 1 else 1.0
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        if round(step, places) != round(step, places + 1):  # 0.25 needs one place more than its size says
            places += 1
        return f"{tick:.{places}f}".replace("-", "\N{MINUS SIGN}")


def scale_of(values: Iterable[float], start: float, end: float, about: int = 5, margin: float = 0.0) -> Scale:
    """A scale over the finite values with about `about` round ticks; `margin` is a share of the span on both sides."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    span = (high - low) or abs(high) or 1.0
    low, high = low - margin * span, high + margin * span
    if low == high:
        high = low + span
    raw = (high - low) / about
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in ROUND_STEPS if factor * size >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = tuple(number * step + 0.0 for number in range(first, last + 1))
    return Scale(low, high, start, end, ticks)
