"""Fetching: what is asked of a server, how often, and what happens when it breaks."""

import gzip
import importlib.util
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.documents.stage import documents_key, process_units
from pipelines.settings import (
    CommonCrawlIndexSource,
    CommonCrawlSource,
    DocumentSettings,
    FetchSettings,
    TextSource,
    WarcSource,
)
from pipelines.sources.common_crawl.snapshots import resolve
from pipelines.sources.http_ranges import Http
from pipelines.sources.remote import ByteRange, Remote, coalesce
from pipelines.sources.retries import FetchError, Stopped, retry_after_seconds
from pipelines.sources.work_units import UnitReport, documents_file, list_work_units
from storage.errors import InputError
from storage.workspace import Workspace
from tests.pipelines.loopback import FAULTS, Loopback, serving
from tests.pipelines.warc_files import ENGLISH, Page, html, prose, warc_bytes

FETCH = FetchSettings(connections=2, attempts=4, timeout_seconds=0.5, first_wait_seconds=0.01, max_wait_seconds=1.5)
CONTENT = bytes(range(256)) * 4000


def ignore(report: UnitReport) -> None: ...


@pytest.fixture
def server() -> Iterator[Loopback]:
    warc = warc_bytes([Page(html(prose(ENGLISH, number))) for number in range(20)])[0]
    with serving({"file": CONTENT, "pages.warc.gz": warc}) as loopback:
        yield loopback


@pytest.mark.parametrize("fault", FAULTS)
def test_a_download_goes_on_where_it_broke(fault: str, server: Loopback, tmp_path: Path) -> None:
    server.script["file"] = [fault] * 3
    path = tmp_path / "file"
    Remote(FETCH).download(f"{server.url}/file", path)
    assert path.read_bytes() == CONTENT
    starts = [int(request.range.removeprefix("bytes=").rstrip("-")) for request in server.requests]
    assert len(starts) == 4
    assert starts == sorted(starts)
    if fault in ("truncated", "stalled"):  # a reset may take with it what was on its way
        assert all(before < after for before, after in pairwise(starts))
        assert server.sent() < 1.2 * len(CONTENT)


def test_a_download_is_given_up_and_taken_up_again_by_another_process(server: Loopback, tmp_path: Path) -> None:
    server.script["file"] = ["truncated"] * 4
    path = tmp_path / "file"
    with pytest.raises(FetchError, match=r"/file could not be fetched: .* \(tried 4 times\)"):
        Remote(FETCH).download(f"{server.url}/file", path)
    had = path.stat().st_size
    assert had > len(CONTENT) // 2
    Remote(FETCH).download(f"{server.url}/file", path)
    assert path.read_bytes() == CONTENT
    assert server.requests[-1].range == f"bytes={had}-"
    asked = len(server.requests)
    Remote(FETCH).download(f"{server.url}/file", path)
    assert len(server.requests) == asked


