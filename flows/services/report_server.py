"""The reports over HTTP, for people and for the links in Prefect's artifacts: a process of its own beside Prefect's.

What is served is a folder of links, one for each workspace: `nr up` puts the first there, a flow that writes a report
its own. Run as `python -m flows.services.report_server FOLDER HOST PORT`.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from html import escape
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from filelock import FileLock

from flows.services.access import make_private
from flows.services.addresses import ALLOWED_HOSTS, LOOPBACK, REACHED_AT, address, hosts_of, refusal, refuse_unusable
from flows.services.prefect_api import is_served
from pipelines.workers.child_processes import python_command, python_environment
from storage.errors import InputError
from storage.files import write_atomically

FOLDER, STATE, LOG = "reports", "reports.json", "reports.log"  # in the folder with Prefect's state
SHOWN = {".html", ".png", ".svg"}
IDLE_SECONDS = 5.0  # that a connection may say nothing
MOST_CONNECTIONS = 128
START_SECONDS = STOP_SECONDS = 20


@dataclass(frozen=True)
class ReportServer:
    """The process that serves, and where it listens."""

    pid: int
    host: str
    port: int

    @property
    def url(self) -> str:
        return address(self.host, self.port)

    def is_alive(self) -> bool:
        """Tell whether the process is still the one that was started: after a reboot its number may be anybody's."""
        try:
            return b"flows.services.report_server" in Path(f"/proc/{self.pid}/cmdline").read_bytes()
        except OSError:
            return False


def start(home: Path, workspace: Path, port: int, host: str = LOOPBACK, hosts: Sequence[str] = ()) -> ReportServer:
    """Serve the reports of a workspace, which need not be there yet; one that already serves stays.

    hosts: further names that it answers to.

    Raises:
        InputError: the port is taken, or the process ended; the sentence names its log.
    """
    make_private(home)
    _link(home, workspace / "reports")
    with FileLock(home / "reports.lock"):  # of two at once, the second finds what the first has started
        return _start(home, port, host, hosts)


