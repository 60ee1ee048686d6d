"""JSONL and Parquet become documents as pages do."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.documents import process_unit
from pipelines.settings import DocumentSettings, TextSource
from pipelines.unit_report import UnitReport
from pipelines.work_units import list_work_units
from storage.workspace import Workspace
from tests.pipelines.warc_files import ENGLISH, FRENCH, prose


def process(
    path: Path, workspace: Workspace, settings: DocumentSettings, **fields: Any
) -> tuple[UnitReport, list[dict[str, Any]]]:
    [unit] = list_work_units({"novels": TextSource(paths=[str(path)], **fields)}, workspace)
    report = process_unit(unit, settings, workspace.root)
    file = workspace.root / f"{unit.unit_id}.parquet"
    return report, pq.read_table(file).to_pylist() if report.status == "done" else []


ROWS = [{"id": "a", "body": prose(ENGLISH, 1), "name": "A"}, {"id": "b", "body": prose(FRENCH, 2), "name": None}]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".parquet"])
def test_each_kind_of_file(
    suffix: str, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = tmp_path / f"texts{suffix}"
    lines = "\n".join(map(json.dumps, ROWS)).encode()
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    else:
        path.write_bytes(gzip.compress(lines) if suffix.endswith("gz") else lines)
    fields = {"text_field": "body", "id_field": "id", "title_field": "name"}
    report, documents = process(path, workspace, document_settings, **fields)
    assert (report.status, report.records, report.documents, report.failures) == ("done", 2, 2, [])
    assert [document["language"] for document in documents] == ["eng", "fra"]
    assert [(document["host"], document["url"], document["title"]) for document in documents] == [
        ("novels", "a", "A"),
        ("novels", "b", None),
    ]
    assert all(len(document["signature"]) == 4 * document_settings.num_perm for document in documents)


def test_long_texts_are_cut(tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings) -> None:
    path = tmp_path / "novels.jsonl"
    text = "\n".join(prose(ENGLISH, seed) for seed in range(10))
    path.write_text(json.dumps({"text": text}))
    report, documents = process(path, workspace, document_settings, max_characters=1000)
    assert report.records == 1
    assert "\n".join(document["text"] for document in documents) == text
    assert {document["url"] for document in documents} == {"novels.jsonl:0"}
    assert len({document["doc_id"] for document in documents}) == len(documents) > 5


def test_bad_rows_leave_with_a_reason(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = tmp_path / "rows.jsonl"
    good = {"text": prose(ENGLISH, 1)}
    rows = [
        "{broken",
        "[]",
        json.dumps({"other": 1}),
        json.dumps({"text": 5}),
        json.dumps({"text": " "}),
        "",
        "[" * 99999,
    ]
    huge = json.dumps({"text": "x" * 30_000})
    path.write_text("\n".join([*rows, huge, json.dumps(good)]))
    report, documents = process(path, workspace, document_settings.model_copy(update={"max_bytes": 20_000}))
    assert [document["reason"] for document in documents] == [
        *["unreadable"] * 2,
        *["no_text"] * 3,
        "unreadable",
        "oversize",
        "kept",
    ]
    assert report.failures == []


def test_a_cut_gzip_keeps_the_lines_before(
    tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    path = tmp_path / "cut.jsonl.gz"
    lines = "\n".join(json.dumps({"text": prose(ENGLISH, seed)}) for seed in range(400)).encode()
    path.write_bytes(gzip.compress(lines)[:-5000])
    report, documents = process(path, workspace, document_settings)
    assert report.status == "done"
    assert 0 < len(documents) < 400
    assert "lost" in report.failures[0]["error"]


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("texts.csv", {}, "of no known kind"),
        ("texts.parquet", {}, "is not a Parquet file"),
        ("good.parquet", {"text_field": "nothing"}, r"has no column \['nothing'\]"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_failed_unit(
    name: str,
    fields: dict[str, str],
    sentence: str,
    tmp_path: Path,
    workspace: Workspace,
    document_settings: DocumentSettings,
) -> None:
    (tmp_path / name).write_bytes(b"no such thing")
    if name == "good.parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / name)
    report, _ = process(tmp_path / name, workspace, document_settings, **fields)
    assert report.status == "failed"
    assert report.error is not None
    assert re.search(sentence, report.error)
