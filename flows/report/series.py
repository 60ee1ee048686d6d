"""Series of the pictures: a name at one learning rate, its seeds together, with one style; and numbers in words."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

# Numbers as people read them: true minus signs, narrow spaces between thousands, units.


MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NARROW NO-BREAK SPACE}"
HALF_INTERVAL = 1.96  # of a 95 % interval, in standard errors, as storage/views.sql has it
NOTHING = "\N{EM DASH}"
PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def bits(value: float | None, places: int = 3) -> str:
    """Return a figure in bits per byte or nats per token: fixed places, so that columns line up."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "not finite"
    text = f"{value:.{places}f}"
    return text.replace("-", MINUS) if float(text) else text.lstrip("-")


def count(value: int | None) -> str:
    return NOTHING if value is None else f"{value:,}".replace(",", SPACE).replace("-", MINUS)


def short(value: float | None) -> str:
    """Write a large count in three significant digits: 1.23 M."""
    if value is None:
        return NOTHING
    for size, prefix in PREFIXES:
        # 999,999 is 1 M in three digits, not 1000 k.
        if abs(value) >= size * 0.9995:
            return f"{_three_digits(value / size)}{SPACE}{prefix}"
    return f"{value:.0f}"


def share(value: float | None) -> str:
    if value is None:
        return NOTHING
    percent = 100 * value
    return f"{percent:.0f}{SPACE}%" if percent == 0 or percent >= 9.95 else f"{percent:.1f}{SPACE}%"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    if seconds < 9.95:
        return f"{seconds:.1f}{SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest}{SPACE}s"
    if minutes < 60:
        return f"{minutes}{SPACE}min {rest}{SPACE}s" if rest else f"{minutes}{SPACE}min"
    return f"{minutes // 60}{SPACE}h {minutes % 60}{SPACE}min"


def memory(size: int | None) -> str:
    return NOTHING if size is None else f"{short(size)}B"


def rate(value: float | None) -> str:
    """Return a learning rate, as it is written in configs."""
    return NOTHING if value is None else f"{value:g}".replace("e-0", "e-")


def _three_digits(value: float) -> str:
    whole_digits = len(str(int(abs(value))))
    return f"{value:.{max(0, 3 - whole_digits)}f}"


REFERENCE_METHOD = "neutral_residues"  # the method this project is about: it has the accent colour
# Markers of matplotlib. Shape tells methods apart where colour cannot.
SHAPES = {"circle": "o", "square": "s", "triangle": "^", "diamond": "d", "wedge": "v", "cross": "P", "star": "*"}
FIRST_SHAPES = {REFERENCE_METHOD: "circle", "finetune": "square", "lora": "triangle", "adapter": "diamond"}


@dataclass(frozen=True)
class Style:
    name: str
    rate: str | None  # learning rate, where the name has several
    shape: str
    is_reference: bool

    @property
    def label(self) -> str:
        return self.name if self.rate is None else f"{self.name} at lr {self.rate}"

    @property
    def marker(self) -> str:
        return SHAPES[self.shape]

    @property
    def path(self) -> str:
        """The shape as an SVG path about the origin, in a square of 12 units: for the key beside a name."""
        return _path_of(self.marker)


@cache
def _path_of(marker: str) -> str:
    from matplotlib.markers import MarkerStyle
    from matplotlib.path import Path

    style = MarkerStyle(marker)
    letters = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C"}
    parts = []
    for points, code in style.get_path().transformed(style.get_transform()).iter_segments():
        if code == Path.CLOSEPOLY:
            parts.append("Z")
        else:
            parts.append(letters[code] + " ".join(f"{x * 12:.2f},{-y * 12:.2f}" for x, y in points.reshape(-1, 2)))
    return "".join(parts)


class Styles:
    """Styles of runs by their rows (name, method, learning_rate): the same in every picture of a study."""

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        rows = list(rows)
        self._rates: dict[str, set[float | None]] = {}
        for row in rows:
            self._rates.setdefault(row["name"], set()).add(row["learning_rate"])
        self._shapes = dict(FIRST_SHAPES)
        free = [shape for shape in SHAPES if shape not in FIRST_SHAPES.values()]
        for number, method in enumerate(sorted({row["method"] or "" for row in rows} - FIRST_SHAPES.keys())):
            self._shapes[method] = free[number % len(free)]

    @property
    def has_rates(self) -> bool:
        return any(len(rates) > 1 for rates in self._rates.values())

    def of(self, row: Mapping[str, Any]) -> Style:
        method = row["method"] or ""
        several = len(self._rates.get(row["name"], ())) > 1
        return Style(
            name=row["name"] or method or "unnamed",
            rate=rate(row["learning_rate"]) if several else None,
            shape=self._shapes[method],
            is_reference=method == REFERENCE_METHOD,
        )
