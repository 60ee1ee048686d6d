"""The page that compares the studies of a workspace: every run once, linked to its report, and text stays text."""

import shutil

import pytest

from flows.report import write_report
from flows.report.comparison import FILE, write_comparison
from storage.catalog import refresh_catalog
from storage.query import query
from storage.records import write_records
from storage.workspace import Workspace
from tests.flows.report.test_report import HOSTILE, Page, record_base, record_corpora, record_run

TITLE = f"Second {HOSTILE}"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("compared") / "workspace")
    record_corpora(workspace)
    for base in ("base", "other"):
        record_base(workspace, base)
    write_records(
        workspace, "models", "other", [{"model_id": "other", "source": f"/home/me/{HOSTILE}", "parameters": 9}]
    )
    record_run(workspace, "lora", 0, 0.31, 0.21)
    record_run(workspace, "neutral_residues", 7, 0.42, 0.03, name=f"n {HOSTILE}", base_model_id="other")
    refresh_catalog(workspace)
    return workspace


@pytest.mark.slow
def test_runs_of_two_studies_stand_in_one_plot_and_table_with_links_to_their_reports(workspace):
    first = write_report(workspace, title="first", base_model_id="base")
    assert "/home/me" not in (workspace.reports / FILE).read_text(encoding="utf-8"), "of a base without a report"
    second = write_report(workspace, title=TITLE, base_model_id="other")
    write_report(workspace, title="all")  # about both bases: the narrower reports are linked
    text = (workspace.reports / FILE).read_text(encoding="utf-8")
    page = Page(text)
    assert [given["href"] for tag, given in page.tags if tag == "a"] == [first.name, second.name]
    assert sum("data-of" in given for tag, given in page.tags if tag == "tr") == 2
    assert page.count("g", "point") == 2 * 2  # for wide and narrow screens
    for figure in ("0.310", "0.210", "0.420", "0.030"):
        assert figure in page.text
    assert HOSTILE not in text and f"Second {HOSTILE}" in page.text and "/home/me" not in text
    assert page.text.count("seed 0: learning") == 2 * 2  # title and tip, wide and narrow: none of the reports' pictures
    boxes = [given["data-of"] for tag, given in page.tags if tag == "input"]
    assert boxes == ["0", "1"] * 3  # studies, methods, seeds
    assert not [tag for tag, given in page.tags if given.get("src") or tag in ("link", "iframe")]


@pytest.mark.parametrize("so_many", [1, 2])
def test_runs_whose_forgetting_is_known_in_the_replays_domain_alone_have_a_plot_that_says_so(
    workspace, so_many, tmp_path
):
    own = Workspace(shutil.copytree(workspace.root, tmp_path / "workspace"))
    # Some runs have been trained on text of each domain that is measured.
    for (run_id,) in query(own, f"SELECT run_id FROM runs ORDER BY method LIMIT {so_many}").rows:
        inputs = [("c-n", "new", "fra"), ("c-o1", "original", "eng"), ("c-o2", "original", "eng")]
        names = ("corpus_version", "role", "language")
        rows = [{"run_id": run_id, **dict(zip(names, one, strict=True)), "share": 0.3} for one in inputs]
        write_records(own, "run_inputs", run_id, rows)
    refresh_catalog(own)
    page = Page(write_comparison(own).read_text(encoding="utf-8"))
    assert page.count("g", "point") == 2 * 2 and page.count("figure", "plot") == 3 - so_many
    assert page.text.count("on held-out text of the replay’s own domain") == 1
    assert "so there is nothing to plot" not in page.text


def test_a_workspace_of_one_study_needs_none(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    record_corpora(workspace)
    record_base(workspace)
    record_run(workspace, "lora", 0, 0.31, 0.21)
    refresh_catalog(workspace)
    write_report(workspace, title="first")
    assert not (workspace.reports / FILE).exists()
