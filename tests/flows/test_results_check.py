"""The row that anybody can repeat: what is trained, and when it counts as found again."""

import re
from pathlib import Path

from flows.config.study import load_config
from flows.results_check import STATED, print_figure, study

REPOSITORY = Path(__file__).parents[2]


def test_one_row_of_the_demo_is_trained_in_a_folder_of_its_own(tmp_path):
    checked, demo = study(tmp_path), load_config(REPOSITORY / "configs" / "demo.yaml")
    [method] = checked.methods
    assert method in demo.methods and (method.method, checked.seeds) == ("neutral_residues", [0])
    assert Path(checked.workspace).parent == tmp_path
    assert (checked.base, checked.corpora, checked.training) == (demo.base, demo.corpora, demo.training)


def test_what_is_stated_is_what_the_page_says(capsys):
    page = (REPOSITORY / "docs" / "results.md").read_text()
    found = re.search(r"\| neutral residues, α 3 \| (\.\d+) / \.\d+ \| \+(\.\d+) / ", page)
    assert [stated for stated, _ in STATED.values()] == [float(figure) for figure in found.groups()]
    assert print_figure("forgetting", STATED["forgetting"][0]) and not print_figure("forgetting", 0.459)
    assert "NOT within" in capsys.readouterr().out
