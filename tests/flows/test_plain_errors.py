"""What the system refuses is one sentence with the remedy, in every command."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.maintenance.workspace_health import files_wrong, folder_wrong
from flows.plain_errors import sentence_of
from storage.catalog import refresh_catalog
from storage.errors import InputError
from storage.publish import write_manifest
from storage.records import write_records
from storage.workspace import Workspace

NUMBERS = {
    errno.ENOSPC: "disk is full", errno.EDQUOT: "quota", errno.EROFS: "read-only", errno.EACCES: "permission",
    errno.ENOTDIR: "folder", errno.EISDIR: "folder", errno.ENOENT: "nothing at", errno.EIO: "dmesg",
    errno.EMFILE: "ulimit", errno.ENAMETOOLONG: "shorter", errno.EFBIG: "ulimit -f", errno.ENOLCK: "locks",
    errno.ENOTEMPTY: "open",
}  # fmt: skip


@pytest.mark.parametrize(("number", "words"), NUMBERS.items(), ids=errno.errorcode.get)
def test_an_error_of_the_system_is_a_sentence_that_names_the_place(number, words):
    sentence = sentence_of(OSError(number, os.strerror(number), "/somewhere/file"))
    assert words in sentence and "/somewhere/file" in sentence and "\n" not in sentence


@pytest.mark.parametrize(
    "error", [MemoryError(), pa.ArrowMemoryError("malloc of size 64"), duckdb.OutOfMemoryException()]
)
def test_memory_that_has_run_out_is_a_sentence(error):
    assert "memory has run out" in (sentence_of(error) or "")


def test_a_damaged_parquet_file_is_a_sentence_whoever_reads_it(tmp_path):
    file = tmp_path / "shard.parquet"
    pq.write_table(pa.table({"text": ["some text " * 100] * 1000}), file, compression="none")
    content = file.read_bytes()
    for torn in (b"", content[: len(content) // 2], bytes(len(content))):
        file.write_bytes(torn)
        for read in (pq.read_table, lambda path: duckdb.sql(f"FROM '{path}'").fetchall()):
            with pytest.raises(Exception) as error:
                read(file)
            assert "nr verify" in (sentence_of(error.value) or ""), error.value


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('IO Error: Cannot open file "/x/a.parquet": Permission denied', "you may not"),
        ('IO Error: Cannot open file "/x/a.parquet": Read-only file system', "read-only"),
        ('IO Error: Could not write file "/x/a.parquet": No space left on device', "disk is full"),
        ('IO Error: Could not write file "/x/a.parquet": File too large', "ulimit -f"),
        ('IO Error: Could not set lock on file "/x/catalog.duckdb": Conflicting lock is held in python', "Conflicting"),
    ],
)
def test_what_the_system_refused_duckdb_is_told_apart_from_damage(said, words):
    sentence = sentence_of(duckdb.IOException(said))
    assert words in sentence and "nr verify" not in sentence


@pytest.mark.parametrize(("proxy", "is_told"), [("foo://x:y", True), ("http://proxy:8080", None)])
def test_what_http_clients_refuse_is_a_sentence_where_a_proxy_variable_is_wrong(proxy, is_told, monkeypatch):
    monkeypatch.setenv("Http_Proxy", proxy)
    with pytest.raises(httpx.InvalidURL) as error:
        httpx.Client(proxy="http://h:port")
    sentence = sentence_of(error.value)
    assert sentence == (is_told and "Http_Proxy names no proxy: write it as http://HOST:PORT, or unset it")


def test_a_programmers_error_keeps_its_traceback():
    assert sentence_of(KeyError("x")) is None and sentence_of(duckdb.InternalException("bug")) is None


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    refresh_catalog(workspace)
    return workspace


def test_a_file_where_a_folder_should_be_is_a_sentence(workspace, tmp_path, nr_here):
    (workspace.root / "reports").write_text("a file")
    (tmp_path / "out").write_text("a file")
    for command in (["report"], ["export", "out"], ["export", "out/below"]):
        done = nr_here(*command, "--workspace", workspace.root, cwd=tmp_path)
        assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert "reports is a file" in folder_wrong(workspace.root).says


@pytest.mark.parametrize(
    "command",
    [["run", "{0}/c.yaml"], ["results", "--workspace", "{0}"], ["plan", "c.yaml", "--set", "workspace={0}"],
     ["inspect", "{0}"], ["sql", "from runs", "--workspace", "{0}"], ["generate", "{0}", "text"]],
)  # fmt: skip
def test_a_password_typed_where_a_path_belongs_is_not_repeated(workspace, tmp_path, nr_here, command):
    given = [part.format("https://me:canary@h.example/x?token=canary") for part in command]
    (tmp_path / "c.yaml").write_text(
        "language: hun\nsources: {a: {kind: warc, paths: [x]}}\ncorpora: {a: {language: hun}}"
    )
    done = nr_here(*given, cwd=tmp_path)
    assert done.returncode == 2 and "canary" not in done.stderr + done.stdout, done.stderr
    assert not list(tmp_path.rglob("*canary*"))


def test_what_is_damaged_is_known_to_the_doctor(workspace):
    assert list(files_wrong(workspace)) == [] and folder_wrong(workspace.root) is None
    (workspace.root / "catalog.duckdb.wal").write_bytes(b"left")
    os.truncate(workspace.catalog, 100)
    assert {"left of who" in wrong.says or "is damaged" in wrong.says for wrong in files_wrong(workspace)} == {True}
    assert all("nr catalog rebuild" in wrong.fix for wrong in files_wrong(workspace))


def test_each_damaged_file_is_a_finding_of_its_own(workspace):
    written = workspace.root / "corpora" / "english" / "v1"
    for folder in (written, workspace.run("r"), workspace.tokens("v1", "t")):
        folder.mkdir(parents=True)
        (folder / "part").write_text("whole")
        write_manifest(folder, step="x", key="v1", inputs={}, settings={}, counts={})
    write_records(workspace, "runs", "r", [{"run_id": "r"}])
    assert list(files_wrong(workspace)) == []
    (written / "part").unlink()
    (workspace.run("r") / "manifest.json").write_text("")
    (workspace.tokens("v1", "t") / "manifest.json").write_text("{")
    next(workspace.records("runs").glob("*.parquet")).write_bytes(b"PAR1")
    workspace.job_spec("j").parent.mkdir(parents=True, exist_ok=True)
    workspace.job_spec("j").write_text("")
    workspace.catalog.unlink()
    said = [(wrong.says.removeprefix(f"{workspace.root}/"), wrong.fix) for wrong in files_wrong(workspace)]
    assert [says.split(" ")[0] for says, _ in said] == [
        "catalog.duckdb",
        "corpora/english/v1",
        "runs/r/manifest.json",
        "tokens/v1/t/manifest.json",
        "records/runs/r.parquet",
        "private/jobs/j.json",
    ]
    assert all(fix not in ("", "as it says") for _, fix in said)


def test_a_file_that_is_another_users_alone_is_a_finding(workspace, monkeypatch):
    folder = workspace.run("r")
    folder.mkdir(parents=True)
    (folder / "part").write_text("whole")
    write_manifest(folder, step="x", key="r", inputs={}, settings={}, counts={})
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "part")  # root may read all
    (wrong,) = files_wrong(workspace)
    assert wrong.says == f"{folder / 'part'} cannot be read" and "permission" in wrong.fix


def test_locks_are_as_open_as_their_folder(workspace):
    folder = workspace.root / "private" / "locks"
    for mode, expected in ((0o2775, 0o664), (0o700, 0o600)):
        folder.chmod(mode)
        with workspace.lock(f"lock-{mode:o}"):
            assert (folder / f"lock-{mode:o}.lock").stat().st_mode & 0o777 == expected


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_users_workspace_is_a_sentence():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        root = Workspace(Path(folder, "workspace")).root
        refresh_catalog(Workspace(root))
        program = f"""
import os, pwd
from flows.plain_errors import sentence_of
from nr_core.errors import ModelError
from storage.catalog import rebuild_catalog
from storage.workspace import Workspace
workspace = Workspace({str(root)!r})
os.setgid(65534), os.setuid(65534)
try:
    rebuild_catalog(workspace)
except Exception as error:
    print(sentence_of(error))
"""
        command = [sys.executable, "-c", program]
        said = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert "belongs to root" in said.stdout and said.stdout.count("\n") == 1, said


@pytest.mark.parametrize(
    "arguments", [["sql", "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"]]
)
@pytest.mark.slow
def test_an_interrupt_is_silent(workspace, arguments):
    program = "import sys; print('here', flush=True); from flows.cli import main; main()"
    command = [sys.executable, "-c", program, *arguments, "--workspace", str(workspace.root)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=root) as process:
        assert process.stdout.readline() == b"here\n"
        time.sleep(2)  # long enough for the query to be under way; before that it is the same
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_it_is_raised_as_input_error_where_a_lock_cannot_be_made(workspace):
    (workspace.root / "private" / "locks" / "one.lock").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be worked in"), workspace.lock("one"):
        pass
