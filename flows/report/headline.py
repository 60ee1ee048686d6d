"""The study in words. Whoever loses is said to lose: every figure comes from the leaderboard, every rule is fixed here.

A method with several settings (names, learning rates) speaks by the one with the greatest learning minus forgetting;
it is held against the other method's setting that is nearest to it in learning, because forgetting compares fairly at
equal learning only. Settings that beat it in both are named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flows.report.numbers import bits, duration, share
from flows.report.series import HERO, Looks
from flows.report.trade_off import has_both

Row = dict[str, Any]


@dataclass(frozen=True)
class Headline:
    words: str
    more: str


def headline(settings: Sequence[Row], looks: Looks, language: str, kept_language: str) -> Headline:
    """`settings` are the leaderboard's rows of one base and language: means over seeds."""
    measured = [row for row in settings if has_both(row)]
    if not measured:
        return Headline(
            f"Nothing can be said about {language} yet",
            "No run has figures on both a held-out set of the new language and one of the original language whose "
            "text domain its replay does not contain.",
        )
    own = [row for row in measured if row["method"] == HERO]
    chosen = max(own or measured, key=lambda row: row["learning"] - row["forgetting"])
    others = [row for row in measured if row["method"] != chosen["method"]]
    words = f"{looks.of(chosen).name} {_learned(chosen)} of {language} and {_forgot(chosen, kept_language)}"
    more = [] if own else [f"No run of {HERO} has been measured yet."]
    more += _cost(chosen)
    if not others:
        return Headline(words + ".", " ".join([*more, "There is no other method to hold it against yet."]))
    other = min(others, key=lambda row: abs(row["learning"] - chosen["learning"]))
    words += f"; {looks.of(other).name} {_learned(other, unit='')} and {_forgot(other)}."
    return Headline(words, " ".join([*more, _compared(chosen, other, others, looks), _standing(measured, looks)]))


def _learned(row: Row, unit: str = " bits per byte") -> str:
    value = row["learning"]
    if bits(value) == bits(0.0):
        return "learned nothing"
    return f"learned {bits(value)}{unit}" if value > 0 else f"lost {bits(-value)}{unit}"


def _forgot(row: Row, language: str = "") -> str:
    value, of = row["forgetting"], f" of {language}" if language else ""
    if bits(value) == bits(0.0):
        return f"forgot nothing measurable{of}"
    return f"forgot {bits(value)}{of}" if value > 0 else f"forgot nothing{of} (it gained {bits(-value)})"


def _cost(row: Row) -> list[str]:
    """What the chosen setting cost, as far as it was recorded."""
    parameters, seconds = row.get("share_non_embedding"), row.get("seconds")
    costs = [f"{share(parameters)} more parameters"] if parameters else []
    costs += [f"{duration(seconds)} of training a run"] if seconds else []
    return [f"It cost {' and '.join(costs)}."] if costs else []


def _compared(chosen: Row, other: Row, others: Sequence[Row], looks: Looks) -> str:
    name, other_name = looks.of(chosen).label, looks.of(other).label
    beaten_by = [looks.of(row).label for row in others if _beats(row, chosen)]
    if beaten_by:
        are = "is" if len(beaten_by) == 1 else "are"
        return f"{_listed(beaten_by)} {are} ahead of {name} on both counts."
    if _beats(chosen, other):
        lead = f"{name} is ahead of {other_name}, the nearest to it in learning, on both counts"
    elif chosen["forgetting"] < other["forgetting"]:
        lead = f"{name} forgot less than {other_name}, the nearest to it in learning, and learned less"
    else:
        lead = f"{name} learned more than {other_name}, the nearest to it in learning, and forgot more"
    if min(chosen["learning"], chosen["forgetting"], other["learning"], other["forgetting"]) <= 0:
        return lead + "."
    learning, forgetting = chosen["learning"] / other["learning"], chosen["forgetting"] / other["forgetting"]
    return f"{lead}: {share(learning)} of its learning at {share(forgetting)} of its forgetting."


def _beats(row: Row, than: Row) -> bool:
    learning, forgetting = row["learning"] - than["learning"], than["forgetting"] - row["forgetting"]
    return learning >= 0 and forgetting >= 0 and (learning > 0 or forgetting > 0)


def _standing(measured: Sequence[Row], looks: Looks) -> str:
    most, least = max(measured, key=lambda row: row["learning"]), min(measured, key=lambda row: row["forgetting"])
    return (
        f"Of {len(measured)} settings, {looks.of(most).label} learned the most ({bits(most['learning'])}) and "
        f"{looks.of(least).label} forgot the least ({bits(least['forgetting'])})."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
