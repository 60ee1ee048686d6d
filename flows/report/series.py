"""What the pictures call a line of runs: one name at one learning rate, its seeds together, one look."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.report.numbers import rate

HERO = "neutral_residues"  # the method this project is about: it has the accent colour
# SVG paths about the origin. Shape tells methods apart where colour cannot.
SHAPES = {
    "circle": "M-6,0a6,6 0 1,0 12,0a6,6 0 1,0 -12,0Z",
    "square": "M-5,-5H5V5H-5Z",
    "triangle": "M0,-6.5L6,5H-6Z",
    "diamond": "M0,-7L7,0L0,7L-7,0Z",
    "wedge": "M0,6.5L6,-5H-6Z",
    "cross": "M-6,-2H-2V-6H2V-2H6V2H2V6H-2V2H-6Z",
    "star": "M0,-7L1.8,-2.2L7,-2.2L2.8,1L4.3,6L0,3L-4.3,6L-2.8,1L-7,-2.2L-1.8,-2.2Z",
}
FIRST_SHAPES = {HERO: "circle", "finetune": "square", "lora": "triangle", "adapter": "diamond"}


@dataclass(frozen=True)
class Look:
    name: str
    rate: str | None  # learning rate, where the name has several
    shape: str
    is_hero: bool

    @property
    def label(self) -> str:
        return self.name if self.rate is None else f"{self.name} at lr {self.rate}"

    @property
    def path(self) -> str:
        return SHAPES[self.shape]


class Looks:
    """Look of a run by its row (name, method, learning_rate): the same in every picture of a study."""

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

    def of(self, row: Mapping[str, Any]) -> Look:
        method = row["method"] or ""
        several = len(self._rates.get(row["name"], ())) > 1
        return Look(
            name=row["name"] or method or "unnamed",
            rate=rate(row["learning_rate"]) if several else None,
            shape=self._shapes[method],
            is_hero=method == HERO,
        )
