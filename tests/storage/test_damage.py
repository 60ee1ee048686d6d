"""What a power cut leaves of our files is made anew where the records are the truth, and else one sentence."""

import json
import os
import shutil
import subprocess
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.catalog import rebuild_catalog, refresh_catalog
from storage.errors import InputError
from storage.files import DamagedFile
from storage.publish import is_done, is_whole, publishing, read_manifest, write_manifest
from storage.query import query
from storage.records import write_records
from storage.workspace import Workspace

COUNT = "SELECT count(*) FROM models"
TORN = {"empty": b"", "half": b'{"format_ver', "no text": b"\xff\xfe\x00", "a list": b"[1]", "nested": b"[" * 100_000}
WRITE_AND_DIE = """
import duckdb, os, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("CREATE TABLE mine (x INTEGER)")
connection.execute("INSERT INTO mine VALUES (1)")
os._exit(9)
"""


def record(workspace, *models):
    for model in models:
        write_records(workspace, "models", model, [{"model_id": model, "source": "pretrained here"}])
    refresh_catalog(workspace)


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    record(workspace, "one")
    return workspace


def read_directly(workspace):
    with duckdb.connect(str(workspace.catalog), read_only=True) as connection:
        return connection.execute(COUNT).fetchall()


def leave_a_log(workspace):
    subprocess.run([sys.executable, "-c", WRITE_AND_DIE, str(workspace.catalog)])
    log = workspace.root / "catalog.duckdb.wal"
    assert log.exists()
    return log


@pytest.mark.parametrize("heal", [lambda w: record(w, "two"), refresh_catalog, rebuild_catalog])
def test_the_log_of_a_killed_writer_shuts_no_reader_out(workspace, heal):
    log = leave_a_log(workspace)
    heal(workspace)
    assert not log.exists()
    assert read_directly(workspace) == query(workspace, COUNT).rows


def test_a_log_of_another_catalog_is_not_read(workspace):
    content = leave_a_log(workspace).read_bytes()
    record(workspace, "two")
    (workspace.root / "catalog.duckdb.wal").write_bytes(content)
    assert query(workspace, COUNT).rows == [(2,)]
    refresh_catalog(workspace)
    assert read_directly(workspace) == [(2,)]


@pytest.mark.parametrize("size", [0, 4096, 30_000])
def test_a_torn_catalog_is_a_sentence_and_made_anew_by_the_next_flow(workspace, size):
    os.truncate(workspace.catalog, size)
    with pytest.raises(InputError, match="catalog rebuild"):
        query(workspace, COUNT)
    refresh_catalog(workspace)
    assert read_directly(workspace) == [(1,)]


def test_a_catalog_with_a_bad_page_is_made_anew(workspace):
    for database in (workspace.catalog, workspace.private_catalog):
        content = database.read_bytes()
        database.write_bytes(content[:12288] + os.urandom(len(content) - 12288))
    with pytest.raises(InputError, match="catalog rebuild"):
        query(workspace, COUNT)
    rebuild_catalog(workspace)
    assert read_directly(workspace) == [(1,)]


def test_what_a_killed_flow_left_of_publishing_goes(workspace):
    left = workspace.root / ".catalog.duckdb.4194304.partial"
    left.write_bytes(b"x" * 1000)
    record(workspace, "two")
    assert not left.exists()


def test_a_full_disk_leaves_no_part_of_a_catalog(workspace, monkeypatch):
    def full(source, target):
        target.write_bytes(b"x" * 1000)
        raise OSError(28, "No space left on device", str(target))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(shutil, "copyfile", full)
        record(workspace, "two")
    assert not list(workspace.root.glob(".catalog*"))
    refresh_catalog(workspace)
    assert read_directly(workspace) == [(2,)]


@pytest.mark.parametrize("damage", ["empty", "head", "middle"])
def test_a_torn_record_is_named(workspace, damage):
    path = workspace.records("models") / "two.parquet"
    record(workspace, "two")
    content = path.read_bytes()
    parts = {"empty": b"", "head": b"torn", "middle": content[:4] + bytes(60) + content[64:]}
    path.write_bytes(parts[damage])
    with pytest.raises(DamagedFile, match=r"two\.parquet is damaged.*: delete it"):
        refresh_catalog(workspace)
    path.unlink()
    refresh_catalog(workspace)
    assert query(workspace, COUNT).rows == [(1,)]


@pytest.mark.parametrize("rows", [{"model_id": ["x"], "of_a_newer_one": [1]}, {"model_id": [None], "source": ["x"]}])
def test_records_that_are_none_of_their_table_are_named(workspace, rows):
    foreign = workspace.records("models") / "foreign.parquet"
    pq.write_table(pa.table(rows), foreign)
    with pytest.raises(
        InputError, match=r"foreign\.parquet holds no records of models \(.*: upgrade neutral-residues if"
    ):
        refresh_catalog(workspace)
    foreign.unlink()
    record(workspace, "two")
    assert query(workspace, COUNT).rows == [(2,)]


@pytest.mark.parametrize("content", TORN.values(), ids=TORN)
def test_a_torn_marker_is_a_sentence(workspace, content):
    (workspace.root / "workspace.json").write_bytes(content)
    with pytest.raises(InputError, match=r"workspace\.json is damaged .*: delete it"):
        Workspace(workspace.root)


@pytest.mark.parametrize("content", TORN.values(), ids=TORN)
def test_a_torn_manifest_is_a_sentence_and_not_whole(tmp_path, content):
    folder = tmp_path / "step"
    with publishing(folder) as partial:
        write_manifest(partial, step="test", key="k", inputs={}, settings={}, counts={})
    assert is_done(folder) and is_whole(folder)
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(DamagedFile, match=r"manifest\.json is damaged"):
        read_manifest(folder)
    with pytest.raises(DamagedFile):
        is_done(folder)
    assert not is_whole(folder)


@pytest.mark.parametrize("content", [b"", b"\n", b"../../elsewhere", b"\x00\x00\x00\x00"])
def test_a_torn_pointer_is_read_from_the_moves(workspace, content):
    pointer = workspace.corpus("french") / "CURRENT"
    pointer.parent.mkdir(parents=True)
    pointer.write_bytes(content)
    with pytest.raises(InputError, match="CURRENT is damaged"):
        workspace.current_version("french")
    for number, version in enumerate(("first", "second")):
        row = {"corpus": "french", "moved": number, "version": version, "version_before": None}
        write_records(workspace, "corpus_moves", f"french-{number}", [row])
    write_records(workspace, "corpus_moves", "french-web-9", [{"corpus": "french-web", "moved": 9, "version": "other"}])
    assert workspace.current_version("french") == "second"


WHOLE = {"step": "x", "key": "k", "created": "2031", "inputs": {}, "settings": {}, "counts": {}, "files": {}}


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in WHOLE),
        {"inputs": []},
        {"files": {"a": 7}},
        {"files": {"a": {"bytes": "7", "sha256": "x"}}},
        {"files": {"a": {"bytes": 7}}},
        {"step": "corpus"},
        {"step": "corpus", "inputs": {"parent_version": None, "stage_version": 3}},
    ],
)
def test_a_manifest_that_is_json_and_not_what_one_has_is_damaged(tmp_path, change):
    file = tmp_path / "manifest.json"
    file.write_text(json.dumps(WHOLE))
    assert read_manifest(tmp_path) == WHOLE
    file.write_text(json.dumps(WHOLE | change))
    with pytest.raises(DamagedFile, match="lacks what a manifest has"):
        read_manifest(tmp_path)
