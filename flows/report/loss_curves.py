"""Loss curves as small multiples on one scale: a panel a setting, its seeds in it, the other runs behind in grey."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.report.series import Style, Styles, bits, short
from flows.report.trade_off_plot import Scale, scale_of

Row = dict[str, Any]
WIDTH, HEIGHT = 240, 170
LEFT, RIGHT, TOP, BOTTOM = 34, 12, 10, 24


@dataclass(frozen=True)
class Curve:
    path: str
    end_x: float
    end_y: float


@dataclass(frozen=True)
class Panel:
    style: Style
    curves: list[Curve]
    last: str  # last losses in words, a seed each


@dataclass(frozen=True)
class LossCurves:
    panels: list[Panel]
    every_path: list[str]
    x: Scale
    y: Scale
    unit: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT

    def x_text(self, tick: float) -> str:
        return short(tick)


def loss_curves(steps: Sequence[Row], runs: Sequence[Row], styles: Styles) -> LossCurves | None:
    """`steps` are rows of queries.LOSS, `runs` of queries.COST. None where no run has recorded steps."""
    by_run: dict[str, list[Row]] = {}
    for row in steps:
        if math.isfinite(row["lm_loss"]):
            by_run.setdefault(row["run_id"], []).append(row)
    if not by_run:
        return None
    unit = "tokens" if all(row["tokens"] is not None for rows in by_run.values() for row in rows) else "step"
    rows = [row for run in by_run.values() for row in run]
    x = scale_of([0, *(row[unit] for row in rows)], LEFT, WIDTH - RIGHT, about=2)
    y = scale_of([row["lm_loss"] for row in rows], HEIGHT - BOTTOM, TOP, about=6, margin=0.04)
    curves = {run_id: _curve(rows, x, y, unit) for run_id, rows in by_run.items()}
    groups: dict[Style, list[Row]] = {}
    for run in runs:
        if run["run_id"] in curves:
            groups.setdefault(styles.of(run), []).append(run)
    panels = [
        Panel(
            style,
            [curves[run["run_id"]] for run in group],
            ", ".join(bits(by_run[run["run_id"]][-1]["lm_loss"]) for run in group),
        )
        for style, group in sorted(groups.items(), key=lambda item: (not item[0].is_reference, item[0].label))
    ]
    return LossCurves(
        panels, [curve.path for curve in curves.values()], x, y, "tokens" if unit == "tokens" else "steps"
    )


def _curve(rows: Sequence[Row], x: Scale, y: Scale, unit: str) -> Curve:
    points = [(x(row[unit]), y(row["lm_loss"])) for row in rows]
    path = "M" + "L".join(f"{a:g},{b:g}" for a, b in points)
    return Curve(path, *points[-1])
