"""benchmarks/reading.py reads what a refresh would; its figures are not looked at here."""

import json
import sys

from benchmarks.reading import main
from tests.pipelines.warc_files import Page


def test_the_last_line_has_figures_by_languages(write_warc, monkeypatch, capsys):
    page = Page("<p>" + "The kettle boils on the stove in the kitchen. " * 20 + "</p>")
    folder = write_warc([page], "webpages-0.warc.gz").parent
    monkeypatch.setattr(sys, "argv", ["reading", str(folder), "--rounds", "1"])
    main()
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(figures) == ["every", "eng, hun", "hun"]
    assert all(of["cpu_seconds_a_gb"] > 0 and of["pages_a_cpu_second"] > 0 for of in figures.values())
