"""A workspace whose Parquet parts lie in a bucket too: other machines go on from there, and never from a half."""

import io
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

import pipelines.documents.stage
from pipelines.corpus.build import CorpusReport
from pipelines.corpus.shared_versions import changing_corpus, clear_bucket, last_move
from pipelines.denylist import denied_hosts, deny
from pipelines.documents.shared_units import units_in_bucket
from pipelines.documents.stage import documents_key
from storage.bucket import Bucket
from storage.errors import InputError
from storage.keys import file_sha256
from storage.workspace import Workspace
from tests.pipelines.growing_crawl import Crawl, english

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket of moto's server; its keys and address are in the environment, as a user's are."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "canary", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**keys, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("texts")
        yield "s3://texts"
        server.stop()


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    kind = getattr(request, "param", "s3")
    if kind == "s3":
        return f"{request.getfixturevalue('s3')}/{tmp_path.name}"
    return f"memory://{tmp_path.name}" if kind == "memory" else f"file://{tmp_path}/bucket"


@pytest.fixture
def machines(crawl: Crawl, url: str, tmp_path: Path) -> Callable[[str], Crawl]:
    """Machines, by name, that see the same crawl and bucket, and no disk of one another."""
    crawl.add("a.warc.gz", [english(seed) for seed in range(24)])

    def machine(name: str) -> Crawl:
        one = Crawl(crawl.write_warc, Workspace(tmp_path / name, url), crawl.documents)
        one.folder = crawl.folder
        return one

    return machine


def refresh(machine: Crawl, **fields: Any) -> CorpusReport:
    with changing_corpus("english", machine.workspace):
        return machine.build(**fields)


def bucket_of(machine: Crawl) -> Bucket:
    assert machine.workspace.bucket is not None
    return machine.workspace.bucket


def texts(machine: Crawl, report: CorpusReport) -> list[dict[str, Any]]:
    return machine.read(report, "train-*.parquet") + machine.read(report, "held_out-*.parquet")


@pytest.mark.parametrize("url", ["s3", "memory", "file"], indirect=True)
@pytest.mark.slow
def test_another_machine_goes_on_from_the_bucket(machines: Callable[[str], Crawl], monkeypatch: Any) -> None:
    first, second = machines("first"), machines("second")
    made = refresh(first)
    reading = pipelines.documents.stage.run_in_workers
    read: list[str] = []
    monkeypatch.setattr(
        pipelines.documents.stage,
        "run_in_workers",
        lambda units, *rest: reading([read.append(unit.path) or unit for unit in units], *rest),
    )
    again = refresh(second)
    assert read == []
    assert again.version == made.version and again.reused and texts(second, again) == texts(first, made)

    second.add("b.warc.gz", [english(seed) for seed in range(20, 40)])
    later = refresh(second)
    assert [path.rsplit("/", 1)[-1] for path in read] == ["b.warc.gz"] and later.parent_version == made.version
    read.clear()
    first.folder = second.folder
    assert refresh(first).version == later.version and read == []
    assert texts(first, later) == texts(second, later)
    assert not list(first.workspace.root.rglob("*.partial"))


def test_anybody_reads_the_parquet(machines: Callable[[str], Crawl], url: str) -> None:
    first = machines("first")
    made = refresh(first)
    files, place = fsspec.core.url_to_fs(url)
    version = files.cat_file(f"{place}/corpora/english/CURRENT").decode()
    assert version == made.version
    shards = files.glob(f"{place}/corpora/english/{version}/train-*.parquet")
    assert (
        sum(pq.read_table(shard, filesystem=files).num_rows for shard in shards)
        == made.documents - made.held_out_documents
    )


def test_a_killed_upload_leaves_nothing_that_reads_as_whole(machines: Callable[[str], Crawl], monkeypatch: Any) -> None:
    first, second = machines("first"), machines("second")

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as killed:
        killed.setattr(Bucket, "write", die)  # what follows the files: the report, the manifest, CURRENT
        with pytest.raises(Killed):
            refresh(first)
    folder = first.workspace.documents(documents_key(first.documents))
    assert bucket_of(first).names(folder) and not units_in_bucket(folder, first.workspace)
    with monkeypatch.context() as killed:
        killed.setattr(Bucket, "create", die)  # after the version is whole, before it is in use
        with pytest.raises(Killed):
            refresh(first)
    assert last_move("english", second.workspace, bucket_of(second)) == (0, None)
    assert refresh(first).version == refresh(second).version


@pytest.mark.parametrize("url", ["s3", "file"], indirect=True)
def test_of_two_machines_that_publish_at_a_time_one_is_refused(machines: Callable[[str], Crawl]) -> None:
    first, second = machines("first"), machines("second")
    refresh(first)
    with (
        pytest.raises(InputError, match="another machine published a version"),
        changing_corpus("english", first.workspace),
    ):
        mine = first.build(min_characters=201)
        theirs = refresh(second, min_characters=202)
    pointer = first.workspace.corpus("english") / "CURRENT"
    assert bucket_of(first).read(pointer) == theirs.version.encode()
    again = refresh(first, min_characters=201)
    assert again.version == mine.version and last_move("english", first.workspace, bucket_of(first))[0] == 3
    assert bucket_of(second).read(second.workspace.corpus("english") / "CURRENT") == mine.version.encode()


