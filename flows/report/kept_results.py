"""Plots of kept results: learning over forgetting, a picture a file and base."""

from itertools import groupby
from pathlib import Path

from flows.report.inline_svg import drawing
from flows.report.paper_figures import FORGETTING, LEARNING
from flows.report.plots import PAPER
from flows.report.scatter_plot import TRADE_OFF, marked, scatter
from flows.report.series import Styles
from storage.errors import InputError
from storage.kept_results import KeptResults
from storage.query import query

SIZE = (560, 420)  # points: a page of the documentation; a study may have forty marks
ROWS = "FROM results ORDER BY study, base_model_id, language, forgetting, run_id"
FRONT = "SELECT run_id FROM results_front"


def draw_results(kept: KeptResults) -> list[Path]:
    """Write an SVG beside each file of results, more where it has several bases or languages.

    Raises:
        InputError: there is nothing that has been measured.
    """
    front = {run_id for (run_id,) in query(kept, FRONT).rows}
    written = []
    for study, of_study in groupby(query(kept, ROWS).as_dicts(), key=lambda row: row["study"]):
        groups = groupby(of_study, key=lambda row: (row["base_model_id"], row["language"]))
        for number, rows in enumerate(list(members) for _, members in groups):
            styles = Styles(rows)
            if not (runs := marked(rows, styles, TRADE_OFF)):
                continue
            path = kept.root / f"{study}{f'-{number + 1}' if number else ''}.svg"
            best = [row for row in runs if row["run_id"] in front]
            with drawing():
                figure = scatter(runs, best, styles, TRADE_OFF, (FORGETTING, LEARNING), SIZE, PAPER)
                figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
            written.append(path)
    if not written:
        raise InputError(f"{kept.root} holds no measured run, so there is nothing to draw")
    return written
