"""What a user has set of Prefect, or lying about in the folder, is used or refused by a sentence: never silently."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from flows.cli.services import exports
from flows.services.addresses import without_proxy
from flows.services.server import Services

pytestmark = pytest.mark.slow

TINY = Path(__file__).parents[1] / "tiny.yaml"
REPOSITORY = Path(__file__).parents[3]
MODULES = ("flows", "pipelines", "nr_core", "storage", "prefect", "uvicorn", "torch", "pip", "secrets", "json")


def nr(*arguments, cwd, **variables):
    command = [sys.executable, "-P", "-c", "from flows.cli import main; main()", *map(str, arguments)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    everything = {**kept, "HOME": str(cwd), "PYTHONPATH": str(REPOSITORY), **variables}
    return subprocess.run(command, cwd=cwd, env=everything, capture_output=True, text=True, timeout=300)


@pytest.fixture
def dead():
    """The address of a Prefect server that has gone."""
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/api"


def test_a_server_that_has_gone_is_one_sentence(tmp_path, dead):
    refused = nr("refresh", TINY, cwd=tmp_path, PREFECT_API_URL=dead, http_proxy="http://127.0.0.1:9")
    assert refused.returncode == 2 and refused.stdout == ""
    [line] = refused.stderr.splitlines()
    assert dead in line and "unset PREFECT_API_URL" in line


@pytest.mark.parametrize("file", ["profiles.toml", "prefect.toml", ".env", "pyproject.toml"])
def test_so_is_one_that_a_file_of_prefects_names(tmp_path, dead, file):
    written = {
        "profiles.toml": f'active = "mine"\n[profiles.mine]\nPREFECT_API_URL = "{dead}"\n',
        "prefect.toml": f'[api]\nurl = "{dead}"\n',
        ".env": f"PREFECT_API_URL={dead}\n",
        "pyproject.toml": f'[tool.prefect.api]\nurl = "{dead}"\n',
    }
    folder = tmp_path / ".prefect" if file == "profiles.toml" else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / file).write_text(written[file])
    refused = nr("refresh", TINY, cwd=tmp_path)
    assert refused.returncode == 2 and dead in refused.stderr, refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"PREFECT_PROFILE": "staging"}, "no profile of that name"),
        ({"PREFECT_SERVER_API_AUTH_STRING": "a:b", "PREFECT_API_AUTH_STRING": "a:c"}, "differ"),
        ({"HTTPS_PROXY": "socks4://127.0.0.1:1"}, "HTTPS_PROXY is socks4://"),
    ],
)
@pytest.mark.slow
def test_what_cannot_be_used_is_one_sentence(tmp_path, variables, says):
    refused = nr("refresh", TINY, cwd=tmp_path, **variables)
    assert refused.returncode == 2 and says in refused.stderr and len(refused.stderr.splitlines()) == 1, refused.stderr


@pytest.mark.server
def test_no_module_of_the_folder_is_run_and_no_proxy_is_asked_for_loopback(tmp_path, language_model, prefect_home):
    prefect_home(tmp_path / ".prefect")
    for module in MODULES:
        (tmp_path / f"{module}.py").write_text("open('was_run', 'a').write(__file__ + '\\n')\nraise SystemExit(7)\n")
    model = f"documents.language_model={language_model}"
    done = nr("refresh", TINY, "--set", model, cwd=tmp_path, http_proxy="http://127.0.0.1:9", ALL_PROXY="127.0.0.1:9")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert not (tmp_path / "was_run").exists()
    assert "View at" not in done.stdout + done.stderr
    assert (tmp_path / ".prefect").stat().st_mode & 0o777 == 0o700
    credential = (tmp_path / ".prefect" / "credential").read_bytes()
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "credential"]
    assert not [path for path in written if credential in path.read_bytes()]


def test_a_proxy_is_not_asked_for_loopback_beside_what_was_excepted_before(monkeypatch):
    monkeypatch.setenv("no_proxy", "example.org, 10.0.0.1")
    excepted = without_proxy("http://192.0.2.7:4200")["no_proxy"].split(",")
    assert excepted == ["example.org", "10.0.0.1", "127.0.0.1", "192.0.2.7", "::1", "localhost"]
    monkeypatch.setenv("no_proxy", "*")
    assert without_proxy("http://192.0.2.7:4200")["NO_PROXY"] == "*"


@pytest.mark.parametrize("names", ["fd00::/8,::1", "[::1]:4200", "a.example:port,.b.example", "á.example"])
def test_names_at_which_httpx_breaks_are_not_handed_to_it(names, monkeypatch):
    monkeypatch.setenv("no_proxy", names)
    with pytest.raises(httpx.InvalidURL):
        httpx.Client()
    monkeypatch.setenv("no_proxy", without_proxy("http://127.0.0.1:4200")["no_proxy"])
    httpx.Client().close()


@pytest.mark.parametrize(
    "proxy", ["http://h:abc", "http://[::1", "h:70000", "http://", "socks5://", "http://u:secret@h:x"]
)
def test_a_proxy_that_is_none_is_refused_without_what_it_may_hide(proxy, tmp_path, nr_here, monkeypatch):
    monkeypatch.setenv("https_proxy", proxy)
    done = nr_here("refresh", TINY, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: https_proxy names no proxy: write it as")
    assert "secret" not in done.stderr


def test_an_address_of_prefect_that_is_none_is_no_server(tmp_path):
    done = nr("refresh", TINY, cwd=tmp_path, PREFECT_API_URL="http://[::1/api")
    assert done.returncode == 2 and "no server answers there" in done.stderr and "Traceback" not in done.stderr


def test_the_printed_exports_are_quoted_for_the_shell(tmp_path):
    home = tmp_path / "it's a home"
    home.mkdir()
    (home / "credential").write_text("nr:word")
    line = exports(Services(str(home), 4200, 1, 1), home / "credential")
    assert "nr:word" not in line
    told = subprocess.run(["sh", "-ec", f'{line}\nprintf "%s\\n" "$PREFECT_HOME" "$PREFECT_API_AUTH_STRING"'],
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert told.stdout.splitlines() == [str(home), "nr:word"]


def test_what_starts_a_server_does_not_import_prefect():
    """Prefect reads its variables when it is imported, and those are set when the server is known."""
    modules = "flows.services.server, flows.services.temporary_server, flows.steps.progress, flows.config.inputs"
    code = f"import sys, {modules}\nassert 'prefect' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", [("doctor",), ("plan", "study.yaml")])
def test_settings_that_prefect_cannot_be_imported_with_are_a_sentence(command, tmp_path):
    (tmp_path / "study.yaml").write_text(f"extends: {Path(__file__).parents[1] / 'tiny.yaml'}\n")
    told = nr(*command, cwd=tmp_path, PREFECT_API_URL="http://[fe80::1/api")
    assert told.returncode == 2 and "Traceback" not in told.stderr
    assert "Prefect cannot read its settings" in told.stderr and "Invalid IPv6 URL" in told.stderr
