"""Plots of one figure against another, a mark a run, the base at the origin: learning over forgetting, and forgetting
over KL to the base on the new language."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flows.report.series import Style, Styles, bits

# Where a label fits: the first place beside its marks that hides nothing, else the one that hides least.


FONT_SIZE = 13
CHARACTER_WIDTH = 7.2  # of system fonts at that size, generous
LINE_HEIGHT = 16
OFFSETS = (11, 18, 28)
OUTSIDE = 1e5  # cost of leaving the picture: more than of any overlap within it


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    width: float
    height: float

    @classmethod
    def between(cls, start: tuple[float, float], end: tuple[float, float], half: float) -> "Box":
        x, y = min(start[0], end[0]) - half, min(start[1], end[1]) - half
        return cls(x, y, abs(start[0] - end[0]) + 2 * half, abs(start[1] - end[1]) + 2 * half)

    def overlap(self, other: "Box") -> float:
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0.0) * max(height, 0.0)

    def nearest_point(self, point: tuple[float, float]) -> tuple[float, float]:
        x, y = point
        return min(max(x, self.x), self.x + self.width), min(max(y, self.y), self.y + self.height)

    def inside(self, other: "Box") -> bool:
        return self.overlap(other) >= self.width * self.height - 1e-6


class Placer:
    def __init__(self, area: Box) -> None:
        self._area = area
        self._taken: list[tuple[Box, float]] = []

    def keep_free(self, box: Box, weight: float = 1.0) -> None:
        self._taken.append((box, weight))

    def place(self, text: str, marks: Sequence[tuple[float, float]]) -> Box:
        """Return the box of the label of these marks, and keep it free from now on."""
        width = len(text) * CHARACTER_WIDTH
        best, best_cost = None, float("inf")
        for rank, box in enumerate(self._candidates(width, marks)):
            cost = rank * 0.5 + sum(weight * box.overlap(taken) for taken, weight in self._taken)
            cost += 0.0 if box.inside(self._area) else OUTSIDE
            if cost < best_cost:
                best, best_cost = box, cost
        assert best is not None, "a label belongs to at least one mark"
        self.keep_free(best, 1.5)
        return best

    def _candidates(self, width: float, marks: Sequence[tuple[float, float]]) -> list[Box]:
        half = LINE_HEIGHT / 2
        boxes = []
        for offset in OFFSETS:
            for x, y in marks:
                right, left, middle = x + offset, x - offset - width, x - width / 2
                above, below = y - offset - LINE_HEIGHT + 2, y + offset - 2
                for corner in ((right, y - half), (left, y - half), (middle, above), (middle, below),
                               (right, above), (right, below), (left, above), (left, below)):  # fmt: skip
                    boxes.append(Box(*corner, width, LINE_HEIGHT))
        return boxes


# From figures to places on the page: linear scales with round ticks.


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
    """Return a scale over the finite values with about `about` round ticks; `margin` is a share of the span on both
    sides.
    """
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


Row = dict[str, Any]
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 34, 50
LONGEST_NAME = 28  # characters that fit beside a mark on a narrow screen; the tables have the whole name
BESIDE = 15  # a label at most this far from its mark needs no line to it


@dataclass(frozen=True)
class Axes:
    """The columns of a row that go to the right and upwards, and their names in words, in the order they are said."""

    x: str
    y: str
    words: tuple[tuple[str, str], ...]

    def are_known(self, row: Row) -> bool:
        return all(row[axis] is not None and math.isfinite(row[axis]) for axis in (self.x, self.y))


TRADE_OFF = Axes("forgetting", "learning", (("learning", "learning"), ("forgetting", "forgetting")))
KL = Axes("kl_new", "forgetting", (("kl_new", "KL on the new language"), ("forgetting", "forgetting")))


@dataclass(frozen=True)
class Mark:
    x: float
    y: float
    style: Style
    title: str
    bar_x: tuple[float, float] | None = None  # ends of the 95 % interval
    bar_y: tuple[float, float] | None = None


@dataclass(frozen=True)
class Label:
    box: Box
    text: str
    kind: str  # 'hero', 'other' or 'base'
    leader: tuple[float, float, float, float] | None = None  # line to its mark, where that is not beside it


@dataclass(frozen=True)
class TradeOff:
    width: int
    height: int
    x: Scale
    y: Scale
    marks: list[Mark] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    front: str = ""
    left: int = LEFT


def has_both(row: Row) -> bool:
    return TRADE_OFF.are_known(row)


def trade_off(
    runs: Sequence[Row], front: Sequence[Row], styles: Styles, width: int, height: int, axes: Axes = TRADE_OFF
) -> TradeOff | None:
    """Place everything for one size; None where no run has both figures."""
    runs = sorted(
        filter(axes.are_known, runs), key=lambda row: styles.of(row).is_reference
    )  # the accent is drawn on top
    if not runs:
        return None
    x = scale_of([0.0, *(row[axes.x] for row in runs)], LEFT, width - RIGHT, max(3, width // 120), margin=0.07)
    y = scale_of([0.0, *(row[axes.y] for row in runs)], height - BOTTOM, TOP, 5, margin=0.07)
    marks = [
        Mark(
            x(row[axes.x]),
            y(row[axes.y]),
            styles.of(row),
            _title(row, styles, axes),
            _bar(row, axes.x, x),
            _bar(row, axes.y, y),
        )
        for row in runs
    ]
    placer = Placer(Box(LEFT, TOP, width - RIGHT - LEFT, height - BOTTOM - TOP))
    origin = (x(0.0), y(0.0))
    steps = _staircase([(x(row[axes.x]), y(row[axes.y])) for row in front if axes.are_known(row)])
    for point in [origin, *((mark.x, mark.y) for mark in marks)]:
        placer.keep_free(Box(point[0] - 8, point[1] - 8, 16, 16))
    for start, end in pairwise(steps):
        placer.keep_free(Box.between(start, end, 1), weight=0.4)
    labels = []
    for text, group in _texts(marks):
        box = placer.place(text, [(mark.x, mark.y) for mark in group])
        labels.append(Label(box, text, "hero" if group[0].style.is_reference else "other", _leader(box, group)))
    labels.append(Label(placer.place("base", [origin]), "base", "base"))
    return TradeOff(width, height, x, y, marks, labels, " ".join(f"{a:g},{b:g}" for a, b in steps))


def _bar(row: Row, axis: str, scale: Scale) -> tuple[float, float] | None:
    error = row.get(f"{axis}_stderr")
    if error is None or not math.isfinite(error):
        return None
    return scale(row[axis] - 1.96 * error), scale(row[axis] + 1.96 * error)


def _texts(marks: Sequence[Mark]) -> list[tuple[str, list[Mark]]]:
    """Return what stands beside which marks: a name once, further learning rates of the same name by the number
    alone.
    """
    groups: dict[Style, list[Mark]] = {}
    for mark in marks:
        groups.setdefault(mark.style, []).append(mark)
    named: set[str] = set()
    texts = []
    for style, group in sorted(
        groups.items(), key=lambda item: (not item[0].is_reference, min(mark.y for mark in item[1]))
    ):
        name = style.name if len(style.name) <= LONGEST_NAME else style.name[: LONGEST_NAME - 1] + "…"
        text = name if style.rate is None else style.rate if style.name in named else f"{name} {style.rate}"
        named.add(style.name)
        texts.append((text, group))
    return texts


def _leader(box: Box, group: Sequence[Mark]) -> tuple[float, float, float, float] | None:
    ends = [(box.nearest_point((mark.x, mark.y)), (mark.x, mark.y)) for mark in group]
    start, end = min(ends, key=lambda pair: math.dist(*pair))
    return (*start, *end) if math.dist(start, end) > BESIDE else None


def _title(row: Row, styles: Styles, axes: Axes) -> str:
    seed = "" if row["seed"] is None else f", seed {row['seed']}"
    return f"{styles.of(row).label}{seed}: " + ", ".join(f"{word} {bits(row[name])}" for name, word in axes.words)


def _staircase(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Right, then up: what some run reaches at that much forgetting or less."""
    steps: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if steps:
            steps.append((point[0], steps[-1][1]))
        steps.append(point)
    return steps
