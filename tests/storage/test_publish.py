"""Whole files or none, and keys that follow content."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from time import sleep

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import InputError
from storage.files import write_atomically
from storage.keys import content_hash, hash_of
from storage.publish import Manifest, is_done, make_once, publishing, read_manifest, write_manifest
from storage.workspace import FORMAT_VERSION, Workspace


def publish_text(folder, text):
    with publishing(folder) as partial:
        (partial / "part.txt").write_text(text)
        write_manifest(partial, step="test", key="k", inputs={}, settings={}, counts={"characters": len(text)})


def test_a_step_is_done_when_its_manifest_stands_and_its_files_are_whole(tmp_path):
    folder = tmp_path / "step"
    assert not is_done(folder)
    publish_text(folder, "whole")
    assert is_done(folder) and read_manifest(folder)["counts"] == {"characters": 5}
    (folder / "part.txt").write_text("who")
    assert not is_done(folder)
    publish_text(folder, "again")
    assert is_done(folder) and [path.name for path in tmp_path.iterdir()] == ["step"]


def test_a_failed_step_leaves_what_stood(tmp_path):
    publish_text(tmp_path / "step", "old")
    with pytest.raises(RuntimeError), publishing(tmp_path / "step") as partial:
        (partial / "part.txt").write_text("half")
        raise RuntimeError
    assert (tmp_path / "step" / "part.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["step"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_who_may_read_the_folder_may_read_its_files(tmp_path, umask, mode):
    """Some libraries write for the owner alone."""
    before = os.umask(umask)
    try:
        with publishing(tmp_path / "step") as partial:
            (partial / "weights").touch(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "step" / "weights").stat().st_mode) == mode


def test_what_a_killed_process_left_goes_when_the_step_is_taken_again(tmp_path):
    program = f"""
import os, pathlib, storage.publish
with storage.publish.publishing(pathlib.Path({str(tmp_path / "step")!r})) as partial:
    (partial / "part.txt").write_text("half")
    os._exit(1)
"""
    subprocess.run([sys.executable, "-c", program], check=False)
    assert [path.name.endswith(".partial") for path in tmp_path.iterdir()] == [True]
    publish_text(tmp_path / "step", "whole")
    assert [path.name for path in tmp_path.iterdir()] == ["step"]


def test_write_atomically_replaces_and_leaves_nothing_beside(tmp_path):
    write_atomically(tmp_path / "file", "one")
    write_atomically(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_text() == "two" and len(list(tmp_path.iterdir())) == 1


def test_a_newer_workspace_is_refused(tmp_path):
    Workspace(tmp_path)
    (tmp_path / "workspace.json").write_text(json.dumps({"format_version": FORMAT_VERSION + 1}))
    with pytest.raises(InputError, match="upgrade neutral-residues"):
        Workspace(tmp_path)


def test_content_hash_follows_the_content(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    file = tmp_path / "a"
    file.write_text("a")
    first = content_hash(file, workspace)
    assert content_hash(file, workspace) == first
    file.write_text("ab")
    assert content_hash(file, workspace) != first


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.lists(st.integers())))
def test_keys_do_not_depend_on_the_order_of_settings(settings):
    assert hash_of(settings) == hash_of(dict(reversed(settings.items())))


def test_a_linked_file_keeps_the_checksum_it_was_written_with(tmp_path):
    publish_text(tmp_path / "one", "whole")
    written = read_manifest(tmp_path / "one")["files"]["part.txt"]
    (tmp_path / "one" / "part.txt").write_text("spoil")  # as a disk might
    with publishing(tmp_path / "two") as partial:
        (partial / "part.txt").hardlink_to(tmp_path / "one" / "part.txt")
        (partial / "own.txt").write_text("own")
        given = {"step": "test", "key": "k", "inputs": {}, "settings": {}, "counts": {}}
        write_manifest(partial, **given, linked_from=[tmp_path / "one", tmp_path / "nowhere"])
    files = read_manifest(tmp_path / "two")["files"]
    assert files["part.txt"] == written and files["own.txt"]["bytes"] == 3


def made(folder, attempts, *, resumable, fail=False):
    """Make a folder once; `attempts` gets the files that each attempt found."""

    def make(partial):
        attempts.append(sorted(file.name for file in partial.iterdir()))
        (partial / "part.txt").write_text("half" if fail else "whole")
        if fail:
            raise RuntimeError
        return Manifest("test", "k", inputs={}, settings={}, counts={"characters": 5})

    return make_once(folder, make, Workspace(folder.parent / "workspace").lock("test"), resumable=resumable)


@pytest.mark.parametrize("resumable", [False, True])
def test_what_stands_is_not_made_again(tmp_path, resumable):
    attempts = []
    with pytest.raises(RuntimeError):
        made(tmp_path / "step", attempts, resumable=resumable, fail=True)
    assert not is_done(tmp_path / "step")
    assert made(tmp_path / "step", attempts, resumable=resumable)
    assert not made(tmp_path / "step", attempts, resumable=resumable)
    assert attempts == [[], ["part.txt"] if resumable else []]  # what was begun goes on where it is asked to
    assert read_manifest(tmp_path / "step")["counts"] == {"characters": 5}


def test_a_wait_for_another_flow_is_told_of(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("storage.workspace.SILENT_WAIT", 0.05)
    workspace = Workspace(tmp_path)
    with ThreadPoolExecutor() as pool:
        with workspace.lock("model-a"):
            second = pool.submit(made, tmp_path / "step", [], resumable=False)
            second.result()  # of another name: nobody waits
            assert not caplog.messages
            third = pool.submit(enter, workspace.lock("model-a"))
            while not caplog.messages:
                sleep(0.01)
            assert not third.done() and "another flow" in caplog.text and "model-a.lock" in caplog.text
        third.result()
    assert caplog.messages[-1].startswith("the wait for ")


def enter(context):
    with context:
        pass
