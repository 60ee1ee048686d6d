"""Common Crawl from a server on loopback that has its exact layout, and its bad days."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipelines.corpus.build import CorpusReport, build_corpus
from pipelines.corpus.shards import read_shards, shard_files
from pipelines.documents.stage import documents_key, process_units
from pipelines.settings import (
    CommonCrawlIndexSource,
    CommonCrawlSource,
    CorpusSettings,
    DocumentSettings,
    FetchSettings,
    Source,
)
from pipelines.sources.common_crawl.snapshots import release_latest, warc_filename
from pipelines.sources.work_units import UnitReport, WorkUnit, documents_file, list_work_units, units_to_read
from storage.errors import InputError
from storage.workspace import Workspace
from tests.pipelines.loopback import FAULTS, Loopback, serving
from tests.pipelines.snapshot import CRAWL, PAGES_A_FILE, Snapshot, make_snapshot

FETCH = FetchSettings(
    user_agent="tests (owner@example.org)",
    connections=3,
    timeout_seconds=1,
    first_wait_seconds=0.01,
    max_wait_seconds=0.1,
)
FRENCH_CORPUS = CorpusSettings(language="fra", text_domain="web", sources=["web"], held_out_min_documents=2)


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return make_snapshot()


@pytest.fixture
def server(snapshot: Snapshot) -> Iterator[Loopback]:
    with serving(dict(snapshot.files)) as loopback:
        yield loopback


def whole_files(server: Loopback, **fields: Any) -> CommonCrawlSource:
    return CommonCrawlSource(
        **{"crawl": CRAWL, "server": server.url, "collections": f"{server.url}/collinfo.json", **fields}
    )


def by_index(server: Loopback, **fields: Any) -> CommonCrawlIndexSource:
    return CommonCrawlIndexSource(
        **{"crawl": CRAWL, "server": server.url, "collections": f"{server.url}/collinfo.json", **fields}
    )


def refresh(source: Source, folder: Path, documents: DocumentSettings) -> tuple[CorpusReport, list[UnitReport], Any]:
    """The corpus of a source in a fresh workspace, the reports of its units, and the rows of its shards."""
    workspace = Workspace(folder)
    units = list_work_units({"web": source}, workspace, FETCH)
    reports = process_units(units, documents, workspace, 2, lambda report: None, FETCH)
    corpus = build_corpus("french", FRENCH_CORPUS, units, documents, workspace)
    shards = workspace.corpus_version("french", corpus.version)
    assert not list(workspace.scratch("fetched").iterdir())
    return corpus, reports, [pq.read_table(shard_files(shards, side)) for side in ("train", "held_out")]


def columns(units: list[WorkUnit], workspace: Workspace, documents: DocumentSettings) -> dict[str, tuple[str, Any]]:
    """By doc_id: url and text of all documents."""
    folder = workspace.documents(documents_key(documents))
    tables = [pq.read_table(documents_file(folder, unit.unit_id)) for unit in units]
    return {row["doc_id"]: (row["url"], row["text"]) for table in tables for row in table.to_pylist()}


PLACE = ("url", "warc_filename", "warc_record_offset", "warc_record_length")


def places(units: list[WorkUnit], workspace: Workspace, documents: DocumentSettings) -> dict[tuple[Any, ...], str]:
    """By address and place of a record: the languages that Common Crawl found."""
    folder = workspace.documents(documents_key(documents))
    tables = [pq.read_table(documents_file(folder, unit.unit_id), columns=[*PLACE, "content_languages"])
              for unit in units]  # fmt: skip
    return {tuple(row[column] for column in PLACE): row["content_languages"]
            for table in tables for row in table.to_pylist()}  # fmt: skip


@pytest.mark.parametrize("kind", ["whole files", "by index"])
@pytest.mark.slow
def test_a_corpus_is_the_same_when_a_fifth_of_the_answers_fail(
    kind: str, server: Loopback, tmp_path: Path, document_settings: DocumentSettings
) -> None:
    source = whole_files(server) if kind == "whole files" else by_index(server, hosts=["*.site-*"])
    undisturbed, reports, rows = refresh(source, tmp_path / "undisturbed", document_settings)
    bytes_undisturbed = server.sent()
    assert set(server.counts().values()) == {1}
    server.requests.clear()
    server.fail_each = 5
    disturbed, disturbed_reports, disturbed_rows = refresh(source, tmp_path / "disturbed", document_settings)
    assert disturbed.version == undisturbed.version
    assert disturbed.documents > 20
    assert disturbed_rows == rows
    unlike = {"seconds", "file_sha256", "file_bytes"}
    assert [report.model_dump(exclude=unlike) for report in disturbed_reports] == [
        report.model_dump(exclude=unlike) for report in reports
    ]
    failed = [request.fault for request in server.requests if request.fault]
    assert len(failed) == len(server.requests) // 5 >= 3
    assert set(failed) <= set(FAULTS)
    assert max(server.counts().values()) <= FETCH.attempts
    assert server.most_at_once <= FETCH.connections
    assert {request.user_agent for request in server.requests} == {FETCH.user_agent}
    assert server.sent() < 1.5 * bytes_undisturbed


@pytest.mark.slow
def test_a_selection_takes_the_pages_that_fit_and_a_small_part_of_the_index(
    server: Loopback, snapshot: Snapshot, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    said: list[str] = []
    source = by_index(server, languages=["fra"], top_level_domains=["fr"])
    units = list_work_units({"web": source}, workspace, FETCH, said.append)
    index_bytes = sum(len(content) for path, content in snapshot.files.items() if "subset=warc" in path)
    assert server.sent("cc-index/table") <= 0.1 * index_bytes
    assert not [request for request in server.requests if "subset=robotstxt" in request.path]
    assert "7 columns of 1 of its 60 row groups, in 1 of its 12 files" in said[0]
    assert all("/warc/CC-MAIN" not in request.path for request in server.requests)  # no page so far
    wanted = [row for row in snapshot.index if (row["url_host_tld"], row["content_languages"]) == ("fr", "fra")]
    assert sum(unit.options["pages"] for unit in units) == len(wanted) > 10
    process_units(units, document_settings, workspace, 1, lambda report: None, FETCH)
    found = columns(units, workspace, document_settings)
    assert {url for url, _ in found.values()} == {row["url"] for row in wanted}
    # A page has one id and one text, be it fetched by its range or in its file.
    files = list_work_units({"web": whole_files(server)}, workspace, FETCH)
    process_units(files, document_settings, workspace, 1, lambda report: None, FETCH)
    assert found.items() <= columns(files, workspace, document_settings).items()
    # Each says where its record lies, in the words of the index.
    by_range, whole = places(units, workspace, document_settings), places(files, workspace, document_settings)
    assert by_range == {tuple(row[column] for column in PLACE): "fra" for row in wanted}
    assert by_range.keys() <= whole.keys() and set(whole.values()) == {None}  # the files have no metadata records
    # The selection is frozen: nothing of the index is read again.
    server.requests.clear()
    assert list_work_units({"web": source}, workspace, FETCH) == units
    assert server.requests == []


def test_a_month_of_the_news_crawl(server: Loopback, snapshot: Snapshot, workspace: Workspace) -> None:
    path = "crawl-data/CC-NEWS/2026/10/CC-NEWS-20261001012233-00001.warc.gz"
    server.files["crawl-data/CC-NEWS/2026/10/warc.paths.gz"] = gzip.compress(f"{path}\n".encode())
    server.files[path] = snapshot.files[snapshot.warcs[0]]
    [unit] = list_work_units({"news": whole_files(server, crawl="CC-NEWS/2026/10")}, workspace, FETCH)
    assert unit.path == f"{server.url}/{path}" and warc_filename(unit.path) == path
    assert warc_filename(f"/mirror/{path}") == path and warc_filename("/home/user/secret/x.warc.gz") == "x.warc.gz"
    for odd in ({"crawl": "CC-NEWS/2026"}, {"crawl": "CC-NEWS/../10"}, {"crawl": "CC-NEWS/2026/10", "format": "wet"}):
        with pytest.raises(ValidationError):
            whole_files(server, **odd)


@pytest.mark.parametrize(
    ("fields", "fits"),
    [
        ({"languages": ["eng"], "pages": None}, lambda row: row["content_languages"].split(",")[0] == "eng"),
        ({"hosts": ["www.site-1.com", "*.site-2.com"]}, lambda row: row["url_host_name"] in HOSTS),
        ({"hosts": ["*site-[12].*"]}, lambda row: row["url_host_name"].split(".")[1] in ("site-1", "site-2")),
        ({"where": "url_path LIKE '/page/1%' -- those"}, lambda row: row["url_path"].startswith("/page/1")),
        (
            {"where": "content_languages LIKE '%fra%' AND warc_record_length > 20000"},
            lambda row: "fra" in row["content_languages"] and row["warc_record_length"] > 20000,
        ),
    ],
)
def test_a_selection_is_what_a_plain_scan_gives(
    fields: dict[str, Any], fits: Any, server: Loopback, snapshot: Snapshot, workspace: Workspace
) -> None:
    [unit, *_] = list_work_units({"web": by_index(server, **fields)}, workspace, FETCH)
    selection = pq.read_table(workspace.selection(unit.options["selection"]) / "selection.parquet")
    found = list(zip(*(selection[name].to_pylist() for name in selection.column_names), strict=True))
    wanted = [tuple(row[name] for name in selection.column_names) for row in snapshot.index if fits(row)]
    assert found == sorted(wanted)
    assert wanted


HOSTS = ("www.site-1.com", "www.site-2.com")


@pytest.mark.slow
def test_a_sample_of_pages_is_drawn_by_its_seed(server: Loopback, tmp_path: Path) -> None:
    def draw(folder: str, seed: int | None) -> Any:
        source = by_index(server, languages=["eng"], pages=50, seed=seed)
        workspace = Workspace(tmp_path / folder)
        [unit] = list_work_units({"web": source}, workspace, FETCH)
        return pq.read_table(workspace.selection(unit.options["selection"]) / "selection.parquet")

    assert draw("one", 1) == draw("again", 1) != draw("two", 2)
    assert draw("none", None).num_rows == draw("two", 2).num_rows == 50


def test_files_of_a_snapshot_by_slice_and_by_sample(server: Loopback, snapshot: Snapshot, workspace: Workspace) -> None:
    def listed(**fields: Any) -> list[str]:
        units = list_work_units({"web": whole_files(server, **fields)}, workspace, FETCH)
        return [unit.path.removeprefix(f"{server.url}/") for unit in units]

    assert listed() == snapshot.warcs
    assert listed(start=1, files=2) == snapshot.warcs[1:3]
    assert listed(format="wet", files=1) == snapshot.wets[:1]
    samples = {tuple(listed(files=2, seed=seed)) for seed in range(8)}
    assert len(samples) > 1
    assert all(set(sample) < set(snapshot.warcs) and len(sample) == 2 for sample in samples)
    with pytest.raises(InputError, match="has 16 files, none from `start` 16 on"):
        listed(start=16)


def test_wet_files_give_their_texts(
    server: Loopback, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    units = list_work_units({"web": whole_files(server, format="wet", files=2)}, workspace, FETCH)
    reports = process_units(units, document_settings, workspace, 1, lambda report: None, FETCH)
    assert [report.status for report in reports] == ["done", "done"]
    kept = {row["language"]: row["documents"] for row in reports[0].funnel if row["reason"] == "kept"}
    assert kept == {"eng": 2, "fra": 2}
    urls = [url for url, _ in columns(units[:1], workspace, document_settings).values()]
    assert urls[0] == "https://www.site-0.com/page/0"


def test_latest_stays_the_same_until_a_refresh_has_ended(server: Loopback, workspace: Workspace) -> None:
    source = whole_files(server, crawl="latest", files=1)
    units = list_work_units({"web": source}, workspace, FETCH)
    assert CRAWL in units[0].path
    server.files = {**server.files, "collinfo.json": b'[{"id": "CC-MAIN-2026-47"}]'}
    assert list_work_units({"web": source}, workspace, FETCH) == units
    release_latest(workspace)
    with pytest.raises(InputError, match=r"CC-MAIN-2026-47/warc\.paths\.gz could not be fetched: HTTP status 404"):
        list_work_units({"web": source}, workspace, FETCH)


@pytest.mark.slow
def test_a_file_that_is_gone_costs_its_unit_only(
    server: Loopback, snapshot: Snapshot, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    gone = snapshot.warcs[1]
    server.files = {path: content for path, content in server.files.items() if path != gone}
    units = list_work_units({"web": whole_files(server, files=4)}, workspace, FETCH)
    reports = process_units(units, document_settings, workspace, 2, lambda report: None, FETCH)
    assert [report.status for report in reports] == ["done", "failed", "done", "done"]
    assert reports[1].error == f"{units[1].path} could not be fetched: HTTP status 404"
    assert server.counts()[gone, "bytes=0-"] == 1
    server.files = snapshot.files
    reports = process_units(units, document_settings, workspace, 2, lambda report: None, FETCH)
    assert [(report.status, report.attempts) for report in reports][1] == ("done", 2)


@pytest.mark.slow
def test_records_that_are_not_where_the_index_says_are_in_the_ledger(
    server: Loopback, snapshot: Snapshot, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    gone, damaged = snapshot.warcs[0], snapshot.warcs[1]
    [row, *_] = [row for row in snapshot.index if row["warc_filename"] == damaged]
    broken = bytearray(snapshot.files[damaged])
    broken[row["warc_record_offset"] + 60 : row["warc_record_offset"] + 90] = bytes(30)
    files = {path: content for path, content in server.files.items() if path != gone}
    server.files = {**files, damaged: bytes(broken)}
    units = list_work_units({"web": by_index(server, hosts=["*.site-*"])}, workspace, FETCH)
    [report] = process_units(units, document_settings, workspace, 1, lambda report: None, FETCH)
    assert report.status == "done"
    assert report.documents == (len(snapshot.warcs) - 1) * PAGES_A_FILE - 1
    at_fault = {(failure["path"], failure["byte_offset"]) for failure in report.failures}
    lost = {
        (item["warc_filename"], item["warc_record_offset"]) for item in snapshot.index if item["warc_filename"] == gone
    }
    assert at_fault == lost | {(damaged, row["warc_record_offset"])}
    server.files = {path: content for path, content in files.items() if "/warc/CC-MAIN" not in path}
    units = list_work_units({"web": by_index(server, hosts=["*.site-1.*"])}, workspace, FETCH)
    [report] = process_units(units, document_settings, workspace, 1, lambda report: None, FETCH)
    assert (report.status, report.error is not None and "not one of the" in report.error) == ("failed", True)


@pytest.mark.slow
def test_a_batch_goes_on_after_the_last_answer_that_came_whole(
    server: Loopback, snapshot: Snapshot, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    units = list_work_units({"web": by_index(server, hosts=["*.site-*"])}, workspace, FETCH)
    server.script[snapshot.warcs[5]] = ["unavailable"] * FETCH.attempts
    [report] = process_units(units, document_settings, workspace, 1, lambda report: None, FETCH)
    assert report.status == "failed"
    assert report.error is not None
    assert report.error.endswith("HTTP status 503 (tried 8 times)")
    [log] = workspace.scratch("fetched").glob("*.log")
    log.write_text(log.read_text() + '{"records": [{"pa')  # what a process leaves that is killed while it writes
    server.requests.clear()
    [report] = process_units(units, document_settings, workspace, 1, lambda report: None, FETCH)
    assert (report.status, report.attempts, report.failures) == ("done", 2, [])
    assert report.documents == len(snapshot.warcs) * PAGES_A_FILE
    assert {request.path for request in server.requests} == set(snapshot.warcs[5:])
    assert set(server.counts().values()) == {1}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"where": "1 = 1) OR (1 = 1"}, "sources.web.where: .*; write one SQL condition"),
        ({"where": "1 = 1 ORDER BY url"}, "sources.web.where: .*; write one SQL condition"),
        ({"where": "1 = 1; DROP TABLE captures"}, "sources.web.where: .*; write one SQL condition"),
        ({"where": "url_host_tld = "}, "sources.web.where: .*; write one SQL condition"),
        ({"where": "no_such_column = 1"}, "the index has no column no_such_column; it has url_surtkey"),
        ({"where": "fetch_status LIKE 'x'"}, "the condition on the index is refused"),
        ({"where": "fetch_time > 'no date'"}, "the condition on the index is refused"),
        ({"max_index_gb": 1e-6}, "more than max_index_gb = 1e-06: narrow it"),
        ({"hosts": ["kőrös" * 20 + ".hu"]}, "sources.web.hosts: .* is no host .*: correct it"),
        ({"hosts": ["no.such.példa"]}, "sources.web: no page in the index fits; widen its conditions"),
    ],
)
def test_conditions_are_refused_with_a_sentence(
    fields: dict[str, Any], sentence: str, server: Loopback, workspace: Workspace
) -> None:
    with pytest.raises(InputError, match=sentence):
        list_work_units({"web": by_index(server, **fields)}, workspace, FETCH)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda content: b"<html>" * 10_000, "is not a Parquet file"),
        (lambda content: content[: len(content) // 2], "is not a Parquet file"),
        (lambda content: content[:-4000] + bytes(3000) + content[-1000:], "has a broken footer"),
        (lambda content: bytes(len(content) // 2) + content[len(content) // 2 :], "cannot be read"),
    ],
)
def test_a_damaged_index_is_a_sentence(damage: Any, sentence: str, server: Loopback, workspace: Workspace) -> None:
    path = next(path for path in server.files if "subset=warc/part-00000" in path)
    server.files = {**server.files, path: damage(server.files[path])}
    with pytest.raises(InputError, match=f"part-00000.*{sentence}"):
        list_work_units({"web": by_index(server, languages=["fra"])}, workspace, FETCH)


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "crawl-data/../../x", "http://elsewhere.example/", "crawl-data//x"]
)
def test_paths_out_of_a_list_do_not_leave_the_server(path: str, server: Loopback, workspace: Workspace) -> None:
    import gzip

    server.files = {**server.files, f"crawl-data/{CRAWL}/warc.paths.gz": gzip.compress(path.encode())}
    with pytest.raises(InputError, match="is no path of a crawl"):
        list_work_units({"web": whole_files(server)}, workspace, FETCH)


@pytest.mark.parametrize("kind", ["whole files", "by index"])
@pytest.mark.slow
def test_a_later_snapshot_comes_to_the_earlier_one(
    kind: str, server: Loopback, snapshot: Snapshot, tmp_path: Path, document_settings: DocumentSettings
) -> None:
    """The second refresh asks for its own files alone, and gives what one refresh over both gives."""
    newer = make_snapshot(NEWER, first_page=60)  # pages 60 to 95 are in both, with other record ids
    server.files = {**snapshot.files, **newer.files}

    def make(crawl: str) -> Source:
        return whole_files(server, crawl=crawl) if kind == "whole files" else by_index(server, crawl=crawl, where=_OURS)

    def refresh(workspace: Workspace, sources: dict[str, Source]) -> CorpusReport:
        settings = FRENCH_CORPUS.model_copy(update={"sources": [*sources]})
        listed = list_work_units(sources, workspace, FETCH)
        units = units_to_read(listed, {"french": settings}, workspace)
        process_units(units, document_settings, workspace, 1, lambda report: None, FETCH)
        report = build_corpus("french", settings, listed, document_settings, workspace)
        release_latest(workspace)
        return report

    def rows(workspace: Workspace, report: CorpusReport, side: str) -> list[dict[str, Any]]:
        return list(read_shards(shard_files(workspace.corpus_version("french", report.version), side)))

    monthly = Workspace(tmp_path / "monthly")
    server.files = {**server.files, "collinfo.json": snapshot.files["collinfo.json"]}
    first = refresh(monthly, {"web": make("latest")})
    server.requests.clear()
    server.files = {**server.files, "collinfo.json": newer.files["collinfo.json"]}
    second = refresh(monthly, {"web": make("latest").model_copy(update={"licence": "CC0"})})
    assert not [request.path for request in server.requests if CRAWL in request.path]
    assert set(first.unit_ids) < set(second.unit_ids)
    assert second.changes.documents_gained > 10 > second.changes.documents_lost == 0
    assert {row["reason"]: row["documents"] for row in second.funnel}["exact_copy"] == 18  # French pages 61 to 95
    card = (monthly.corpus_version("french", second.version) / "README.md").read_text()
    assert "CC0" in card and "not stated" not in card  # the earlier snapshot's files are the source's too
    # Nothing new: no file is asked for, and the version stays, with no licence as with one.
    server.requests.clear()
    assert refresh(monthly, {"web": make("latest")}).reused
    assert not [request.path for request in server.requests if "/warc/" in request.path]

    at_once = Workspace(tmp_path / "at once")
    both = refresh(at_once, {"older": make(CRAWL), "web": make(NEWER)})
    assert set(both.unit_ids) == set(second.unit_ids)
    # Which hosts are held out was settled by the first refresh, there by the only one.
    held_out_hosts = {row["host"] for row in rows(monthly, second, "held_out")}
    everything = rows(at_once, both, "train") + rows(at_once, both, "held_out")
    expected = {row["doc_id"]: row["text"] for row in everything if row["host"] not in held_out_hosts}
    assert {row["doc_id"]: row["text"] for row in rows(monthly, second, "train")} == expected
    assert rows(monthly, second, "held_out") == rows(monthly, first, "held_out")


_OURS = "url_host_name LIKE 'www.site-%'"
NEWER = "CC-MAIN-2026-47"
