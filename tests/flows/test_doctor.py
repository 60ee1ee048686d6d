"""`nr doctor`: each illness is found, and has its fix."""

import json
import socket
from importlib.metadata import version

from flows.doctor import Finding, examine, out_of_bounds
from storage.workspace import Workspace


def found(tmp_path, what: str, port: int = 0, workspace=None) -> Finding:
    findings = examine(tmp_path / ".prefect", port, workspace or tmp_path / "workspace")
    return next(finding for finding in findings if finding.what == what)


def test_versions_out_of_bounds_say_what_breaks():
    wanted = ["fastapi>=900", "pydantic>=2", "no-such-package>1", "dask; extra == 'dask'", "SQLAlchemy<1"]
    assert list(out_of_bounds(wanted)) == [
        f"fastapi {version('fastapi')} (wanted >=900): Prefect's server dies at import, or its links are 404",
        "no-such-package is missing (wanted >1)",
        f"SQLAlchemy {version('sqlalchemy')} (wanted <1): schedules never create a run, and nothing says so",
    ]


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


def test_a_workspace_of_a_later_version_is_a_finding_and_the_others_follow(tmp_path):
    folder = Workspace(tmp_path / "later").root
    (folder / "workspace.json").write_text('{"format_version": 99}')
    findings = list(examine(tmp_path / ".prefect", 0, folder))
    assert [finding.what for finding in findings][-2:] == ["server", "worker"]
    assert "format version 99" in next(f.says for f in findings if f.what == "workspace" and f.fix)


def test_a_full_disk_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr("flows.workspace_health.LOW_DISK_GB", 1e9)
    assert "nr gc" in found(tmp_path, "disk").fix
