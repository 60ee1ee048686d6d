"""`nr gc`: what nothing needs goes, and nothing else."""

import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flows.maintenance.gc import Keep, Waste, find_waste, is_held, left_alone, remove
from flows.maintenance.verify import verify
from storage.files import write_atomically
from storage.publish import publishing, write_manifest
from storage.workspace import Workspace


def publish(folder, key, inputs, **counts):
    with publishing(folder) as partial:
        (partial / "data").write_text(key)
        write_manifest(partial, step="test", key=key, inputs=inputs, settings={}, counts=counts)


def corpus(workspace, version, day, **inputs):
    folder = workspace.corpus_version("french", version)
    publish(
        folder, version, {"documents_key": "d-" + version, "segments": {}, "yardstick": None, **inputs}, name="french"
    )
    manifest = (folder / "manifest.json").read_text()
    created = manifest.split('"created": "')[1].split('"')[0]
    write_atomically(folder / "manifest.json", manifest.replace(created, f"2026-11-{day:02d}T00:00:00+00:00"))


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    corpus(workspace, "yardstick", 1)
    corpus(workspace, "trained", 2)
    corpus(workspace, "segment", 3)
    corpus(workspace, "nobody", 4)
    corpus(workspace, "newest", 6, segments={"segment": "x"}, yardstick="yardstick")
    corpus(workspace, "current", 5)  # rolled back to
    write_atomically(workspace.corpus("french") / "CURRENT", "current")
    publish(workspace.run("run"), "run", {"trained": "new"})
    for version in ("trained", "current", "nobody"):
        publish(workspace.tokens(version, "tokenizer"), version, {})
        write_atomically(workspace.documents(f"d-{version}") / "unit.json", "{}")
    write_atomically(workspace.root / "runs" / ".left.partial" / "checkpoints" / "step-1", "x")
    write_atomically(workspace.records("runs") / ".one.parquet.4194399.partial", "x")
    return workspace


def waste(workspace, **keep):
    return {str(item.path.relative_to(workspace.root)) for item in find_waste(workspace, Keep(**keep))}


def test_what_a_version_in_use_or_a_run_needs_stays(workspace):
    assert waste(workspace, versions=1) == {"corpora/french/nobody", "tokens/trained", "tokens/nobody"}
    assert waste(workspace, versions=4) == {"tokens/trained"}


@pytest.mark.slow
def test_what_becomes_whole_meanwhile_does_no_harm(workspace):
    def write():
        for number in range(150):
            write_atomically(workspace.records("runs") / "one.parquet", str(number))
            publish(workspace.tokens("current", "another"), str(number), {})

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            assert "tokens/current" not in waste(workspace, days=1)
        writing.result()


def test_unfinished_work_and_unused_documents_go_when_they_are_old(workspace):
    old = time.time() - 40 * 86400
    file = workspace.records("runs") / ".one.parquet.4194399.partial"
    for path in (workspace.root / "runs" / ".left.partial", workspace.documents("d-nobody"), file):
        for part in (*path.rglob("*"), path):
            os.utime(part, (old, old))
    found = waste(workspace, versions=1)
    assert {"runs/.left.partial", str(file.relative_to(workspace.root)), "documents/d-nobody"} <= found
    assert "documents/d-trained" not in found
    (workspace.root / "runs" / ".left.partial" / "checkpoints" / "step-2").write_text("a training goes on")
    assert "runs/.left.partial" not in waste(workspace, versions=1)


def test_removed_twice_it_is_gone_once(workspace):
    remove(find_waste(workspace, Keep(versions=1)), workspace)
    assert waste(workspace, versions=1) == set()
    assert not workspace.corpus_version("french", "nobody").exists()
    assert (workspace.corpus_version("french", "trained") / "data").read_text() == "trained"
    assert not [*workspace.root.rglob(".trash.*")]


def test_parts_that_are_links_to_another_disk_are_cleared_and_verified(workspace):
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as disk:
        for part in ("documents", "runs", "corpora"):
            shutil.move(workspace.root / part, disk)
            (workspace.root / part).symlink_to(Path(disk, part))
        (workspace.root / "corpora" / "again").symlink_to(workspace.root)  # a circle
        assert {"documents/d-nobody", "corpora/french/nobody"} <= waste(workspace, versions=1, days=0)
        remove(find_waste(workspace, Keep(versions=1, days=0)), workspace)
        assert waste(workspace, versions=1, days=0) == set()
        assert not (Path(disk, "documents", "d-nobody").exists() or Path(disk, "runs", ".left.partial").exists())
        (workspace.run("run") / "data").write_text("other")
        damages = verify(workspace, None, lambda *_: None)
    assert {damage.path for damage in damages} == {"runs/run/data"}


def test_a_lock_that_the_file_system_cannot_tell_of_counts_as_held(workspace, monkeypatch):
    def refused(*_):
        raise OSError(errno.EBADF, "Bad file descriptor")  # as NFS answers for a file that is open to read

    with workspace.lock("run-left"):
        pass
    assert not is_held(workspace.root / "private" / "locks" / "run-left.lock")
    monkeypatch.setattr(fcntl, "flock", refused)
    assert is_held(workspace.root / "private" / "locks" / "run-left.lock")


def test_what_a_training_under_way_reads_stays(workspace):
    partial = workspace.root / "runs" / ".left.partial"
    tokens = workspace.tokens("nobody", "tokenizer") / "train"
    spec = {"out": str(partial), "inputs": [{"tokens": str(tokens), "share": 1.0}]}
    write_atomically(workspace.job_spec("job"), json.dumps(spec))
    assert waste(workspace, versions=1) == {"tokens/trained"}
    shutil.rmtree(partial)  # the training has ended
    assert {"corpora/french/nobody", "tokens/nobody"} <= waste(workspace, versions=1)


def test_what_somebody_is_at_work_in_stays_and_is_named(workspace):
    training = workspace.root / "runs" / ".left.partial"
    other = workspace.root / "runs" / ".dead.partial"
    mine = workspace.records("runs") / f".two.parquet.{os.getppid()}.partial"
    for path in (other / "checkpoints" / "step-1", mine):
        write_atomically(path, "x")
    tokens = workspace.tokens("current", "other").with_name(".other.partial")
    tokens.mkdir(parents=True)
    keep = Keep(days=0, versions=9)
    with open(training / ".lock", "w") as lock, workspace.lock("tokens-current-other"):
        fcntl.flock(lock, fcntl.LOCK_EX)
        alone = {training, mine, tokens}
        assert set(left_alone(workspace, keep)) == alone
        found = find_waste(workspace, keep)
        assert alone.isdisjoint(item.path for item in found) and other in {item.path for item in found}
        remove([*found, Waste(training, "somebody has begun meanwhile")], workspace)
        assert training.exists() and not other.exists()
    assert {training, tokens} <= {item.path for item in find_waste(workspace, keep)}


@pytest.mark.parametrize("held", ["corpus-hungarian", "fetching"])
def test_documents_of_a_refresh_under_way_stay(held, tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    folder = workspace.documents("of-other-settings")
    folder.mkdir(parents=True)
    (folder / "unit.parquet").write_bytes(b"x")
    with workspace.lock(held):
        assert find_waste(workspace, Keep(days=0)) == []
    assert [item.path for item in find_waste(workspace, Keep(days=0))] == [folder]
