"""Remote stores that fsspec opens, by their addresses: WebHDFS stands for those whose paths do not name their host."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from pipelines.settings import CommonCrawlSource, FetchSettings, TextSource
from pipelines.sources.remote import ByteRange, Remote
from pipelines.sources.work_units import list_work_units
from storage.errors import InputError
from storage.workspace import Workspace

FILES = {"/texts/a.jsonl": b'{"text": "one"}\n', "/texts/b.jsonl": bytes(range(256)) * 40}


class _NameNode(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        address = urlsplit(self.path)
        path, query = address.path.removeprefix("/webhdfs/v1").rstrip("/"), parse_qs(address.query)
        operation = query["op"][0].upper()
        if operation == "OPEN" and "here" not in query:  # a name node sends clients on to a node of data
            self.send_response(307)
            self.send_header("Location", f"http://{self.headers['Host']}{self.path}&here=1")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if operation == "OPEN":
            offset, length = int(query["offset"][0]), int(query["length"][0])
            self._answer(200, FILES[path][offset : offset + length])
        elif operation == "LISTSTATUS" and path == "/texts":
            self._answer(200, json.dumps({"FileStatuses": {"FileStatus": [_status(file) for file in FILES]}}).encode())
        elif path in FILES:
            self._answer(200, json.dumps({"FileStatus": _status(path)}).encode())
        else:
            self._answer(404, b'{"RemoteException": {"exception": "FileNotFoundException", "message": "no such file"}}')

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None: ...


def _status(path: str) -> dict[str, str | int]:
    return {"pathSuffix": path.rpartition("/")[2], "type": "FILE", "length": len(FILES[path])}


@contextmanager
def name_node() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _NameNode) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_files_of_a_cluster_are_found_by_pattern_and_read(workspace: Workspace, tmp_path: Path) -> None:
    with name_node() as host:
        remote = Remote(FetchSettings(attempts=2, first_wait_seconds=0.01))
        root = f"webhdfs://{host}/texts"
        assert remote.expand(f"{root}/*.jsonl") == [f"{root}/a.jsonl", f"{root}/b.jsonl"]
        assert remote.read(f"{root}/b.jsonl", ByteRange(255, 3)) == b"\xff\x00\x01"
        remote.download(f"{root}/b.jsonl", tmp_path / "b")
        assert (tmp_path / "b").read_bytes() == FILES["/texts/b.jsonl"]
        with pytest.raises(InputError, match="there is no such file"):
            remote.size(f"{root}/none.jsonl")
        source = TextSource(paths=[f"WebHDFS://{host}/texts/*.jsonl"])
        assert [unit.path for unit in list_work_units({"s": source}, workspace)] == [
            f"{root}/a.jsonl",
            f"{root}/b.jsonl",
        ]


@pytest.mark.parametrize("protocol", ["sftp", "hdfs", "ftp", "oci", "tos", "webhdfs"])
def test_what_can_be_read_from_need_not_do_for_a_bucket(protocol: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"`bucket` .* may not be at {protocol}://; what may be given: s3://.*hf://"):
        Workspace(tmp_path / "workspace", f"{protocol}://a/b").bucket.names(tmp_path)  # type: ignore[union-attr]


def test_schemes_are_the_same_in_capitals() -> None:
    address = "HTTPS://Files.example/A.warc.gz"
    assert TextSource(paths=[address, "here/A.jsonl"]).paths == ["https://Files.example/A.warc.gz", "here/A.jsonl"]
    crawl = CommonCrawlSource(crawl="CC-MAIN-2024-10", server="S3://commoncrawl", collections=address)
    assert (crawl.server, crawl.collections) == ("s3://commoncrawl", "https://Files.example/A.warc.gz")
