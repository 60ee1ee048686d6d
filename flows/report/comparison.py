"""A page that holds the studies of one workspace against each other: learning over forgetting, and a table of all runs.

A study is what was done on one base for one language. Which report shows it, its page says itself, in its head.
"""

from dataclasses import dataclass
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from flows.report.inline_svg import drawing
from flows.report.learned import choices, or_in_replay, scatter_pictures
from flows.report.queries import STUDIES, Answer, ask
from flows.report.scatter_plot import TRADE_OFF, has_both
from flows.report.series import Styles
from flows.report.templates import render
from pipelines.text.languages import NAME_OF_CODE
from storage.files import write_atomically
from storage.locations import values_without_folders
from storage.workspace import Workspace

FILE = "_studies.html"  # no title becomes a name with an underscore
HEAD = 1 << 16  # characters of a page that hold its title and bases
LONGEST_TITLE = 100  # characters
BASES = "neutral-residues-bases"  # the meta element in which a report says whose runs it shows
Row = dict[str, Any]


@dataclass(frozen=True)
class Compared:
    """A study of the workspace; `number` tells it apart in the plot."""

    number: int
    title: str
    base: str
    language: str
    link: str | None  # to its report, beside this page
    runs: list[Row]


def write_comparison(workspace: Workspace) -> Path | None:
    """Write reports/_studies.html where the workspace has several studies with measured runs; else return None."""
    answer = ask(workspace, STUDIES)
    studies = _studies(answer, workspace.reports)
    if len(studies) < 2:
        return None
    runs = [run for study in studies for run in study.runs]
    styles = Styles(runs)
    in_replay, is_known = or_in_replay([run for run in runs if not has_both(run)])
    with drawing():
        pictures = _pictures(runs, styles, "forgetting (bits per byte)")
        in_replay_pictures = _pictures(
            in_replay if is_known else [], styles, "forgetting in the replay’s domain (bits per byte)"
        )
    html = render(
        "comparison.html",
        studies=studies,
        styles=styles,
        pictures=pictures,
        in_replay_pictures=in_replay_pictures,
        choices=choices(runs, ("study", "method", "seed")),
        answer=answer,
    )
    path = workspace.reports / FILE
    write_atomically(path, html)
    return path


def _pictures(runs: list[Row], styles: Styles, forgetting: str) -> list[Markup]:
    return scatter_pictures(runs, [], styles, TRADE_OFF, forgetting, "learning (bits per byte)")


def _studies(answer: Answer, reports: Path) -> list[Compared]:
    titles = _reports_by_base(reports)
    found: list[Compared] = []
    for (base, language), members in groupby(answer.rows, key=lambda row: (row["base_model_id"], row["language"])):
        runs, number = list(members), len(found) + 1
        title, link = titles.get(base, (runs[0]["base"], None))
        named = " and ".join(NAME_OF_CODE.get(code, code) for code in (language or "").split())
        for run in runs:
            run["study"] = f"{number} {values_without_folders(title)}, {named}"
            run["method_alone"], run["name"] = run["name"], f"{number} {run['name']}"
        found.append(Compared(number, title, runs[0]["base"], named, link, runs))
    for place, run in enumerate(run for study in found for run in study.runs):
        run["number"] = place
    return found


def _reports_by_base(reports: Path) -> dict[str, tuple[str, str]]:
    """Return title and address of the report of each base: the one about the fewest bases, of these the newest."""
    found = []
    for path in reports.glob("*.html"):
        if path.name != FILE and path.is_file():
            head = _Head(path)
            found.append((len(head.bases), -path.stat().st_mtime, head, quote(path.name)))
    by_base: dict[str, tuple[str, str]] = {}
    for _, _, head, link in sorted(found, key=lambda one: one[:2]):
        for base in head.bases:
            by_base.setdefault(base, (head.title or link, link))
    return by_base


class _Head(HTMLParser):
    """Title and bases of a report; none of a page of another kind, or from before it named them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.title, self.bases = "", list[str]()
        self._in_title = self._over = False
        with path.open(encoding="utf-8", errors="replace") as stream:
            self.feed(stream.read(HEAD))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_title = tag == "title" and not self._over  # pictures have titles too
        if tag == "meta" and given.get("name") == BASES and not self.bases:
            self.bases = (given.get("content") or "").split()

    def handle_endtag(self, tag: str) -> None:
        self._in_title, self._over = False, self._over or tag == "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title = (self.title + data)[:LONGEST_TITLE]
