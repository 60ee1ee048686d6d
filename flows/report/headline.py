"""The study in words. Whoever loses is said to lose: every figure comes from the leaderboard, every rule is fixed here.

A method with several settings (names, learning rates) speaks by the one with the greatest learning minus forgetting;
it is held against the other method's setting that is nearest to it in learning, because forgetting compares fairly at
equal learning only. Settings that beat it are named. More or less is said only of a difference whose 95 % interval
does not hold 0; else the two did as much. Figures whose interval nothing tells are said to bear none.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import fmean, stdev
from typing import Any, Literal

from flows.report.scatter_plot import has_both
from flows.report.series import HALF_INTERVAL, MINUS, REFERENCE_METHOD, SPACE, Styles, bits, duration, share
from storage.query import query
from storage.workspace import Workspace

# How sure a difference between two settings is: its 95 % interval over documents, which both saw, and over seeds.


Row = dict[str, Any]
Axis = Literal["learning", "forgetting"]
Errors = dict[Axis, tuple[float, float]]  # of each axis, a figure and its standard error over documents
SETTING = ("language", "name", "method", "learning_rate")

# Run b minus run a on the same documents. Bits less are learning, bits more forgetting.
PAIR = """SELECT CASE e.role WHEN 'new' THEN 'learning' ELSE 'forgetting' END AS axis,
       avg(CASE e.role WHEN 'new' THEN -c.difference ELSE c.difference END) AS difference,
       sqrt(sum(((c.high - c.low) / 2) ** 2)) / count(*) AS half_interval
FROM compare_runs((SELECT model_id FROM runs WHERE run_id = $a), (SELECT model_id FROM runs WHERE run_id = $b)) c
JOIN run_evaluations e ON e.run_id = $a AND e.eval_id = c.eval_id AND e.metric = c.metric
WHERE c.metric = 'bits_per_byte' AND (e.role = 'new' OR e.role = 'original' AND e.in_replay = $in_replay)
GROUP BY ALL HAVING count(c.low) = count(*)"""


@dataclass(frozen=True)
class Estimate:
    """A figure with half the width of its 95 % interval (normal approximation); None where nothing tells it."""

    value: float
    half: float | None = None

    @property
    def sign(self) -> int:
        """1 or -1 where the figure is more or less than 0, and its interval does not hold 0."""
        near = bits(self.value) == bits(0.0) if self.half is None else not abs(self.value) > self.half
        return 0 if near else 1 if self.value > 0 else -1


class Evidence:
    """Compares the settings of a base by their runs. `pair` gives run b minus run a, by their ids."""

    def __init__(self, runs: Sequence[Row] = (), pair: Callable[[str, str], Errors] = lambda a, b: {}) -> None:
        self._runs, self._pair = [run for run in runs if has_both(run)], pair

    @cached_property
    def _by_setting(self) -> dict[tuple[Any, ...], list[Row]]:
        found: dict[tuple[Any, ...], list[Row]] = {}
        for run in self._runs:
            found.setdefault(_key(run), []).append(run)
        return found

    def figure(self, setting: Row, axis: Axis) -> Estimate:
        """Return a setting's own figure: against the base."""
        runs = self._by_setting.get(_key(setting), [])
        return _estimate(setting[axis], [run[axis] for run in runs], [run[f"{axis}_stderr"] for run in runs])

    def difference(self, a: Row, b: Row, axis: Axis) -> Estimate:
        """Subtract setting a from b: seed by seed, on the same documents, as far as they have seeds in common."""
        value = b[axis] - a[axis]
        of_a, of_b = ({run["seed"]: run for run in self._by_setting.get(_key(row), [])} for row in (a, b))
        pairs = [self._pair(of_a[seed]["run_id"], of_b[seed]["run_id"]) for seed in of_a.keys() & of_b.keys()]
        found = [pair[axis] for pair in pairs if axis in pair]
        if found:
            return _estimate(value, [difference for difference, _ in found], [error for _, error in found])
        halves = [self.figure(row, axis).half for row in (a, b)]
        known = [half for half in halves if half is not None]
        return Estimate(value, math.hypot(*known) if len(known) == 2 else None)


def evidence_of(workspace: Workspace, runs: Sequence[Row], in_replay: bool = False) -> Evidence:
    """Return what bears out differences; `runs` are rows of queries.RUNS. in_replay: forgetting is that on text of the
    replay's own domain.
    """

    @cache  # both axes ask it, and each sentence of its own
    def pair(a: str, b: str) -> Errors:
        rows = query(workspace, PAIR, {"a": a, "b": b, "in_replay": in_replay}).as_dicts()
        return {row["axis"]: (row["difference"], row["half_interval"] / HALF_INTERVAL) for row in rows}

    return Evidence(runs, pair)


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in SETTING)


