"""Nobody changes or reads anything of Prefect's server without its credential, nor from another origin with it."""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.metadata import packages_distributions
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from flows.services.access import FILE, client_settings, credential_for, credential_of, make_private, server_settings
from flows.services.addresses import LOOPBACK, address, free_port, hosts_of, refusal, refuse_unusable
from flows.services.prefect_api import Api
from flows.services.prefect_app import Guard
from flows.services.server import environment, up
from flows.services.temporary_server import TemporaryServer
from pipelines.workers.child_processes import python_command, python_environment
from storage.errors import InputError

OPEN = {"/health", "/ready"}  # without a credential: that it lives, and nothing else
CHANGES = ("POST", "PUT", "PATCH", "DELETE")


@pytest.fixture(scope="module")
def hostile_folder(tmp_path_factory):
    """A folder with a module of every name that can be imported here, each of which says so in `imported`."""
    folder = tmp_path_factory.mktemp("hostile")
    for name in {*sys.stdlib_module_names, *packages_distributions(), "sitecustomize", "usercustomize"}:
        said = f"open({str(folder / 'imported')!r}, 'a').write('{name} ')"
        (folder / f"{name.replace('/', '.')}.py").write_text(f"{said}\nraise ImportError('of the current folder')")
    return folder


@pytest.fixture(scope="module")
def api(tmp_path_factory, hostile_folder, prefect_home):
    """The API of Prefect's server as `nr up` starts it, with a deployment, a variable and a Secret block."""
    home, port = prefect_home(tmp_path_factory.mktemp("api") / "home"), free_port()
    credential, url = credential_for(home), address(LOOPBACK, port)
    settings = {**environment(home), **client_settings(credential, url), **server_settings(credential, url)}
    everything = {**os.environ, **settings, **python_environment(), "http_proxy": "http://127.0.0.1:9"}
    with (
        (home / "log").open("wb") as log,
        subprocess.Popen(
            python_command("flows.services.prefect_processes", LOOPBACK, str(port)),
            env=everything,
            stdout=log,
            stderr=log,
            cwd=hostile_folder,
        ) as server,
    ):
        api = Api(f"{url}/api", credential)
        deadline = time.monotonic() + 120
        while not api.answers():
            assert server.poll() is None and time.monotonic() < deadline, (home / "log").read_text()
            time.sleep(0.2)
        flow = api.ask("POST", "flows/", {"name": "somebody's"})["id"]
        api.ask("POST", "deployments/", {"name": "theirs", "flow_id": flow})
        api.ask("POST", "variables/", {"name": "theirs", "value": "kept"})
        yield api
        server.terminate()
        server.wait(60)
        assert credential not in (home / "log").read_text()


