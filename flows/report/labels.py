"""Where a label fits: the first place beside its marks that hides nothing, else the one that hides least."""

from collections.abc import Sequence
from dataclasses import dataclass

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
