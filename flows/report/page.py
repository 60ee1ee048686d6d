"""Write the report: everything asked of the catalog, one template, one file."""

import re
from collections.abc import Sequence
from pathlib import Path

from flows.report.comparison import write_comparison
from flows.report.inline_svg import drawing
from flows.report.page_data import study_of
from flows.report.queries import BASES, MODEL, ask
from flows.report.templates import render
from storage.catalog import connect
from storage.errors import InputError
from storage.files import write_atomically
from storage.keys import hash_of
from storage.workspace import Workspace


def write_report(
    workspace: Workspace, *, title: str, base_model_id: str | None = None, config_yaml: str | None = None
) -> Path:
    """Write reports/<title>.html about the runs on a base (default: on every base, the newest first); return its path.
    Where the workspace has several studies, the page that compares them is written anew.

    The file needs no network; its one script copies text and filters runs, and is the only one that its policy allows.
    Every figure in it comes from the catalog.

    Raises:
        InputError: nothing has been recorded in the workspace yet, or the base is not in its catalog.
    """
    with connect(workspace), drawing():  # held open, for each statement would open the catalog anew
        bases: Sequence[str | None] = _bases(workspace, base_model_id)
        studies = [study_of(workspace, base, number) for number, base in enumerate(bases or [None], start=1)]
    html = render("page.html", title=title, bases=bases, studies=studies, has_runs=bool(bases), config_yaml=config_yaml)
    path = report_file(workspace, title)
    write_atomically(path, html)
    write_comparison(workspace)
    return path


def report_file(workspace: Workspace, title: str) -> Path:
    return workspace.reports / f"{_slug(title)}.html"


def bases_of(workspace: Workspace) -> list[str]:
    """Return the bases that have runs, the newest first."""
    return [row["base_model_id"] for row in ask(workspace, BASES).rows if row["base_model_id"] is not None]


def _bases(workspace: Workspace, base_model_id: str | None) -> list[str]:
    bases = bases_of(workspace)
    if base_model_id is None or base_model_id in bases:
        return bases if base_model_id is None else [base_model_id]
    if not ask(workspace, MODEL, base_model_id).rows:
        known = ", ".join(bases) or "none"
        raise InputError(f"there is no base model {base_model_id!r} in workspace {workspace.root}; with runs: {known}")
    return []


def _slug(title: str) -> str:
    """Return a file name out of a title: two titles never share one, in whatever case or script they are."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:80] or "report"
    return slug if slug == title else f"{slug}-{hash_of(ascii(title))[:8]}"
