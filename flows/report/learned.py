"""Learning over forgetting of the runs of one base: headline, tables and pictures, a language at a time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from markupsafe import Markup

from flows.report.headline import Evidence, Headline, headline, is_of
from flows.report.inline_svg import inline_svg
from flows.report.plots import PAGE
from flows.report.scatter_plot import KL, TRADE_OFF, Measures, has_both, marked, numbers_of, scatter
from flows.report.series import Styles
from pipelines.text.languages import NAME_OF_CODE

Row = dict[str, Any]
WIDE, NARROW = (760, 460), (350, 380)


@dataclass(frozen=True)
class Choice:
    """A box of the filter: what the page shows of these runs while it is ticked."""

    name: str
    numbers: str


@dataclass(frozen=True)
class Learned:
    """The trade-off of one language on this base. Each of its runs has a number, by which the filter takes it away."""

    language: str
    kept: str  # languages of the sets that forgetting is measured on
    in_replay: bool  # these are of the replay's own domain, for want of others
    headline: Headline
    settings: list[Row]
    runs: list[Row]
    pictures: list[Markup]  # for wide and for narrow screens
    kl_pictures: list[Markup]  # KL to the base on the language against forgetting
    kl_rows: list[Row]
    choices: dict[str, list[Choice]]  # by what they choose: method, seed; none where there is but one


def learned_of(
    rows: dict[str, list[Row]], styles: Styles, evidence: Callable[[Sequence[Row], bool], Evidence]
) -> list[Learned]:
    """Return the parts of a page by language. evidence: what bears out the differences of some runs, and whether their
    forgetting is that in the replay's domain.
    """
    parts = []
    for language in sorted({row["language"] or "" for row in rows["RUNS"]}):
        runs, settings, front, behaviour = (
            [row for row in rows[name] if (row["language"] or "") == language]
            for name in ("RUNS", "SETTINGS", "FRONT", "KL")
        )
        numbers = {row["run_id"]: number for number, row in enumerate(runs)}
        for row in (*runs, *behaviour):
            row["number"] = numbers.setdefault(row["run_id"], len(numbers))
        drawn, in_replay = or_in_replay(runs)
        named = _named(language.split())
        kept = _named(
            {r["language"] for r in rows["SETS"] if r["role"] == "original" and bool(r["in_replay"]) == in_replay}
        )
        # As long a name as fits under the plot on a phone.
        forgetting = f"forgetting (bits per byte{of(kept)})"
        if in_replay:
            forgetting = "forgetting in the replay’s domain (bits per byte)"
        kl = f"KL to the base on {named} (nats per token)"
        parts.append(
            Learned(
                language=named,
                kept=kept,
                in_replay=in_replay,
                headline=headline(
                    settings_of(drawn, settings) if in_replay else settings,
                    styles,
                    named,
                    kept,
                    evidence(drawn, in_replay),
                    in_replay=in_replay,
                ),
                settings=settings,
                runs=runs,
                pictures=scatter_pictures(
                    drawn, front, styles, TRADE_OFF, forgetting, f"learning (bits per byte{of(named)})"
                ),
                kl_pictures=scatter_pictures(behaviour, [], styles, KL, kl, f"forgetting (bits per byte{of(kept)})"),
                kl_rows=behaviour,
                choices=choices(runs),
            )
        )
    return parts


def of(languages: str) -> str:
    return f" of {languages}" if languages else ""


def or_in_replay(runs: Sequence[Row]) -> tuple[list[Row], bool]:
    """Return the runs with forgetting on text of the replay's own domain, where none has it on other text; and whether
    that is so.
    """
    if any(map(has_both, runs)):
        return list(runs), False
    found = [
        {**run, "forgetting": run["forgetting_in_replay"], "forgetting_stderr": run["forgetting_in_replay_stderr"]}
        for run in runs
    ]
    return (found, True) if any(map(has_both, found)) else (list(runs), False)


def settings_of(runs: Sequence[Row], settings: Sequence[Row]) -> list[Row]:
    """Return the settings with the mean forgetting of their runs."""
    found = []
    for setting in settings:
        own = [run["forgetting"] for run in runs if is_of(run, setting) and run["forgetting"] is not None]
        found.append({**setting, "forgetting": fmean(own) if own else None})
    return found


def choices(runs: Sequence[Row], by: Sequence[str] = ("method", "seed")) -> dict[str, list[Choice]]:
    """Return what can be chosen among runs that have a `number`, by columns of which they have several values."""
    found = {}
    for column in by:
        values = sorted({row[column] for row in runs}, key=lambda value: (value is None, value))
        of = {value: " ".join(str(row["number"]) for row in runs if row[column] == value) for value in values}
        if len(of) > 1:
            found[column] = [Choice("none" if value is None else str(value), of[value]) for value in values]
    return found


def scatter_pictures(
    runs: Sequence[Row], front: Sequence[Row], styles: Styles, measures: Measures, right: str, up: str
) -> list[Markup]:
    """Draw one figure against another for both widths; nothing where no run has both."""
    runs = marked(runs, styles, measures)
    tips = [measures.tip(row, styles) for row in runs]
    about = f"{up} against {right}, {len(runs)} runs. The same figures stand in the table below."
    sizes = (("wide", WIDE), ("narrow", NARROW)) if runs else ()
    drawn = [(name, scatter(runs, front, styles, measures, (right, up), size, PAGE)) for name, size in sizes]
    return [inline_svg(figure, name, about, tips, (40, 28), numbers=numbers_of(runs)) for name, figure in drawn]


def _named(languages: Iterable[str]) -> str:
    """Return English names of ISO 639-3 codes, as people say them."""
    return " and ".join(sorted(NAME_OF_CODE.get(code, code) for code in languages))