def _start(home: Path, port: int, host: str, hosts: Sequence[str]) -> ReportServer:
    found = running(home)
    if found is not None:
        return found
    refuse_unusable(host, port, "the reports", "--reports-port")
    names = hosts_of([*hosts, os.environ.get(ALLOWED_HOSTS, ""), REACHED_AT.get(host, host)])
    with (home / LOG).open("ab") as log:
        process = subprocess.Popen(
            python_command("flows.services.report_server", str((home / FOLDER).resolve()), host, str(port)),
            env={**os.environ, **python_environment(), ALLOWED_HOSTS: " ".join(names)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    server = ReportServer(process.pid, host, port)
    write_atomically(home / STATE, json.dumps(asdict(server)))
    deadline = time.monotonic() + START_SECONDS
    while not is_served(server.url):
        if process.poll() is not None or time.monotonic() > deadline:
            stop(home)
            raise InputError(f"the reports could not be served on {host}, port {port}: see {home / LOG}")
        time.sleep(0.05)
    return server


def running(home: Path) -> ReportServer | None:
    """Return the server that was started in this folder, if it lives."""
    try:
        server = ReportServer(**json.loads((home / STATE).read_text()))
    except (FileNotFoundError, ValueError, TypeError):  # none, or one that a power cut has emptied
        return None
    return server if server.is_alive() else None


def stop(home: Path) -> bool:
    """End the server of reports; False if none serves here."""
    server = running(home)
    if server is not None:
        os.kill(server.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while server.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
    (home / STATE).unlink(missing_ok=True)
    return server is not None


def address_of(report: Path) -> str | None:
    """Return where a report can be opened, if this flow run's Prefect was started by `nr up`."""
    home = os.environ.get("PREFECT_HOME")
    server = running(Path(home)) if home else None
    return f"{server.url}/{_link(Path(home), report.parent)}/{quote(report.name)}" if home and server else None


def _link(home: Path, reports: Path) -> str:
    """Let the folder be served; return the name that it has there."""
    folder, target = home / FOLDER, reports.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    workspace = target.parent
    name = f"{re.sub('[^a-zA-Z0-9_-]+', '-', workspace.name)}-{sha256(str(workspace).encode()).hexdigest()[:6]}"
    with contextlib.suppress(FileExistsError):  # it is whole as soon as it is there
        (folder / name).symlink_to(target, target_is_directory=True)
    return name


class Reports(SimpleHTTPRequestHandler):
    """Reports and their pictures, and a list of them; nothing else, and nothing out of a workspace's reports/."""

    timeout = IDLE_SECONDS

    def send_head(self) -> Any:
        # A page elsewhere whose name is made to point to loopback would otherwise read the reports through the browser.
        asked = {"host": self.headers.get_all("Host", []), "origin": self.headers.get_all("Origin", [])}
        reason = refusal(asked, self.connection.getsockname()[0])
        if reason is not None:
            self.send_error(HTTPStatus.FORBIDDEN, reason)
            return None
        return super().send_head()

    def translate_path(self, path: str) -> str:
        """Return the file of a URL's path, or one that is not there."""
        parts = [unquote(part) for part in urlsplit(path).path.split("/") if part]
        if not parts:
            return self.directory
        folder, rest = _links(Path(self.directory)).get(parts[0]), "/".join(parts[1:])
        if folder is not None and "\0" not in rest and not any(part.startswith(".") for part in rest.split("/")):
            file = (folder / rest).resolve()
            # No folder, whose index.html may be a link to anywhere, and no pipe, which would hold the thread.
            if file.is_relative_to(folder) and file.suffix in SHOWN and file.is_file():
                return str(file)
        return str(Path(self.directory, "nothing"))

    def list_directory(self, path: Any) -> Any:
        content = index(Path(self.directory)).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return BytesIO(content)

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")  # the same name gets a newer report
        super().end_headers()


def index(folder: Path) -> str:
    """Return a page with all reports, the newest first."""
    lines = [
        f'<li><a href="/{quote(link)}/{quote(report.name)}">{escape(report.stem)}</a> <small>'
        f"{escape(link)}, {time.strftime('%Y-%m-%d %H:%M', time.localtime(written))}</small>"
        for written, link, report in sorted(_reports(folder), reverse=True)
    ]
    body = "<ul>" + "\n".join(lines) + "</ul>" if lines else "<p>None yet: a flow that ends, or nr report, writes one."
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,"><title>Reports</title>'
        '<body style="font: 1rem/1.6 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem">'
        f"<h1>Reports</h1>{body}"
    )


def _links(folder: Path) -> dict[str, Path]:
    """Return the workspaces' reports by the name under which they are served; what is being made has a dot before
    it.
    """
    return {link.name: link.resolve() for link in folder.iterdir() if link.is_symlink() and link.name[0] != "."}


def _reports(folder: Path) -> Iterator[tuple[float, str, Path]]:
    for name, reports in _links(folder).items():
        for report in reports.glob("[!.]*.html"):
            yield report.stat().st_mtime, name, report


def serve(folder: str, host: str, port: int) -> None:
    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        request_queue_size = MOST_CONNECTIONS  # of those that wait to be taken

        def process_request(self, request: Any, client_address: Any) -> None:
            # Whoever holds connections without asking anything loses the oldest of them, and holds up nobody.
            connections.append(request)
            if len(connections) > MOST_CONNECTIONS:
                with contextlib.suppress(OSError):
                    connections.popleft().shutdown(socket.SHUT_RDWR)
            super().process_request(request, client_address)

        def shutdown_request(self, request: Any) -> None:
            with contextlib.suppress(ValueError):
                connections.remove(request)
            super().shutdown_request(request)

    connections: deque[socket.socket] = deque()

    def handler(*arguments: Any) -> Reports:
        return Reports(*arguments, directory=folder)

    Server((host, port), handler).serve_forever()


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], int(sys.argv[3]))
