"""Real archives and texts, with the defects that real ones have."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.corpus import build_corpus
from pipelines.documents import documents_key, process_units
from pipelines.settings import CorpusSettings, DocumentSettings, WarcSource
from pipelines.unit_report import UnitReport, documents_file
from pipelines.work_units import list_work_units
from storage.workspace import Workspace

pytestmark = pytest.mark.shared

UNTRANSLATED = 239  # pages of the Hungarian help that are in English, by the data's own README


def ignore(report: UnitReport) -> None: ...


def test_every_archive_is_read_or_refused_with_a_sentence(
    shared_data: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    units = list_work_units({"archives": WarcSource(paths=[str(shared_data / "warc" / "*")])}, workspace)
    reports = process_units(units, document_settings, workspace, 2, ignore)
    by_name = {Path(report.path).name: report for report in reports}
    refused = {name for name, report in by_name.items() if report.status == "failed"}
    assert refused == {
        "aut-example.arc.gz",
        "jwat-small_BNF.arc",
        "nas-netarkivet.arc.gz",
        "nas-statsbiblioteket-20070119.arc",
        "ccnet-sample.wet.txt",  # lines end in LF, as in the next
        "warcprocessor-test.warc",
    }
    assert all("ARC v1" in by_name[name].error for name in refused if ".arc" in name)
    broken = {name for name, report in by_name.items() if report.failures}
    assert broken == {"ipwb-broken.warc", "jhove-invalid-warcrecord-3.warc", "warcio-example-trunc.warc"}
    counted = {
        name: {(row["language"], row["reason"]): row["documents"] for row in report.funnel}
        for name, report in by_name.items()
    }
    assert counted["resiliparse-clipped.warc.gz"] == {("und", "truncated"): 1}
    assert counted["resiliparse-warcfile.warc.gz"] == counted["resiliparse-warcfile.warc.lz4"]
    assert counted["cc-whirlwind.warc.gz"] == {("spa", "kept"): 1}  # Aragonese, which lid.176 takes for Spanish
    assert counted["ukwa-gzip-te.warc.gz"] == {("eng", "kept"): 1, ("und", "not_response"): 1}
    assert counted["ukwa-govuk-1.warc.gz"]["eng", "kept"] == 29


def test_untranslated_pages_of_the_hungarian_help_stay_out(
    shared_data: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    source = WarcSource(paths=[str(shared_data / "crawl" / "libreoffice-help-hu.warc.gz")])
    units = list_work_units({"help": source}, workspace)
    [report] = process_units(units, document_settings, workspace, 1, ignore)
    file = documents_file(workspace.documents(documents_key(document_settings)), report.unit_id)
    languages = pq.read_table(file, columns=["language"])["language"].to_pylist()
    assert languages.count("eng") == UNTRANSLATED
    settings = CorpusSettings(
        language="hun", text_domain="help", sources=["help"], split_by="url_path", line_dedup=True
    )
    corpus = build_corpus("hungarian", settings, units, document_settings, workspace)
    assert corpus.documents > 1000
    taken = {row["reason"]: row["documents"] for row in corpus.funnel if row["stage"] == "verdict"}
    assert taken["language"] == UNTRANSLATED


def test_equal_web_pages_leave_one(
    shared_data: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    source = WarcSource(paths=[str(shared_data / "crawl" / "webpages-0000[01].warc.gz")])
    units = list_work_units({"web": source}, workspace)
    process_units(units, document_settings, workspace, 2, ignore)
    settings = CorpusSettings(language="deu", text_domain="web", sources=["web"], split_by="url_path")
    corpus = build_corpus("german", settings, units, document_settings, workspace)
    folder = workspace.corpus_version("german", corpus.version)
    hashes = {
        row["doc_id"]: row["text_hash"]
        for unit in units
        for row in pq.read_table(
            documents_file(workspace.documents(documents_key(document_settings)), unit.unit_id),
            columns=["doc_id", "text_hash"],
        ).to_pylist()
    }
    kept = {
        row["doc_no"]: hashes[row["doc_id"]]
        for side in ("train", "held_out")
        for row in pq.read_table(folder / f"{side}-00000.parquet").to_pylist()
    }
    assert len(set(kept.values())) == len(kept) == corpus.documents > 200
    matches = pq.read_table(folder / "duplicates.parquet").to_pylist()
    # By doc_no: these files hold some records twice, with one record id and so one doc_id.
    assert {row["kept_doc_no"] for row in matches} <= kept.keys()
    assert not {row["doc_no"] for row in matches} & kept.keys()