@pytest.mark.slow
def test_a_take_down_reaches_the_bucket(machines: Callable[[str], Crawl]) -> None:
    first, second = machines("first"), machines("second")
    held = refresh(first)
    deny("host3.example", "asked for", first.workspace)
    with changing_corpus("english", first.workspace):
        without = first.build()
    clear_bucket("host3.example", first.workspace)
    files = bucket_of(first)
    assert held.version not in files.names(first.workspace.corpus("english"))
    assert not units_in_bucket(first.workspace.documents(documents_key(first.documents)), first.workspace)
    for name in files.sizes(first.workspace.root):
        if (
            name.endswith(".parquet")
            and "host" in pq.read_schema(file := io.BytesIO(content(files, first, name))).names
        ):
            assert "host3.example" not in pq.read_table(file, columns=["host"])["host"].to_pylist(), name
    second.units()  # reads the crawl itself, as a refresh does before it makes a corpus
    assert not units_in_bucket(first.workspace.documents(documents_key(first.documents)), first.workspace)
    found = refresh(second)
    assert [entry.host for entry in denied_hosts(second.workspace)] == ["host3.example"]
    assert found.version == without.version and texts(second, found) == texts(first, without)

    second.add("b.warc.gz", [english(seed) for seed in range(20, 40)])
    later = refresh(second)  # although the first version, whose held-out split is the reference, has gone
    assert second.read(later, "held_out-*.parquet") == first.read(without, "held_out-*.parquet")


def test_a_take_down_finds_what_a_killed_upload_left(machines: Callable[[str], Crawl]) -> None:
    first = machines("first")
    held = refresh(first)
    folder = first.workspace.documents(documents_key(first.documents))
    for place in (first.workspace.corpus_version("english", held.version), folder):
        for name in bucket_of(first).names(place):
            if name.endswith(".json"):
                bucket_of(first).remove(place / name, place / name)
    clear_bucket("host3.example", first.workspace)
    assert not [name for name in bucket_of(first).sizes(first.workspace.root) if name.endswith(".parquet")]


def test_a_host_taken_down_during_a_refresh_stays_out_of_the_bucket(machines: Callable[[str], Crawl]) -> None:
    first, second = machines("first"), machines("second")
    with (
        pytest.raises(InputError, match="holds pages of a host that was taken down"),
        changing_corpus("english", first.workspace),
    ):
        held = first.build()
        deny("host3.example", "asked for", second.workspace)
    assert held.version not in bucket_of(first).names(first.workspace.corpus("english"))


def content(bucket: Bucket, machine: Crawl, name: str) -> bytes:
    read = bucket.read(machine.workspace.root / name)
    assert read is not None
    return read


def test_a_bucket_that_cannot_be_used_is_said(tmp_path: Path, s3: str) -> None:
    with pytest.raises(InputError, match="`bucket` nothing://x"):
        Workspace(tmp_path / "one", "nothing://x")
    assert Workspace(tmp_path / "one").bucket is None, "it is not remembered"
    with pytest.raises(InputError, match=r"`bucket` s3://missing/folder cannot be used .*config, or its keys"):
        Workspace(tmp_path / "two", "s3://missing/folder")
    assert Workspace(tmp_path / "two", s3).bucket_url == s3, "the next may be another"
    fsspec.filesystem("s3").mkdir("gone")
    gone = Workspace(tmp_path / "three", "s3://gone/folder")
    assert gone.bucket is not None and gone.bucket.sizes(gone.root) == {}, "the trial leaves nothing there"
    fsspec.filesystem("s3").rmdir("gone")
    with pytest.raises(InputError, match=r"s3://gone/folder cannot .*/three/workspace.json, which remembers it"):
        gone.bucket.write(tmp_path / "three" / "x", b"")


def test_a_full_disk_is_not_taken_for_a_fault_of_the_bucket(tmp_path: Path) -> None:
    (disk := tmp_path / "disk").mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is refused here")
    try:
        workspace = Workspace(disk / "workspace", f"file://{tmp_path}/bucket")
        (large := tmp_path / "bucket" / "large").parent.mkdir(exist_ok=True)
        large.write_bytes(bytes(200_000))
        assert workspace.bucket is not None
        with pytest.raises(InputError, match=r"the disk is full .*the same command goes on"):
            workspace.bucket.download({workspace.root / "large": (200_000, file_sha256(large))})
        assert [path.name for path in workspace.root.iterdir()] == ["workspace.json"]
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_workspace_remembers_its_bucket_and_no_key(tmp_path: Path, s3: str) -> None:
    Workspace(tmp_path / "one", s3)
    assert Workspace(tmp_path / "one").bucket_url == s3
    assert "canary" not in (tmp_path / "one" / "workspace.json").read_text()
