"""A Prefect server for one `nr` command, where none runs: it cannot be interrupted, and one that dies is replaced.

Prefect would start one itself, but in the terminal's process group, so that Ctrl-C ended it before the flow had told it
anything; and it would not notice its death: each word to it then takes a minute. Here the command holds the listening
socket, so that whoever talks to the server while it is replaced waits for the new one and is not refused.
"""

import atexit
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from flows.services.access import client_settings, credential_for, server_settings
from flows.services.addresses import LOOPBACK, address
from flows.services.killed_runs import end_orphaned_runs
from flows.services.prefect_api import Api
from flows.services.server import START_SECONDS, STOP_SECONDS
from pipelines.workers.child_processes import exit_with_parent, python_command, python_environment
from storage.errors import InputError

logger = logging.getLogger(__name__)

REPLACEMENTS = 3  # of one command: a server that goes on dying is ill, and the flow fails with it
LOG = "temporary-server.log"
# What Prefect gives the one that it starts itself: no pages, no marks of a server that is to last.
SETTINGS = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}


class TemporaryServer:
    """The server, started at once, ready after `wait()`, stopped at exit. `home` is PREFECT_HOME, with state and log.

    To be made before Prefect is imported: what is registered first ends last, and Prefect sends its last log lines and
    events at exit. `settings` makes Prefect's clients talk to it, as environment variables.
    """

    def __init__(self, home: Path) -> None:
        self._credential = credential_for(home)
        self._log = home / LOG
        self._listener = socket.create_server((LOOPBACK, 0), backlog=1024)
        self._url = address(LOOPBACK, self._listener.getsockname()[1])
        self.settings = client_settings(self._credential, self._url)
        logging.getLogger("prefect.flow_runs").addFilter(_is_no_link)
        self._stopping = threading.Event()
        self._process = self._spawn()
        self._watch = threading.Thread(target=self._replace_dead, daemon=True)
        atexit.register(self.stop)

    def wait(self) -> None:
        """Return when it answers. Raises InputError when it ended instead, or took too long."""
        deadline = time.monotonic() + START_SECONDS
        api = Api(f"{self._url}/api", self._credential)
        while not api.answers():
            if self._process.poll() is not None:
                raise InputError(f"Prefect's server ended with exit code {self._process.returncode}: see {self._log}")
            if time.monotonic() > deadline:
                raise InputError(f"Prefect's server did not answer in {START_SECONDS} s: see {self._log}")
            time.sleep(0.05)
        end_orphaned_runs(api)  # of commands that were killed
        self._watch.start()

    def stop(self) -> None:
        self._stopping.set()
        self._listener.close()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        handle = self._listener.fileno()
        with self._log.open("ab") as stream:
            return subprocess.Popen(
                python_command("flows.services.temporary_server", str(handle), str(os.getpid())),
                env={
                    **os.environ,
                    **SETTINGS,
                    **server_settings(self._credential, self._url),
                    **python_environment(),
                },
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                pass_fds=[handle],
                start_new_session=True,  # an interrupt at the terminal is for the flow, which then stops this
            )

    def _replace_dead(self) -> None:
        for left in reversed(range(REPLACEMENTS + 1)):
            code = self._process.wait()
            if self._stopping.is_set():
                return
            if left:
                logger.warning("Prefect's server has ended (exit code %d): a new one takes its place", code)
                self._process = self._spawn()
        self._listener.close()  # from here on nobody waits for an answer


def _is_no_link(record: logging.LogRecord) -> bool:
    """Tell whether a record says no place to view a run: this server has no pages, and is gone with the command."""
    return not record.getMessage().startswith("View at ")


def main() -> None:
    handle, parent = map(int, sys.argv[1:])
    exit_with_parent(parent)
    from flows.services.prefect_app import serve

    serve(listener=socket.socket(fileno=handle))


if __name__ == "__main__":
    main()
