"""Reports over HTTP: a workspace's reports and their pictures, and nothing else of the machine."""

import http.client
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from flows.services import report_server
from flows.services.addresses import free_port
from storage.errors import InputError


@pytest.fixture
def workspace(tmp_path):
    reports = tmp_path / "my work" / "reports"
    (reports / "figures").mkdir(parents=True)
    (reports / "demo & co.html").write_text("<p>learned</p>")
    (reports / "figures" / "trade-off.svg").write_text("<svg/>")
    (reports / "key.txt").write_text("secret")
    (reports / ".draft.html").write_text("secret")
    (reports / ".drafts").mkdir()
    (reports / ".drafts" / "a.html").write_text("secret")
    (reports.parent / "catalog.html").write_text("secret")
    (reports / "out.html").symlink_to(reports.parent / "catalog.html")
    (reports / "folder.html").mkdir()
    (reports / "folder.html" / "index.html").symlink_to(reports.parent / "catalog.html")
    os.mkfifo(reports / "pipe.html")
    return reports.parent


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    report_server.stop(tmp_path / "home")


def get(server, path, host=None):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host or f"127.0.0.1:{server.port}")
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_reports_are_served_and_nothing_beside_them(home, workspace, monkeypatch):
    server = report_server.start(home, workspace, free_port())
    monkeypatch.setenv("PREFECT_HOME", str(home))
    address = report_server.address_of(workspace / "reports" / "demo & co.html").removeprefix(server.url)
    name = address.split("/")[1]
    assert get(server, address) == (200, "<p>learned</p>")
    assert get(server, f"/{name}/figures/trade-off.svg") == (200, "<svg/>")
    status, page = get(server, "/")
    assert status == 200 and address in page and "demo &amp; co" in page
    assert name in page.replace(address, "") and str(workspace.parent) not in page, "which workspace, and not where"
    for path in (
        f"/{name}/key.txt", f"/{name}/../catalog.html", f"/{name}/..%2fcatalog.html", f"/{name}/out.html",
        f"/{name}/", f"/{name}", f"/{name}/%2fetc%2fhostname", f"/{name}//etc/hostname", f"/{name}/%00.html",
        f"/{name}/.draft.html", f"/{name}/.drafts/a.html", f"/{name}/figures/../.draft.html", f"/{name}/%2edraft.html",
        f"/{name}/folder.html/", f"/{name}/folder.html", f"/{name}/pipe.html",
        "/../reports.json", "/%2e%2e/reports.json", "/..", "//etc/hostname", f"/{name}/figures", f"/{name}/nothing",
    ):  # fmt: skip
        status, page = get(server, path)
        assert "secret" not in page and (status == 404 or "<h1>Reports" in page), path
    assert "draft" not in page
    for host in ("rebound.example.org", "127.0.0.1@rebound.example.org", "[", "127.0.0.1.example.org"):
        assert get(server, "/", host=host)[0] == 403


def test_it_listens_on_loopback_alone_once_and_until_it_is_stopped(home, workspace, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(home))
    assert report_server.address_of(workspace / "reports" / "a.html") is None
    server = report_server.start(home, workspace, free_port())
    with open(f"/proc/{server.pid}/net/tcp") as sockets:
        listening = [line.split()[1] for line in sockets if line.split()[3] == "0A"]
    assert f"0100007F:{server.port:04X}" in listening and f"00000000:{server.port:04X}" not in listening
    assert report_server.start(home, workspace.parent / "another", free_port()) == server
    assert report_server.stop(home) and not report_server.stop(home)
    assert report_server.running(home) is None
    assert not server.is_alive()  # its port may be another's by now


def test_two_that_start_it_at_once_have_one(home, workspace):
    port = free_port()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: report_server.start(home, workspace, port), range(2))
    assert first == second == report_server.running(home)


def test_a_workspace_without_reports_and_a_port_that_is_taken(home, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(InputError, match="is taken by another program: give one with --reports-port"):
            report_server.start(home, tmp_path / "new", other.getsockname()[1])
    server = report_server.start(home, tmp_path / "new", free_port())
    assert "None yet" in get(server, "/")[1]
    (tmp_path / "new" / "reports").mkdir(parents=True)
    (tmp_path / "new" / "reports" / "first.html").write_text("first")
    assert "first.html" in get(server, "/")[1]


def test_those_who_connect_and_say_nothing_hold_up_nobody(home, workspace):
    server = report_server.start(home, workspace, free_port())
    with ExitStack() as stack:
        for _ in range(3 * report_server.MOST_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert get(server, "/")[0] == 200


def test_where_others_may_ask_it_answers_to_the_names_that_were_allowed(home, workspace):
    server = report_server.start(home, workspace, free_port(), "0.0.0.0", ["Reports.example.org"])
    hosts = {"reports.example.org": 200, "reports.example.org:443": 200, "localhost": 200, "other.example.org": 403}
    assert {host: get(server, "/", host=host)[0] for host in hosts} == hosts
