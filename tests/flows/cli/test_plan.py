"""`nr plan`: what a refresh would download, before it does."""

import sys

import pytest

from flows import cli
from tests.pipelines.loopback import serving
from tests.pipelines.snapshot import CRAWL, make_snapshot

CONFIG = """
language: fra
sources:
  french: {{ kind: common_crawl_index, crawl: latest, top_level_domains: [fr], {server} }}
  whole: {{ kind: common_crawl, crawl: latest, files: 2, {server} }}
corpora:
  french: {{ language: fra, text_domain: web, sources: [french, whole] }}
"""


def test_plan_shows_sizes_and_records_and_fetches_no_page(tmp_path, monkeypatch, capsys):
    snapshot = make_snapshot()
    with serving(snapshot.files) as server:
        fields = f"server: '{server.url}', collections: '{server.url}/collinfo.json'"
        (tmp_path / "study.yaml").write_text(CONFIG.format(server=fields))
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")  # narrower ones leave columns out
        monkeypatch.setattr(sys, "argv", ["nr", "plan", "study.yaml"])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        asked = list(server.requests)
    shown, said = capsys.readouterr()
    assert ended.value.code == 0
    assert f"GB of the index of {CRAWL} to read: 7 columns of" in said
    wanted = [row for row in snapshot.index if row["url_host_tld"] == "fr"]
    assert f" {len(wanted)} " in shown
    first = sorted((row["warc_filename"], row["warc_record_offset"]) for row in wanted)[:20]
    assert all(f" {offset} " in shown for _, offset in first)
    # Of the pages' files one byte, which tells how large such a file is.
    assert [request.sent for request in asked if "/warc/CC-MAIN" in request.path] == [1]
    downloads = sum(len(snapshot.files[path]) for path in snapshot.warcs[:1]) * 2 / 1e6
    assert f"{downloads:.4g}" in shown