def status(api, method, path, *, credential=None, **headers):
    """What a request that a web page, or another user of the machine, can make is answered with."""
    request = urllib.request.Request(f"{api.url}{path}", method=method)
    if method in CHANGES:
        request.data = b"{}"
        request.add_header("Content-Type", "text/plain")  # no preflight is sent for it
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    if credential:
        request.add_header("Authorization", f"Basic {base64.b64encode(credential.encode()).decode()}")
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def routes(api):
    """Every method and path of the server's own description, with an id that nothing has where one is wanted."""
    with urllib.request.urlopen(api.url.removesuffix("/api") + "/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    for path, methods in paths.items():
        filled = "/".join(str(uuid4()) if part.startswith("{") else part for part in path.split("/"))
        for method in methods:
            yield method.upper(), filled


def everything_in(api):
    wanted = ("deployments", "flows", "flow_runs", "variables", "block_documents", "work_pools", "automations")
    return {what: api.ask("POST", f"{what}/filter", {}) for what in wanted}


def test_no_request_without_the_credential_changes_or_reads_anything(api):
    before, asked = everything_in(api), 0
    port = api.url.split(":")[2].split("/")[0]
    origins = ({}, {"Origin": "https://other.example"}, {"Origin": "null"}, {"Origin": f"http://127.0.0.1:{port}"})
    for method, path in routes(api):
        for origin in origins:
            for credential in (None, "nr:guessed"):
                answer = status(api, method, path, credential=credential, **origin)
                assert answer in (401, 403) or (path in OPEN and answer == 200), (method, path, origin, answer)
                asked += 1
    assert asked > 1000 and everything_in(api) == before


def test_nor_does_one_of_another_origin_or_host_with_it(api):
    host = api.url.split("/")[2]
    name, port = host.split(":")
    foreign = (
        {"Origin": "https://other.example"},
        {"Origin": "null"},
        {"Origin": f"http://{name}:1"},
        {"Origin": f"http://{host}.other.example"},
        {"Origin": f"https://{host}@other.example"},
        {"Host": "other.example"},
        {"Host": f"other.example:{port}", "Origin": f"http://other.example:{port}"},
        {"Host": f"{name}.other.example"},
        {"Host": f"{name}@other.example"},
        {"Host": ""},
        {"Host": "[", "Origin": "http://["},
    )
    for headers in foreign:
        for method, path in (
            ("GET", "/admin/version"),
            ("GET", "/health"),
            ("POST", "/flows/"),
            ("OPTIONS", "/flows/"),
        ):
            assert status(api, method, path, credential=api.credential, **headers) == 403, headers
    for headers in ({}, {"Origin": f"http://{host}"}, {"Host": f"localhost:{port}"}, {"Host": f"[::1]:{port}"}):
        assert status(api, "GET", "/admin/version", credential=api.credential, **headers) == 200
    assert status(api, "POST", "/flows/", credential=api.credential) == 403  # a CSRF token is missing


def test_websockets_ask_for_the_same(api):
    url, right = api.url.replace("http", "ws") + "/events/out", {"type": "auth", "token": api.credential}
    sockets = ("events/in", "logs/out", "task_runs/subscriptions/scheduled", "work_pools/nr/workers/connect")
    for asked in (url, *(url.replace("events/out", path) for path in sockets)):
        with pytest.raises(InvalidStatus, match="403"):
            connect(asked, subprotocols=["prefect"], origin="https://other.example", proxy=None)
        with pytest.raises(InvalidStatus, match="403"):
            connect(asked, proxy=None)
        for token in (None, "nr:guessed"):
            with connect(asked, subprotocols=["prefect"], proxy=None) as socket_, pytest.raises(ConnectionClosed):
                socket_.send(json.dumps({"type": "auth", "token": token}))
                socket_.recv(timeout=30)
    with connect(url, subprotocols=["prefect"], proxy=None) as socket_:
        socket_.send(json.dumps(right))
        assert json.loads(socket_.recv(timeout=30))["type"] == "auth_success"


@pytest.mark.server
def test_the_servers_of_two_commands_at_once_in_a_new_home_ask_for_it_too(tmp_path, monkeypatch):
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    servers = [TemporaryServer(tmp_path), TemporaryServer(tmp_path)]
    try:
        for server in servers:
            server.wait()
            api = Api(server.settings["PREFECT_API_URL"], server.settings["PREFECT_API_AUTH_STRING"])
            for method, path in (("GET", "/admin/version"), ("POST", "/flows/"), ("POST", "/block_documents/filter")):
                assert status(api, method, path) in (401, 403)
                assert status(api, method, path, credential=api.credential, Origin="https://other.example") == 403
                assert status(api, method, path, credential=api.credential, Host="other.example") == 403
            assert api.ask("POST", "flows/filter", {}) == []
    finally:
        for server in servers:
            server.stop()


def test_the_pages_ask_the_api_where_they_came_from(api):
    with urllib.request.urlopen(api.url.removesuffix("/api") + "/ui-settings") as answer:
        settings = json.load(answer)
    assert (settings["api_url"], settings["auth"], settings["csrf_enabled"]) == ("/api", "BASIC", True)


def test_the_pages_may_ask_nobody_else():
    """By the guard alone, without Prefect: its log-in page would tell Amplitude of the visit."""

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        await send({"type": "http.response.body", "body": b"page"})

    async def say(message):
        said.append(message)

    said = []
    scope = {"type": "http", "headers": [(b"host", b"127.0.0.1:4200")], "server": ("127.0.0.1", 4200)}
    asyncio.run(Guard(page)(scope, None, say))
    assert said[0]["headers"] == [(b"content-type", b"text/html"), (b"content-security-policy", b"connect-src 'self'")]
    assert said[1]["body"] == b"page"


def test_no_module_of_the_current_folder_is_imported(api, hostile_folder):
    assert not (hostile_folder / "imported").exists()


def test_a_home_and_its_credential_are_their_owners_alone(tmp_path, monkeypatch):
    for name in ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    first = credential_for(home)
    assert len(first) > 40 and credential_for(home) == credential_of(home) == first
    assert home.stat().st_mode & 0o777 == 0o700 and (home / FILE).stat().st_mode & 0o777 == 0o600
    (home / FILE).chmod(0o644)  # others may have read it
    with pytest.raises(InputError, match="nr down"):
        credential_of(home)
    assert credential_for(home) != first
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(InputError, match="another in PREFECT_HOME, or to `nr up` with --home"):
        make_private(file / "home")


def test_a_users_own_credential_is_taken_or_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "team:word")
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "team:word")
    assert credential_for(tmp_path) == "team:word"
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "team:other")
    with pytest.raises(InputError, match="differ"):
        credential_for(tmp_path)
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "")
    monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", "csapat:jelszó")
    with pytest.raises(InputError, match="ASCII"):
        credential_for(tmp_path)