def is_of(run: Row, setting: Row) -> bool:
    return _key(run) == _key(setting)


def _estimate(value: float, over_seeds: Sequence[float], errors: Sequence[float | None]) -> Estimate:
    """Estimate a mean over seeds.

    Documents are the same for every seed, so their error does not shrink with seeds; that of the seeds does.
    """
    known = [error for error in errors if error is not None and math.isfinite(error)]
    of_seeds = stdev(over_seeds) / math.sqrt(len(over_seeds)) if len(over_seeds) > 1 else 0.0
    if not known and not of_seeds:
        return Estimate(value)
    return Estimate(value, HALF_INTERVAL * math.hypot(fmean(known) if known else 0.0, of_seeds))


AXES: tuple[Axis, Axis] = ("learning", "forgetting")
NAMED = 3  # more settings than that are only counted
ANOTHER_TEXT = "a text that the base knows and no run has seen, under evaluation.texts, tells"
IN_REPLAY = (
    f"What was forgotten was measured on text of the replay’s own domain, which is kept best; {ANOTHER_TEXT} the rest."
)
NOT_MEASURED = f"What was forgotten has not been measured; {ANOTHER_TEXT} it."


@dataclass(frozen=True)
class Headline:
    words: str
    more: str


def headline(
    settings: Sequence[Row],
    styles: Styles,
    language: str,
    kept_language: str,
    evidence: Evidence | None = None,
    *,
    in_replay: bool = False,
) -> Headline:
    """Sum up what was found; `settings` are the leaderboard's rows of one base and language: means over seeds.

    in_replay: forgetting is that on text of the replay's own domain, for want of another.
    """
    evidence = evidence or Evidence()
    measured = [row for row in settings if has_both(row)]
    if not measured:
        return _without_forgetting(settings, styles, language, evidence)
    own = [row for row in measured if row["method"] == REFERENCE_METHOD]
    chosen = max(own or measured, key=lambda row: row["learning"] - row["forgetting"])
    others = [row for row in measured if row["method"] != chosen["method"]]
    words = f"{styles.of(chosen).name} {_learned(chosen, evidence)} of {language} and "
    words += _forgot(chosen, evidence, kept_language)
    more = [IN_REPLAY] if in_replay else []
    more += [] if own else [f"No run of {REFERENCE_METHOD} has been measured yet."]
    more += _cost(chosen)
    if not others:
        more += ["There is no other method to hold it against yet.", *_without_interval([chosen], AXES, evidence)]
        return Headline(words + ".", " ".join(more))
    other = min(others, key=lambda row: abs(row["learning"] - chosen["learning"]))
    words += f"; {styles.of(other).name} {_learned(other, evidence, unit='')} and {_forgot(other, evidence)}."
    more += [_compared(chosen, other, others, styles, evidence), _standing(measured, styles, evidence)]
    more += _without_interval(measured, AXES, evidence)
    return Headline(words, " ".join(more))


def _without_forgetting(settings: Sequence[Row], styles: Styles, language: str, evidence: Evidence) -> Headline:
    learned = [row for row in settings if row["learning"] is not None and math.isfinite(row["learning"])]
    if not learned:
        return Headline(f"Nothing can be said about {language} yet", "No run has a figure on held-out text of it.")
    own = [row for row in learned if row["method"] == REFERENCE_METHOD]
    chosen = max(own or learned, key=lambda row: row["learning"])
    words = f"{styles.of(chosen).name} {_learned(chosen, evidence)} of {language}."
    return Headline(
        words, " ".join([NOT_MEASURED, *_cost(chosen), *_without_interval([chosen], ("learning",), evidence)])
    )


def _learned(row: Row, evidence: Evidence, unit: str = " bits per byte") -> str:
    value, sign = row["learning"], evidence.figure(row, "learning").sign
    if sign == 0:
        return "learned nothing" + ("" if bits(value) == bits(0.0) else " measurable")
    return f"learned {bits(value)}{unit}" if sign > 0 else f"lost {bits(-value)}{unit}"


def _forgot(row: Row, evidence: Evidence, language: str = "") -> str:
    value, of = row["forgetting"], f" of {language}" if language else ""
    sign = evidence.figure(row, "forgetting").sign
    if sign == 0:
        return f"forgot nothing measurable{of}"
    return f"forgot {bits(value)}{of}" if sign > 0 else f"forgot nothing{of} (it gained {bits(-value)})"


