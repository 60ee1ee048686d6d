"""From a WARC to documents: every page has a row, and the row says why it is out."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.documents.stage import documents_key, process_unit, process_units
from pipelines.settings import DocumentSettings, WarcSource
from pipelines.sources.work_units import UnitReport, WorkUnit, documents_file, list_work_units
from pipelines.text.scores import scores_of_texts
from storage.errors import InputError
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, FRENCH, Page, html, prose, warc_bytes

WriteWarc = Callable[..., Path]


def unit_of(path: Path, workspace: Workspace) -> WorkUnit:
    [unit] = list_work_units({"crawl": WarcSource(paths=[str(path)])}, workspace)
    return unit


def process(path: Path, workspace: Workspace, settings: DocumentSettings) -> tuple[UnitReport, list[dict[str, Any]]]:
    report = process_unit(unit_of(path, workspace), settings, workspace.root)
    return report, pq.read_table(documents_file(workspace.root, report.unit_id)).to_pylist()


def test_a_page_of_every_kind(write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings) -> None:
    english, french = prose(ENGLISH, 1), prose(FRENCH, 2)
    noai = {"Content-Type": "text/html", "X-Robots-Tag": "noindex, NoAI"}
    menu = "<nav><ul><li><a href=/>Home</a></li></ul></nav>"
    pages = [
        Page(html(english, title="On\x00e\n  page"), "https://WWW.Example.org:443/one\x1b[2J"),
        Page(html(french).encode("cp1252"), headers={"Content-Type": "text/html; charset=latin1"}),
        Page(html(english), headers=noai),
        Page(html(english, head='<META NAME="Robots" CONTENT="index,noai">')),
        Page(html(english, head='<meta name="robots" content="noindex">')),
        Page(b"GIF89a", headers={"Content-Type": "image/gif"}),
        Page("", status="302 Found", headers={"Location": "/"}),
        Page(bytes(range(256)) * 9),
        Page(f"<html><body>{menu}</body></html>"),
        Page("", record_type="request"),
    ]
    report, documents = process(write_warc(pages), workspace, document_settings)
    assert [document["reason"] for document in documents] == [
        "kept",
        "kept",
        "x_robots_tag",
        "meta_robots",
        "kept",
        "not_html",
        "redirect",
        "undecodable",
        "no_main_content",
    ]
    first, second, *_ = documents
    assert first["text"] == english.replace("\n", "\n\n")  # paragraphs stand apart
    assert (first["host"], first["url"], first["title"]) == (
        "www.example.org",
        "https://WWW.Example.org:443/one[2J",
        "On\ufffde page",
    )
    assert second["text"] == french.replace("\n", "\n\n")
    assert (second["language"], second["encoding"], second["encoding_source"]) == ("fra", "cp1252", "http")
    assert all((document["text"] is None) == (document["reason"] != "kept") for document in documents)
    assert [document["row"] for document in documents] == list(range(9))
    assert (report.records, report.documents, report.failures) == (10, 9, [])
    counted = {(row["language"], row["stage"], row["reason"]): row["documents"] for row in report.funnel}
    assert counted == {
        ("eng", "extract", "kept"): 2,
        ("fra", "extract", "kept"): 1,
        ("und", "opt_out", "x_robots_tag"): 1,
        ("und", "opt_out", "meta_robots"): 1,
        ("und", "gate", "not_html"): 1,
        ("und", "gate", "redirect"): 1,
        ("und", "decode", "undecodable"): 1,
        ("und", "extract", "no_main_content"): 1,
    }
    assert sum(row["characters"] for row in report.funnel) == sum(document["characters"] for document in documents)


def test_a_page_keeps_the_languages_that_its_crawler_found_and_an_opted_out_one_counts_in_the_first(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    def metadata(codes: str) -> Page:
        languages = [{"code-iso-639-3": code} for code in codes.split()]
        return Page(f"languages-cld2: {json.dumps({'languages': languages})}\r\n", record_type="metadata")

    noai = {"Content-Type": "text/html", "X-Robots-Tag": "noai"}
    pages = [
        Page(html(prose(ENGLISH, 1))), metadata("spa eng"),
        Page(html(prose(ENGLISH, 2)), headers=noai), metadata("ekk"),
        metadata("fra"),  # on no page
        Page(html(prose(ENGLISH, 3)), headers=noai),
    ]  # fmt: skip
    path = write_warc(pages, "crawl.warc.gz")
    report, documents = process(path, workspace, document_settings)
    assert [row["content_languages"] for row in documents] == ["spa,eng", "ekk", None]
    assert [row["language"] for row in documents] == ["eng", None, None]
    counted = {(row["language"], row["reason"]): row["documents"] for row in report.funnel}
    assert counted == {("eng", "kept"): 1, ("est", "x_robots_tag"): 1, ("und", "x_robots_tag"): 1}
    assert report.records == 6
    assert {row["warc_filename"] for row in documents} == {"crawl.warc.gz"}  # and no folder of this machine
    assert [row["warc_record_offset"] for row in documents] == [warc_bytes(pages)[1][place] for place in (0, 2, 5)]


def test_a_done_unit_is_not_read_again(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = write_warc([Page(html(prose(ENGLISH, 1)))])
    report, _ = process(path, workspace, document_settings)
    file = documents_file(workspace.root, report.unit_id)
    written = file.stat().st_mtime_ns
    assert process(path, workspace, document_settings)[0] == report
    assert file.stat().st_mtime_ns == written
    file.write_bytes(file.read_bytes()[:-1])  # not whole: made again, to the same bytes
    again, _ = process(path, workspace, document_settings)
    assert (again.file_sha256, again.attempts) == (report.file_sha256, 2)


@pytest.mark.slow
def test_units_are_known_by_content_and_survive_each_other(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    good = write_warc([Page(html(prose(ENGLISH, 1)))], "a.warc.gz")
    write_warc([Page(html(prose(ENGLISH, 1)))], "b.warc.gz")  # a copy of it
    (good.parent / "c.warc.gz").write_bytes(b"this is no WARC")
    write_warc([Page(html(prose(ENGLISH, 2)))], "d.warc.gz")
    pattern = str(good.parent / "*.warc.gz")
    units = list_work_units({"one": WarcSource(paths=[pattern]), "two": WarcSource(paths=[str(good)])}, workspace)
    assert [(Path(unit.path).name, unit.source) for unit in units] == [
        ("a.warc.gz", "one"),
        ("a.warc.gz", "two"),
        ("c.warc.gz", "one"),
        ("d.warc.gz", "one"),
    ]
    assert units[0].unit_id == units[1].unit_id
    seen: list[UnitReport] = []
    reports = process_units(units, document_settings, workspace, 2, seen.append)
    assert [report.status for report in reports] == ["done", "done", "failed", "done"]
    assert [report.source for report in reports] == ["one", "two", "one", "one"]
    assert reports[2].error is not None
    assert "c.warc.gz is not a WARC file" in reports[2].error
    assert sorted(report.path for report in seen) == sorted(unit.path for unit in units)
    write_warc([Page(html(prose(ENGLISH, 3)))], "c.warc.gz")
    units = list_work_units({"one": WarcSource(paths=[pattern])}, workspace)
    assert [report.status for report in process_units(units, document_settings, workspace, 1, seen.append)] == [
        "done"
    ] * 3


def test_record_ids_that_repeat_name_no_two_pages(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    """Writers that give all records one id, or the same ones in each file."""
    one = b"WARC-Record-ID: <urn:uuid:6f1d3c52-98ab-4e07-b3d5-1c2a7e9f4b60>"
    for number, file in enumerate(("a.warc", "b.warc", "c.warc.gz", "d.warc.gz")):
        path = write_warc([Page(html(prose(ENGLISH, 10 * number + page))) for page in range(8)], file)
        if file.endswith(".warc"):
            path.write_bytes(re.sub(rb"WARC-Record-ID: [^\r]*", one, gzip.decompress(path.read_bytes())))
    units = list_work_units({"crawl": WarcSource(paths=[f"{path.parent}/*"])}, workspace)
    reports = [process_unit(unit, document_settings, workspace.root) for unit in units]
    files = [documents_file(workspace.root, report.unit_id) for report in reports]
    documents = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert len({document["doc_id"] for document in documents}) == len(documents) == 32


@pytest.mark.parametrize("pattern", ["nothing-*.warc.gz", "missing.warc.gz"])
def test_a_path_that_matches_nothing_is_refused(pattern: str, workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sources\.web\.paths: .* matches no file"):
        list_work_units({"web": WarcSource(paths=[str(tmp_path / pattern)])}, workspace)


def test_the_key_is_of_what_bears_on_content() -> None:
    settings = DocumentSettings()
    assert documents_key(settings) == documents_key(DocumentSettings(language_model="/elsewhere/lid.ftz"))
    assert documents_key(settings) != documents_key(DocumentSettings(shingle=6))


def test_a_page_in_no_wanted_language_leaves_before_its_main_content(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    english = prose(ENGLISH, 1)
    path = write_warc([Page(html(english)), Page(html(prose(FRENCH, 2))), Page("<html><body></body></html>")])
    wanted = DocumentSettings.model_validate(document_settings.model_dump() | {"languages": ["fra"]})
    report, documents = process(path, workspace, wanted)
    assert [document["reason"] for document in documents] == ["other_language", "kept", "no_main_content"]
    first = documents[0]
    assert (first["language"], first["text"], first["characters"] >= len(english)) == ("eng", None, True)
    assert ("eng", "language", "other_language") in {
        (row["language"], row["stage"], row["reason"]) for row in report.funnel
    }
    assert documents_key(wanted) != documents_key(document_settings)


NAMES = " ".join(f"a{number}" for number in range(1000))
BOMBS = [
    f"<p><b {NAMES}>x" + "<p>x" * 3000,
    f"<p><a {NAMES}>x" + "<p>x" * 3000,
    "".join(f"<p><b a={number} {NAMES[:90]}>x" for number in range(1400)),
]


def test_a_page_that_would_take_much_memory_costs_itself(
    write_warc: WriteWarc,
    workspace: Workspace,
    document_settings: DocumentSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a limit the parser would take .5 GB for the first two and 4 GB for the third, all under 100 kB."""
    # What other tests of this process have left with malloc counts, as in a worker that has refused a page before.
    monkeypatch.setattr("pipelines.pages.parse._has_refused", True)
    pages = [
        Page(html(prose(ENGLISH, 1))),
        *(Page(f"<html><body>{bomb}") for bomb in BOMBS),
        Page(html(prose(FRENCH, 2))),
    ]
    _, documents = process(write_warc(pages), workspace, document_settings)
    assert [document["reason"] for document in documents] == ["kept", *["dom_too_large"] * 3, "kept"]


def test_a_page_that_cannot_be_measured_costs_itself_and_none_of_its_neighbours(
    write_warc: WriteWarc, workspace: Workspace, document_settings: DocumentSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As those of the Rust libraries."""

    def scores(texts: list[str], languages: list[str]) -> list[dict[str, float | None]]:
        if any("panics" in text for text in texts):
            raise Panic
        return scores_of_texts(texts, languages)

    monkeypatch.setattr("pipelines.documents.row.scores_of_texts", scores)
    texts = [prose(ENGLISH, 1), prose(ENGLISH, 2) + " This page panics.", prose(ENGLISH, 3)]
    path = write_warc([Page(html(text)) for text in texts])
    report, rows = process(path, workspace, document_settings)
    assert [row["reason"] for row in rows] == ["kept", "extraction_failed", "kept"]
    assert rows[1]["text"] is None and all(row["signature"] and row["words"] for row in (rows[0], rows[2]))
    assert {row["reason"]: row["documents"] for row in report.funnel} == {"kept": 2, "extraction_failed": 1}
