"""The pipeline against the sample crawl's truth, over all of its pages."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.corpus.build import build_corpus
from pipelines.corpus.shards import shard_files
from pipelines.documents.row import capture_document
from pipelines.documents.stage import documents_key, process_units
from pipelines.pages.warc import Capture, read_warc
from pipelines.settings import CorpusSettings, DocumentSettings, SampleCrawlSource
from pipelines.sources.work_units import list_work_units
from pipelines.text.languages import threshold
from storage.workspace import Workspace

pytestmark = pytest.mark.slow

LANGUAGES = ("eng", "fra", "deu", "spa", "hun", "dan")
NO_PAGES = {"non_html": "not_html", "redirect": "redirect", "not_found": "bad_status", "truncated": "truncated"}
OPT_OUTS = {"meta": "meta_robots", "header": "x_robots_tag"}


class Outcome:
    """Truth and documents by doc_id, and what became of every document in the corpora of all languages."""

    def __init__(self, folder: Path, settings: DocumentSettings) -> None:
        workspace = Workspace(folder)
        units = list_work_units({"sample": SampleCrawlSource(pages=1500)}, workspace)
        process_units(units, settings, workspace, 2, lambda report: None)
        truth = (Path(units[0].path).parent / "truth.jsonl").read_text().splitlines()
        records = [item for unit in units for item in read_warc(Path(unit.path), settings.max_bytes)]
        captures = [item for item in records if isinstance(item, Capture)]
        self.id_of = {capture.record_id: capture_document(capture)["doc_id"] for capture in captures}
        self.truth: dict[str, dict[str, Any]] = {self.doc_id(row["record_id"]): row for row in map(json.loads, truth)}
        files = sorted(workspace.documents(documents_key(settings)).glob("*.parquet"))
        self.documents = {row["doc_id"]: row for file in files for row in pq.read_table(file).to_pylist()}
        self.workspace, self.units, self.settings = workspace, units, settings
        self.kept: set[str] = set()
        self.removed: dict[str, str] = {}  # near and exact copies, with the document that each matched
        for language in LANGUAGES:
            # Thresholds of the filter as they are; the split is of no matter here.
            corpus = CorpusSettings(
                language=language, text_domain="all", sources=["sample"], split_by="document", held_out_min_documents=1
            )
            report = build_corpus(language, corpus, units, settings, workspace)
            version = workspace.corpus_version(language, report.version)
            for name in ("train", "held_out"):
                for file in shard_files(version, name):
                    self.kept |= {row["doc_id"] for row in pq.read_table(file).to_pylist()}
            for row in pq.read_table(version / "duplicates.parquet").to_pylist():
                self.removed[row["doc_id"]] = row["kept_doc_id"]

    def doc_id(self, record_id: str) -> str:
        return self.id_of[record_id.strip("<>")]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory, document_settings: DocumentSettings) -> Outcome:
    return Outcome(tmp_path_factory.mktemp("truth"), document_settings)


def test_every_record_has_a_row_with_the_right_reason(outcome: Outcome) -> None:
    assert outcome.documents.keys() == outcome.truth.keys()
    for key, row in outcome.truth.items():
        document = outcome.documents[key]
        if row["kind"] in NO_PAGES:
            assert document["reason"] == NO_PAGES[row["kind"]], row["url"]
        elif row["opt_out"]:
            assert (document["reason"], document["text"]) == (OPT_OUTS[row["opt_out"]], None), row["url"]
        elif row["decodable"]:
            assert document["reason"] == "kept", row["url"]


def test_the_language_step(outcome: Outcome) -> None:
    right = wrong = missed = 0
    for key, row in outcome.truth.items():
        document = outcome.documents[key]
        if not row["decodable"] or row["kind"] in NO_PAGES or row["opt_out"] or document["characters"] < 500:
            continue
        found = document["language"] if document["language_score"] >= threshold(document["language"]) else None
        right += found == row["language"]
        wrong += found not in (None, row["language"])
        missed += found != row["language"]
    assert right > 1000
    assert right / (right + wrong) >= 0.99
    assert right / (right + missed) >= 0.95


def test_one_of_each_class_of_equal_texts_survives(outcome: Outcome) -> None:
    classes = defaultdict(set)
    for key, document in outcome.documents.items():
        if key in outcome.kept | outcome.removed.keys():
            classes[document["text_hash"]].add(key)
    several = [members for members in classes.values() if len(members) > 1]
    assert len(several) > 15
    for members in several:
        # One stays, unless the text was itself a near copy of another that was kept.
        alive = members & outcome.kept
        assert len(alive) == 1 or (not alive and all(outcome.removed[key] in outcome.kept for key in members))


def test_near_copies(outcome: Outcome) -> None:
    removed: dict[float, list[bool]] = defaultdict(list)
    for key, row in outcome.truth.items():
        if row["kind"] == "near_copy" and key in outcome.kept | outcome.removed.keys():
            removed[row["jaccard"]].append(key in outcome.removed)
            if key in outcome.removed:
                assert outcome.removed[key] == outcome.doc_id(row["copy_of"])
    high = removed[0.9] + removed[0.95]
    assert len(high) >= 40
    assert sum(high) / len(high) >= 0.95
    assert len(removed[0.5]) >= 20
    assert not any(removed[0.5])


def test_no_unrelated_page_is_removed(outcome: Outcome) -> None:
    copies = {key for key, row in outcome.truth.items() if row["kind"] in ("near_copy", "exact_copy")}
    assert outcome.removed.keys() <= copies


def test_over_two_snapshots_the_same_copies_go(outcome: Outcome) -> None:
    """The crawl in two parts: what the second refresh finds among all files, one refresh over both finds."""
    corpus = CorpusSettings(
        language="eng", text_domain="all", sources=["sample"], split_by="document", held_out_min_documents=1
    )
    assert len(outcome.units) > 1
    removed: dict[str, str] = {}
    kept: set[str] = set()
    for units in (outcome.units[: len(outcome.units) // 2], outcome.units):
        report = build_corpus("in-two", corpus, units, outcome.settings, outcome.workspace)
        version = outcome.workspace.corpus_version("in-two", report.version)
        matches = pq.read_table(version / "duplicates.parquet").to_pylist()
        assert matches
        removed |= {row["doc_id"]: row["kept_doc_id"] for row in matches}
        ids = pq.read_table(version / "index" / "kept.parquet", columns=["doc_id"])["doc_id"].to_pylist()
        assert not kept & set(ids)
        kept |= set(ids)
    english = {key for key in outcome.kept | outcome.removed.keys() if outcome.documents[key]["language"] == "eng"}
    assert removed == {key: other for key, other in outcome.removed.items() if key in english}
    assert kept == outcome.kept & english
    assert build_corpus("in-two", corpus, [*outcome.units, *outcome.units], outcome.settings, outcome.workspace).reused
