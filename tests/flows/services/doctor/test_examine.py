"""`nr doctor`: each illness is found, and has its fix."""

import errno
import json
import platform
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version

import pytest
from huggingface_hub import constants

from flows.maintenance.rollback import current
from flows.maintenance.verify import verify
from flows.services import server
from flows.services.doctor.examine import Finding, examine
from flows.services.doctor.machine import out_of_bounds
from pipelines.text import identify
from storage.errors import InputError
from storage.files import DamagedFile
from storage.workspace import Workspace


@pytest.fixture(autouse=True)
def no_hub(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def found(tmp_path, what: str, port: int = 0, workspace=None) -> Finding:
    findings = examine(tmp_path / ".prefect", port, workspace or tmp_path / "workspace")
    return next(finding for finding in findings if finding.what == what)


def test_versions_out_of_bounds_say_what_breaks():
    wanted = ["fastapi>=900", "pydantic>=2", "no-such-package>1", "dask; extra == 'dask'", "SQLAlchemy<1"]
    assert [says for _, says in out_of_bounds(wanted)] == [
        f"fastapi {version('fastapi')} (wanted >=900): Prefect's server dies at import, or its links are 404",
        "no-such-package is missing (wanted >1)",
        f"SQLAlchemy {version('sqlalchemy')} (wanted <1): schedules never create a run, and nothing says so",
    ]


def test_versions_out_of_bounds_are_put_right_by_pip_without_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "flows.services.doctor.machine.requires", lambda name: ["fastapi==0.1", "pydantic>=2", "none>1,<2"]
    )
    assert found(tmp_path, "versions").fix == "pip install fastapi==0.1 'none<2,>1'"


def test_python_out_of_bounds_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.8.10")
    assert found(tmp_path, "versions").says.startswith("Python 3.8.10 (wanted >=3")


def test_a_missing_compiler_is_said_and_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    finding = found(tmp_path, "compiler")
    assert "needs g++" in finding.says and not finding.fix


def test_this_installation_is_within_its_bounds(tmp_path):
    assert found(tmp_path, "versions").fix == ""


def test_a_taken_port_is_found(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert found(tmp_path, "server", port) == Finding(
            "server",
            f"port {port}, for Prefect's server, is taken by another program: give one with --port",
            "nr up --port N, with a free port",
        )
    assert found(tmp_path, "server", port).fix == ""


def test_a_server_that_has_gone_is_found(tmp_path):
    (tmp_path / ".prefect").mkdir()
    gone = {"home": str(tmp_path / ".prefect"), "port": 1, "server_pid": 2**22 + 1, "worker_pid": 2**22 + 2}
    (tmp_path / ".prefect" / "services.json").write_text(json.dumps(gone))
    with socket.socket() as server_without_its_worker:
        server_without_its_worker.bind(("127.0.0.1", 0))
        server_without_its_worker.listen()
        port = server_without_its_worker.getsockname()[1]
        assert found(tmp_path, "server", port).says == "it was started and has gone, or its worker has"
    assert found(tmp_path, "server").fix.startswith("nr up;")


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"home": 3}'])
def test_a_damaged_note_of_what_was_started_is_found_and_names_what_still_runs(tmp_path, content):
    home = tmp_path / ".prefect"
    home.mkdir(mode=0o700)
    (home / "services.json").write_text(content)
    assert server.running(home) is None
    assert "services.json is damaged, and nothing that it told of runs" in found(tmp_path, "server").says
    command = [sys.executable, "-c", "import time; time.sleep(60)", "as prefect"]
    with subprocess.Popen(command, env={"PREFECT_HOME": str(home)}, start_new_session=True) as left:
        try:
            assert f"damaged, and what it tells of still runs: `kill {left.pid}`" in found(tmp_path, "server").says
            with pytest.raises(DamagedFile, match=f"`kill {left.pid}`, delete the file, then `nr up`"):
                server.stop(home)
        finally:
            left.kill()


def test_a_home_that_is_no_folder_open_to_others_or_without_a_database_of_prefects_is_found(tmp_path):
    home = tmp_path / ".prefect"
    home.write_text("a file")
    assert ".prefect is a file" in found(tmp_path, "credential").says
    assert found(tmp_path, "server").fix == ""
    home.unlink()
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    assert found(tmp_path, "credential").fix.startswith(f"chmod 700 {home}")
    (home / "prefect.db").write_bytes(b"torn" * 100)
    assert "prefect.db is damaged" in found(tmp_path, "server").says


def test_a_workspace_of_a_later_version_is_a_finding_and_the_others_follow(tmp_path):
    folder = Workspace(tmp_path / "later").root
    (folder / "workspace.json").write_text('{"format_version": 99}')
    findings = list(examine(tmp_path / ".prefect", 0, folder))
    assert [finding.what for finding in findings][-4:] == ["server", "worker", "hub", "study"]
    assert "format version 99" in next(f.says for f in findings if f.what == "workspace" and f.fix)


def test_a_bucket_that_cannot_be_written_to_is_found(tmp_path):
    assert found(tmp_path, "bucket").says.startswith("none is set")
    folder = Workspace(tmp_path / "here", bucket=f"file://{tmp_path}/objects").root
    assert found(tmp_path, "bucket", workspace=folder) == Finding(
        "bucket", f"file://{tmp_path}/objects can be written to"
    )
    (folder / "workspace.json").write_text('{"format_version": 1, "bucket": "file:///dev/null/objects"}')
    finding = found(tmp_path, "bucket", workspace=folder)
    assert "file:///dev/null/objects cannot be used" in finding.says and finding.fix


