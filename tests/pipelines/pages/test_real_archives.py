"""Real archives and texts, with the defects that real ones have."""

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.corpus.build import build_corpus
from pipelines.corpus.shards import shard_files
from pipelines.documents.stage import documents_key, process_units
from pipelines.settings import CorpusSettings, DocumentSettings, WarcSource
from pipelines.sources.work_units import UnitReport, documents_file, list_work_units
from storage.workspace import Workspace

pytestmark = [pytest.mark.shared, pytest.mark.slow]

# Pages of the Hungarian help that are in English: 239 by the data's own README, and those of which only the headline is
# Hungarian, which is no part of the main content.
UNTRANSLATED = 257
STAGES_OF_WEB_PAGES = {
    "deu": {"language_score": 8, "too_short": 27, "language_share_min": 2, "exact_copy": 394, "kept": 676},
    "eng": {"language_score": 26, "too_short": 14, "exact_copy": 81, "near_copy": 2, "kept": 437},
}


def ignore(report: UnitReport) -> None: ...


def test_every_archive_fares_as_the_table_in_the_docs_says(
    shared_data: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    units = list_work_units(
        {"archives": WarcSource(paths=[str(shared_data / "warc" / "*"), str(shared_data / "crawl" / "*.warc.gz")])},
        workspace,
    )
    table = (Path(__file__).parents[3] / "docs" / "archives.md").read_text().splitlines()
    expected = {row.split(" | ")[0].removeprefix("| "): row for row in table if row.startswith("| ")}
    del expected["file"]
    found = {}
    for report in process_units(units, document_settings, workspace, 2, ignore):
        name = Path(report.path).name
        if report.status == "failed":
            assert "is an ARC v1 file" in (report.error or "")
            found[name] = f"| {name} | refused | | | "
            continue
        reasons: Counter[str] = Counter()
        for row in report.funnel:
            reasons[row["reason"]] += row["documents"]
        kept = reasons.pop("kept", 0)
        left = ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))
        found[name] = f"| {name} | {report.records} | {kept} | {left} | " + "damaged: " * bool(report.failures)
    assert found.keys() == expected.keys()
    assert [name for name, row in found.items() if not expected[name].startswith(row)] == []
    lost = {name for name, row in expected.items() if "damaged" in row}
    assert lost == {name for name, row in found.items() if "damaged" in row}


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
        language="hun", text_domain="help", sources=["help"], split_by="url_path", line_dedup="lines"
    )
    corpus = build_corpus("hungarian", settings, units, document_settings, workspace)
    assert corpus.documents > 1000
    taken = {row["reason"]: row["documents"] for row in corpus.funnel if row["stage"] == "verdict"}
    assert taken["language"] == UNTRANSLATED


def test_equal_web_pages_leave_one(
    shared_data: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    """Of each class of equal texts that pass the filter one document stays; what left is counted by stage."""
    source = WarcSource(paths=[str(shared_data / "crawl" / "webpages-*.warc.gz")])
    settings = document_settings.model_copy(update={"languages": ("deu", "eng")})
    units = list_work_units({"web": source}, workspace)
    process_units(units, settings, workspace, 2, ignore)
    files = [documents_file(workspace.documents(documents_key(settings)), unit.unit_id) for unit in units]
    hashes = {
        row["doc_id"]: row["text_hash"]
        for file in files
        for row in pq.read_table(file, columns=["doc_id", "text_hash"]).to_pylist()
    }
    for language, taken in STAGES_OF_WEB_PAGES.items():
        wanted = CorpusSettings(language=language, text_domain="web", sources=["web"], split_by="url_path")
        corpus = build_corpus(language, wanted, units, settings, workspace)
        own = [row for row in corpus.funnel if row["reason"] != "language"]
        assert {row["reason"]: row["documents"] for row in own} == taken
        folder = workspace.corpus_version(language, corpus.version)
        kept = {
            row["doc_no"]: hashes[row["doc_id"]]
            for side in ("train", "held_out")
            for file in shard_files(folder, side)
            for row in pq.read_table(file).to_pylist()
        }
        assert len(set(kept.values())) == len(kept) == corpus.documents == taken["kept"]
        matches = pq.read_table(folder / "duplicates.parquet").to_pylist()
        assert len(matches) == taken["exact_copy"] + taken.get("near_copy", 0)
        # By doc_no: these files hold some records twice, with one record id and so one doc_id.
        assert {row["kept_doc_no"] for row in matches} <= kept.keys()
        assert not {row["doc_no"] for row in matches} & kept.keys()