def test_what_listens_on_a_port_is_found_before_anything_starts(tmp_path):
    with socket.create_server((LOOPBACK, 0)) as other, pytest.raises(InputError, match="is taken by another program"):
        refuse_unusable(LOOPBACK, other.getsockname()[1], "the reports", "--reports-port")
    for host, port, says in ((LOOPBACK, 99999, "from 1 to 65535"), ("no.such.invalid", 4200, "no such address"),
                             ("203.0.113.1", 4200, "an address of this machine")):  # fmt: skip
        with pytest.raises(InputError, match=says):
            refuse_unusable(host, port, "Prefect's server", "--port")


def test_elsewhere_a_server_answers_to_its_number_its_name_and_what_was_allowed(monkeypatch):
    monkeypatch.setenv("NR_ALLOWED_HOSTS", "residues.example.org")
    for name in ("192.0.2.5:4200", socket.gethostname(), "Residues.example.org"):
        assert refusal({"host": [name]}, "192.0.2.5") is None
    for name in ("192.0.2.6", "127.0.0.1", "localhost", "other.example.org", "192.0.2.5, other.example.org", ""):
        assert refusal({"host": [name]}, "192.0.2.5")
    assert refusal({"host": ["192.0.2.5", "192.0.2.5"]}, "192.0.2.5") and refusal({}, "192.0.2.5")
    assert refusal({"host": ["127.0.0.1:1"]}, "::ffff:127.0.0.1") is None
    behind_a_proxy = {"host": ["residues.example.org"], "origin": ["https://residues.example.org"]}
    assert refusal(behind_a_proxy, LOOPBACK) is None
    pages = {**behind_a_proxy, "origin": ["https://pages.example.org"]}
    assert refusal(pages, LOOPBACK) and refusal(pages, LOOPBACK, ["https://pages.example.org"]) is None
    with pytest.raises(InputError, match="--allow-host"):
        hosts_of(["https://residues.example.org"])


def test_a_folder_that_cannot_be_deployed_is_refused_before_anything_starts(tmp_path):
    file = tmp_path / "prefect.yaml"
    with pytest.raises(InputError, match="in a folder that has one, as `nr init` makes it"):
        up(tmp_path / "home", free_port(), tmp_path)
    (tmp_path / "mine.py").write_text("def other(): pass\n")
    (tmp_path / "torn.py").write_text("def a(:\n")
    for written, says in (
        ("deployments: [", "not YAML"),
        ("deployments: {a: 1}", "needs a list"),
        ("a: 1\na: 2", "twice"),
        ("deployments: [{name: 7, entrypoint: a.py:b}]", "each with a name and an entrypoint"),
        (
            "deployments: [{name: one, entrypoint: a.b, schedules: 7}]",
            "`schedules` of deployment 'one' is 7: give a list",
        ),
        ("deployments: [{name: one, entrypoint: a.b, triggers: [x]}]", "`triggers` of deployment 'one'"),
        ("deployments: [{name: one, entrypoint: 'gone.py:flow'}]", "'gone.py:flow', and there is no gone.py"),
        ("deployments: [{name: one, entrypoint: flows.gone.flow}]", "and there is no flows.gone"),
        ("deployments: [{name: one, entrypoint: flow}]", "and there is no such place"),
        ("deployments: [{name: one, entrypoint: 'mine.py:flow'}]", r"mine\.py defines no flow flow"),
        ("deployments: [{name: one, entrypoint: flows.sweep.swep}]", r"sweep\.py defines no flow swep"),
        ("deployments: [{name: one, entrypoint: 'torn.py:a'}]", "torn.py, of a deployment's entrypoint, is no Python"),
    ):
        file.write_text(written)
        with pytest.raises(InputError, match=says):
            up(tmp_path / "home", free_port(), tmp_path)
    file.write_text("deployments: []")
    for hiding in ("flows.py", "torch.py", "huggingface_hub/__init__.py"):
        place = tmp_path / hiding
        place.parent.mkdir(exist_ok=True)
        place.write_text("raise SystemExit(7)")
        with pytest.raises(InputError, match="name of a package that flows import"):
            up(tmp_path / "home", free_port(), tmp_path)
        place.unlink()
    assert not (tmp_path / "home").exists()
