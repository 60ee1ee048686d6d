"""docs/notebook.ipynb runs from its first cell to its last: it trains, draws the gates and writes."""

import re
from pathlib import Path

import nbclient
import nbformat
import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(REPOSITORY / "docs" / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    printed = "".join(output.get("text", "") for output in outputs)
    learned, forgot = map(float, re.search(r"learned (\S+) and forgot (\S+) bits", printed).groups())
    assert learned > 0.05 and forgot < learned
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert "extended:" in printed