def _cost(row: Row) -> list[str]:
    """Return what the chosen setting cost, as far as it was recorded."""
    parameters, seconds = row.get("share_non_embedding"), row.get("seconds")
    costs = [f"{share(parameters)} more parameters"] if parameters else []
    costs += [f"{duration(seconds)} of training a run"] if seconds else []
    return [f"It cost {' and '.join(costs)}."] if costs else []


def _compared(chosen: Row, other: Row, others: Sequence[Row], styles: Styles, evidence: Evidence) -> str:
    name, other_name = styles.of(chosen).label, styles.of(other).label
    beaten_by = [styles.of(row).label for row in others if _beats(row, chosen, evidence)]
    if beaten_by:
        are = "is" if len(beaten_by) == 1 else "are"
        return f"{_listed(beaten_by)} {are} ahead of {name} on both counts."
    learned, forgot = (evidence.difference(other, chosen, axis) for axis in AXES)
    beside = f"{other_name}, the nearest to it in learning"
    if learned.sign == forgot.sign == 0:
        return f"{name} learned and forgot as much as {beside}{_interval(learned, forgot)}."
    if learned.sign > 0 > forgot.sign:
        lead = f"{name} is ahead of {beside}, on both counts"
    elif learned.sign == 0:
        word = "less" if forgot.sign < 0 else "more"
        lead = f"{name} learned as much as {beside}{_interval(learned)}, and forgot {word}"
    elif forgot.sign == 0:
        word = "more" if learned.sign > 0 else "less"
        lead = f"{name} learned {word} than {beside}, and forgot as much{_interval(forgot)}"
    elif forgot.sign < 0:
        lead = f"{name} forgot less than {beside}, and learned less"
    else:
        lead = f"{name} learned more than {beside}, and forgot more"
    differences: list[tuple[Axis, Estimate]] = [("learning", learned), ("forgetting", forgot)]
    shares = [
        f"{_share_of_another(chosen[axis] / other[axis])} of its {axis}"
        for axis, estimate in differences
        if estimate.sign and evidence.figure(chosen, axis).sign > 0 and evidence.figure(other, axis).sign > 0
    ]
    return f"{lead}: {' at '.join(shares)}." if shares else f"{lead}."


def _share_of_another(ratio: float) -> str:
    """Return a share of what differs beyond chance: it does not round to all."""
    percent = 100 * ratio
    return f"{percent:.1f}{SPACE}%" if round(percent) == 100 else share(ratio)


def _without_interval(rows: Sequence[Row], axes: Sequence[Axis], evidence: Evidence) -> list[str]:
    """Return what is to be said where the 95 % interval of some figures of these settings is not known."""
    bare = [axis for axis in axes if any(evidence.figure(row, axis).half is None for row in rows)]
    if not bare:
        return []
    return [
        f"No interval is known of {_listed(bare)}, which takes the figures of two documents or more, each on record: "
        "what is said of it may be chance."
    ]


def _interval(*estimates: Estimate) -> str:
    """Name the intervals that hold 0, for who asks how close as much is."""
    known = [f"{_signed(e.value - e.half)} to {_signed(e.value + e.half)}" for e in estimates if e.half is not None]
    of = "s of the differences" if len(known) > 1 else " of the difference"
    return f" (95 % interval{of} {' and '.join(known)})" if known else ""


def _signed(value: float) -> str:
    text = bits(value)
    return text if text.startswith(MINUS) or not float(text) else f"+{text}"


def _beats(row: Row, than: Row, evidence: Evidence) -> bool:
    return [evidence.difference(than, row, axis).sign for axis in AXES] == [1, -1]


def _standing(measured: Sequence[Row], styles: Styles, evidence: Evidence) -> str:
    most, least = max(measured, key=lambda row: row["learning"]), min(measured, key=lambda row: row["forgetting"])
    tops: list[tuple[Row, Axis, str]] = [
        (most, "learning", "learned the most"),
        (least, "forgetting", "forgot the least"),
    ]
    said = []
    for top, axis, words in tops:
        alike = [row for row in measured if row is not top and evidence.difference(top, row, axis).sign == 0]
        as_much = f", and {_some([styles.of(row).label for row in alike])} as much" if alike else ""
        said.append(f"{styles.of(top).label} {words} ({bits(top[axis])}){as_much}")
    return f"Of {len(measured)} settings, {'; '.join(said) if ', and' in ''.join(said) else ' and '.join(said)}."


def _some(names: Sequence[str]) -> str:
    return _listed(names) if len(names) <= NAMED else f"{len(names)} others"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