@pytest.mark.parametrize("others", [CONTENT[::-1], CONTENT[:5000], CONTENT + b"more"])
def test_a_file_that_changed_meanwhile_is_fetched_anew(others: bytes, server: Loopback, tmp_path: Path) -> None:
    server.script["file"] = ["truncated"] * 4
    with pytest.raises(FetchError):
        Remote(FETCH).download(f"{server.url}/file", tmp_path / "file")
    server.files = {"file": others}
    Remote(FETCH).download(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == others


def test_a_server_without_ranges_sends_all_of_a_file_but_no_part(server: Loopback, tmp_path: Path) -> None:
    server.script["file"] = ["truncated", "no_ranges", "no_ranges"]
    remote = Remote(FETCH)
    remote.download(f"{server.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    with pytest.raises(FetchError, match="does not send byte ranges"):
        remote.read(f"{server.url}/file", ByteRange(5, 10))
    assert remote.read(f"{server.url}/file", ByteRange(5, 10)) == CONTENT[5:15]


def test_all_requests_to_a_host_wait_when_it_asks_for_it(server: Loopback) -> None:
    server.script["file"], server.retry_after = ["too_many"], "1"
    remote = Remote(FETCH)
    assert remote.size(f"{server.url}/file") == len(CONTENT)
    first, second = server.requests
    assert second.time - first.time >= 1


@pytest.mark.parametrize(
    ("path", "sentence", "requests"),
    [
        ("nothing", "could not be fetched: HTTP status 404", 1),
        ("stubborn", "could not be fetched: HTTP status 503 .tried 4 times", 4),
    ],
)
def test_a_request_is_repeated_as_often_as_its_attempts_allow(
    path: str, sentence: str, requests: int, server: Loopback
) -> None:
    server.script["stubborn?signature=secret"] = ["unavailable"] * 9
    with pytest.raises(FetchError, match=sentence) as raised:
        Remote(FETCH).read_all(f"{server.url}/{path}?signature=secret", 100)
    assert "secret" not in str(raised.value)
    assert len(server.requests) == requests


def test_no_more_is_read_than_expected(server: Loopback) -> None:
    with pytest.raises(FetchError, match=f"it has {len(CONTENT)} bytes, 100 at most were expected"):
        Remote(FETCH).read_all(f"{server.url}/file", 100)


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/file", "http://no.such.host.invalid/file"])
def test_a_host_that_is_not_there(address: str) -> None:
    with pytest.raises(FetchError, match=r"could not be fetched: .*tried 4 times"):
        Remote(FETCH).size(address)


@pytest.mark.parametrize("address", ["http://[::1/file", "http:///file", "https://"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(InputError):
        Remote(FETCH).size(address)


def test_nothing_is_asked_after_a_stop(server: Loopback) -> None:
    remote = Remote(FETCH)
    remote.stop()
    with pytest.raises(Stopped):
        remote.size(f"{server.url}/file")
    assert server.requests == []


def test_a_warc_at_an_address_is_read_as_on_disk(
    server: Loopback, tmp_path: Path, workspace: Workspace, document_settings: DocumentSettings
) -> None:
    (tmp_path / "pages.warc.gz").write_bytes(server.files["pages.warc.gz"])
    server.files = {**server.files, "no.warc": b"<html>" * 100}
    sources = {
        "near": WarcSource(paths=[str(tmp_path / "*.warc.gz")]),
        "far": WarcSource(paths=[f"{server.url}/pages.warc.gz", f"{server.url}/no.warc"]),
    }
    units = {unit.path.rpartition("/")[2] + unit.source: unit for unit in list_work_units(sources, workspace, FETCH)}
    ordered = [units[name] for name in ("pages.warc.gznear", "pages.warc.gzfar", "no.warcfar")]
    near, far, none = process_units(ordered, document_settings, workspace, 1, ignore, FETCH)
    assert (far.bytes, far.records, far.funnel) == (near.bytes, near.records, near.funnel)
    assert near.documents == 20
    assert none.status == "failed"
    assert none.error is not None
    assert none.error.startswith(f"{server.url}/no.warc is not a WARC file")
    assert not list(workspace.scratch("fetched").iterdir())


def test_texts_out_of_a_bucket(workspace: Workspace, document_settings: DocumentSettings) -> None:
    """fsspec's memory:// stands for s3:// and hf://: one way leads to all of them."""
    memory = fsspec.filesystem("memory")
    rows = [{"id": str(number), "title": f"Title {number}", "text": prose(ENGLISH, number)} for number in range(6)]
    with memory.open("/datasets/wikipedia/en/train-00000.parquet", "wb") as file:
        pq.write_table(pa.Table.from_pylist(rows[:3]), file)
    with memory.open("/datasets/wikipedia/en/train-00001.parquet", "wb") as file:
        pq.write_table(pa.Table.from_pylist(rows[3:]), file)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    memory.pipe("/datasets/novels.jsonl.gz", gzip.compress(lines.encode()))
    sources = {
        "wikipedia": TextSource(paths=["memory://datasets/wikipedia/*/*.parquet"], id_field="id", title_field="title"),
        "novels": TextSource(paths=["memory://datasets/novels.jsonl.gz"]),
    }
    units = list_work_units(sources, workspace, FETCH)
    reports = process_units(units, document_settings, workspace, 1, ignore, FETCH)
    assert [(report.status, report.documents) for report in reports] == [("done", 3), ("done", 3), ("done", 6)]
    folder = workspace.documents(documents_key(document_settings))
    first, _, novels = (pq.read_table(documents_file(folder, unit.unit_id)).to_pylist() for unit in units)
    assert [row["url"] for row in novels] == [f"novels.jsonl.gz:{number}" for number in range(6)]
    assert [(row["url"], row["title"]) for row in first] == [(row["id"], row["title"]) for row in rows[:3]]
    with pytest.raises(InputError, match="matches no file; correct the address"):
        list_work_units({"none": TextSource(paths=["memory://datasets/none/*.parquet"])}, workspace, FETCH)
    with pytest.raises(InputError, match=r"none/x\.parquet could not be fetched: there is no such file"):
        list_work_units({"none": TextSource(paths=["memory://none/x.parquet"])}, workspace, FETCH)
    if importlib.util.find_spec("s3fs") is None:
        with pytest.raises(InputError, match="s3:// addresses need another package"):
            list_work_units({"none": TextSource(paths=["s3://none/x.parquet"])}, workspace, FETCH)
    with pytest.raises(InputError, match=r"gopher://; what may be given: https://, s3://.* hf://"):
        list_work_units({"none": TextSource(paths=["gopher://none/x.parquet"])}, workspace, FETCH)


@given(
    st.lists(st.builds(ByteRange, st.integers(0, 5000), st.integers(1, 300)), max_size=30),
    st.integers(0, 200),
    st.integers(1, 1000),
)
def test_coalesced_ranges_cover_what_was_asked(wanted: list[ByteRange], max_gap: int, max_length: int) -> None:
    spans = coalesce(wanted, max_gap, max_length)
    assert [part for span in spans for part in span.parts] == sorted(
        set(wanted), key=lambda part: (part.offset, part.length)
    )
    for span in spans:
        assert span.whole.offset == min(part.offset for part in span.parts)
        assert span.whole.end == max(part.end for part in span.parts)
        assert span.whole.length <= max_length or len(span.parts) == 1
        for before, after in pairwise(span.parts):
            assert after.offset - max(part.end for part in span.parts if part.offset <= before.offset) <= max_gap


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("7", 7.0), (" 120 ", 120.0), ("soon", None), ("-5", None), ("9" * 30, None)]
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(value) == seconds


def test_retry_after_as_a_date() -> None:
    later = retry_after_seconds(format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True))
    assert later is not None
    assert 80 < later <= 90
    assert retry_after_seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@given(st.text(max_size=40))
def test_no_retry_after_breaks_the_client(value: str) -> None:
    seconds = retry_after_seconds(value)
    assert seconds is None or seconds >= 0


def test_settings_say_which_sample_has_no_size() -> None:
    with pytest.raises(ValueError, match="set `files`, and leave `start` out"):
        CommonCrawlSource(crawl="latest", seed=1)
    with pytest.raises(ValueError, match="set `pages`"):
        CommonCrawlIndexSource(crawl="latest", seed=1)
    with pytest.raises(ValueError, match="crawl"):
        CommonCrawlSource(crawl="../../x")


@contextmanager
def answering(*parts: bytes, pause: float = 0.0) -> Iterator[str]:
    """A server that answers every request with these bytes, slowly."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.recv(65536)
                        for part in parts:
                            connection.sendall(part)
                            time.sleep(pause)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/file"


def test_headers_that_drip_have_a_deadline() -> None:
    settings = FetchSettings(timeout_seconds=0.5, attempts=2, first_wait_seconds=0.01)
    with (
        answering(b"HTTP/1.1 200 OK\r\n", *[b"X-A: b\r\n"] * 100, pause=0.1) as url,
        pytest.raises(FetchError, match="timed out"),
    ):
        Remote(settings).read_all(url, 1000)


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nxy\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;", b"extension"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxy\r\n0\r\n", b"Trailer: x\r\n"),
    ],
    ids=["content", "chunks", "size_of_a_chunk", "trailers"],
)
def test_a_body_that_drips_has_a_deadline(head: bytes, drop: bytes) -> None:
    settings = FetchSettings(timeout_seconds=0.4, attempts=2, first_wait_seconds=0.01)
    with (
        answering(head, *[drop] * 200, pause=0.1) as url,
        pytest.raises(FetchError, match=r"only \d+ bytes came in \d+ s \(tried 2 times\)"),
    ):
        Remote(settings).read_all(url, 100_000)


def test_a_slow_reader_is_no_slow_server() -> None:
    settings = FetchSettings(timeout_seconds=0.3, attempts=1)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    with answering(head, b"a", b"b", b"c") as url, Http(settings).open(url, 0, None, None) as body:
        came = b""
        for chunk in body.chunks:
            came += chunk
            time.sleep(0.5)
    assert came == b"abc"


def test_a_server_that_sends_more_than_it_announced_is_cut_off(tmp_path: Path) -> None:
    head = b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-99/100\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = [b"10000\r\n" + bytes(65536) + b"\r\n"] * 100
    with answering(head, *chunks) as url, pytest.raises(FetchError, match="more than 100 bytes"):
        Remote(FetchSettings(attempts=2, first_wait_seconds=0.01)).download(url, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size <= 100


def test_what_comes_of_a_file_without_a_size_is_bounded(tmp_path: Path) -> None:
    chunks = [b"10000\r\n" + bytes(65536) + b"\r\n"] * 100
    settings = FetchSettings(attempts=2, first_wait_seconds=0.01, max_unsized_gb=0.001)
    with (
        answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *chunks) as url,
        pytest.raises(FetchError, match=r"more than 0.001 GB came .* raise fetch.max_unsized_gb"),
    ):
        Remote(settings).download(url, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size <= 1_000_000


@pytest.mark.parametrize(
    "address",
    ["dir:///etc", "reference://x", "zip://x::file:///etc/hostname", "s3://a/b::file:///etc/hostname", "smb://a/b"],
)
def test_protocols_that_wrap_another_or_open_what_is_no_store_are_refused(address: str, tmp_path: Path) -> None:
    says = r"may not be (chained by ::|at \w+://); what may be given: .*s3://.*hf://"
    with pytest.raises(InputError, match=says):
        Remote(FetchSettings(attempts=1)).size(address)
    with pytest.raises(InputError, match=f"`bucket` .* {says}"):
        Workspace(tmp_path / "workspace", address).bucket.names(tmp_path)


def test_a_list_of_crawls_nested_beyond_reason_is_a_sentence(workspace: Workspace) -> None:
    deep = b"[" * 1_000_000
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(deep)
    with answering(head + deep) as url, pytest.raises(InputError, match="lists no crawl"):
        resolve("latest", url, Remote(FetchSettings(attempts=1)), workspace)
