"""The trade-off plot: forgetting to the right, learning upwards, a mark a run, the base at the origin."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from flows.report.labels import Box, Placer
from flows.report.numbers import bits
from flows.report.scale import Scale, scale_of
from flows.report.series import Look, Looks

Row = dict[str, Any]
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 34, 50
LONGEST_NAME = 28  # characters that fit beside a mark on a narrow screen; the tables have the whole name
BESIDE = 15  # a label at most this far from its mark needs no line to it


@dataclass(frozen=True)
class Mark:
    x: float
    y: float
    look: Look
    title: str
    bar_x: tuple[float, float] | None = None  # ends of the 95 % interval of forgetting, and of learning
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
    return all(row[axis] is not None and math.isfinite(row[axis]) for axis in ("learning", "forgetting"))


def trade_off(runs: Sequence[Row], front: Sequence[Row], looks: Looks, width: int, height: int) -> TradeOff | None:
    """Place everything for one size; None where no run has both figures."""
    runs = sorted(filter(has_both, runs), key=lambda row: looks.of(row).is_hero)  # the accent is drawn last, on top
    if not runs:
        return None
    x = scale_of([0.0, *(row["forgetting"] for row in runs)], LEFT, width - RIGHT, max(3, width // 120), margin=0.07)
    y = scale_of([0.0, *(row["learning"] for row in runs)], height - BOTTOM, TOP, 5, margin=0.07)
    marks = [
        Mark(
            x(row["forgetting"]),
            y(row["learning"]),
            looks.of(row),
            _title(row, looks),
            _bar(row, "forgetting", x),
            _bar(row, "learning", y),
        )
        for row in runs
    ]
    placer = Placer(Box(LEFT, TOP, width - RIGHT - LEFT, height - BOTTOM - TOP))
    origin = (x(0.0), y(0.0))
    steps = _staircase([(x(row["forgetting"]), y(row["learning"])) for row in front if has_both(row)])
    for point in [origin, *((mark.x, mark.y) for mark in marks)]:
        placer.keep_free(Box(point[0] - 8, point[1] - 8, 16, 16))
    for start, end in pairwise(steps):
        placer.keep_free(Box.between(start, end, 1), weight=0.4)
    labels = []
    for text, group in _texts(marks):
        box = placer.place(text, [(mark.x, mark.y) for mark in group])
        labels.append(Label(box, text, "hero" if group[0].look.is_hero else "other", _leader(box, group)))
    labels.append(Label(placer.place("base", [origin]), "base", "base"))
    return TradeOff(width, height, x, y, marks, labels, " ".join(f"{a:g},{b:g}" for a, b in steps))


def _bar(row: Row, axis: str, scale: Scale) -> tuple[float, float] | None:
    error = row.get(f"{axis}_stderr")
    if error is None or not math.isfinite(error):
        return None
    return scale(row[axis] - 1.96 * error), scale(row[axis] + 1.96 * error)


def _texts(marks: Sequence[Mark]) -> list[tuple[str, list[Mark]]]:
    """What stands beside which marks: a name once, further learning rates of the same name by the number alone."""
    groups: dict[Look, list[Mark]] = {}
    for mark in marks:
        groups.setdefault(mark.look, []).append(mark)
    named: set[str] = set()
    texts = []
    for look, group in sorted(groups.items(), key=lambda item: (not item[0].is_hero, min(mark.y for mark in item[1]))):
        name = look.name if len(look.name) <= LONGEST_NAME else look.name[: LONGEST_NAME - 1] + "…"
        text = name if look.rate is None else look.rate if look.name in named else f"{name} {look.rate}"
        named.add(look.name)
        texts.append((text, group))
    return texts


def _leader(box: Box, group: Sequence[Mark]) -> tuple[float, float, float, float] | None:
    ends = [(box.nearest_point((mark.x, mark.y)), (mark.x, mark.y)) for mark in group]
    start, end = min(ends, key=lambda pair: math.dist(*pair))
    return (*start, *end) if math.dist(start, end) > BESIDE else None


def _title(row: Row, looks: Looks) -> str:
    seed = "" if row["seed"] is None else f", seed {row['seed']}"
    return f"{looks.of(row).label}{seed}: learning {bits(row['learning'])}, forgetting {bits(row['forgetting'])}"


def _staircase(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Right, then up: what some run reaches at that much forgetting or less."""
    steps: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda point: (point[0], -point[1])):
        if steps:
            steps.append((point[0], steps[-1][1]))
        steps.append(point)
    return steps