def test_what_cannot_be_looked_at_has_the_remedy_of_the_system_s_error(tmp_path):
    finding = found(tmp_path, "files", workspace=tmp_path / ("long" * 100))
    assert (finding.says, "give a shorter one" in finding.fix) == ("could not be looked at", True)


@pytest.mark.parametrize("name", ["catalog.duckdb", "private/catalog.duckdb", "deny-list.jsonl", "corpora/a/CURRENT"])
def test_a_folder_where_a_file_should_be_is_found_by_doctor_and_by_verify(tmp_path, name):
    workspace = Workspace(tmp_path / "workspace")
    (workspace.root / name).mkdir(parents=True)
    finding = found(tmp_path, "workspace")
    assert finding.says == f"{workspace.root / name} is a folder, where a file should be" and finding.fix
    (damage,) = verify(workspace, None, lambda *_: None)
    assert (damage.path, damage.wrong) == (name, "it is a folder, where a file should be")


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("corpora/a/v/manifest.json", "[" * 100_000, "it is damaged (no JSON)"),
        ("corpora/a/v/manifest.json", '{"files": {"x": 1}}', "it is damaged (it lacks what a manifest has)"),
        ("documents/k/u.json", "[1]", "it is damaged (no JSON object)"),
        ("documents/k/u.json", '{"status": "done"}', "it does not say what was written"),
        ("corpora/a/CURRENT", "gone", "it names version gone, which is not there"),
    ],
)
def test_json_of_ours_that_is_damaged_in_any_way_is_a_finding_of_verify(tmp_path, name, content, wrong):
    workspace = Workspace(tmp_path / "workspace")
    file = workspace.root / name
    file.parent.mkdir(parents=True)
    file.write_text(content)
    (damage,) = verify(workspace, None, lambda *_: None)
    assert (damage.path, damage.wrong) == (name, wrong) and damage.fix


def test_a_version_in_use_that_is_not_there_is_found(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    workspace.point_to("a", "gone")
    assert "names version gone, which is not there" in found(tmp_path, "files").says
    with pytest.raises(InputError, match="names version gone, which is not there"):
        current(workspace, "a")


def test_a_file_where_a_folder_should_be_is_found_by_verify_too(tmp_path):
    workspace = Workspace(tmp_path / "workspace")
    (workspace.root / "corpora").write_text("")
    (damage,) = verify(workspace, None, lambda *_: None)
    assert (damage.path, damage.wrong, damage.fix) == (
        "corpora", "it is a file, where a folder should be", "move it away",
    )  # fmt: skip


def test_a_quota_that_is_used_up_is_found(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    assert found(tmp_path, "disk").fix == ""
    monkeypatch.setattr("os.posix_fallocate", refuse)
    assert "quota of the disk is used up" in found(tmp_path, "disk").fix


def test_what_nr_up_would_refuse_of_this_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert found(tmp_path, "project").says.startswith("no prefect.yaml here") and not found(tmp_path, "project").fix
    (tmp_path / "prefect.yaml").write_text("deployments: []")
    assert not found(tmp_path, "project").fix
    (tmp_path / "flows.py").write_text("")
    assert "flows.py has the name of a package that flows import" in found(tmp_path, "project").says
    (tmp_path / "flows.py").unlink()
    (tmp_path / "prefect.yaml").write_text("deployments: {")
    assert found(tmp_path, "project").fix


def test_a_taken_port_of_the_reports_is_found(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert found(tmp_path, "server", port - 1).fix == "nr up --reports-port N, with a free port"


def test_a_full_disk_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("flows.maintenance.workspace_health.LOW_DISK_GB", 1e9)
    assert "nr gc" in found(tmp_path, "disk").fix


def test_too_little_memory_is_found(tmp_path, monkeypatch):
    assert found(tmp_path, "memory").says.endswith("GB free")
    monkeypatch.setattr("flows.services.doctor.machine.LOW_MEMORY_GB", 1e9)
    assert "a smaller model" in found(tmp_path, "memory").fix


def test_an_extra_that_is_not_installed_is_named_with_its_use_and_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "flows.services.doctor.machine.EXTRAS", {"gguf": ("no_such_package", "a .gguf base"), "x": ("json", "")}
    )
    finding = found(tmp_path, "extras")
    assert "not installed: gguf (a .gguf base); " in finding.says and "'neutral-residues[gguf]'" in finding.says
    assert not finding.fix


def test_a_hub_out_of_reach_is_told_and_one_that_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_x")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    assert "is out of reach" in (says := found(tmp_path, "hub").says) and "GGUF" in says
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as hub:  # answers 501
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{hub.server_port}")
        assert found(tmp_path, "hub") == Finding("hub", f"{constants.ENDPOINT} answers; a token is at hand")
        hub.shutdown()


def test_a_language_model_that_a_fresh_installation_has_not_fetched_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(identify, "FETCHED_MODEL", tmp_path / "lid.176.ftz")
    finding = found(tmp_path, "language model")
    assert finding.says.startswith("not fetched yet") and not finding.fix
    (tmp_path / "lid.176.ftz").write_bytes(b"torn")
    assert found(tmp_path, "language model").fix.startswith("remove it, then python -m pipelines.text.identify")
