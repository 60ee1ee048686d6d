"""Ctrl-C at a real terminal, and the death of the server that a command started for itself."""

import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from flows.cli.app import INTERRUPTED, SENTENCE
from storage.query import query
from storage.workspace import Workspace

TINY = Path(__file__).parents[1] / "tiny.yaml"


class Terminal:
    """`nr refresh` of the tiny study, in a terminal of its own."""

    def __init__(self, workspace: Path) -> None:
        command = [sys.executable, "-c", "from flows.cli import main; main()", "refresh", str(TINY)]
        self.keys, side = pty.openpty()
        self.process = subprocess.Popen(
            [*command, "--set", f"workspace={workspace}"],
            stdin=side,
            stdout=side,
            stderr=side,
            cwd=workspace.parent,
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # the terminal controls this session
        )
        os.close(side)
        self.said = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                self.said += os.read(self.keys, 65536).decode(errors="replace")
            except OSError:  # the last process that had it open has gone
                return

    def wait_for(self, pattern: str) -> None:
        while not re.search(pattern, self.said):
            assert self.process.poll() is None, self.said
            time.sleep(0.02)

    def started(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.mark.server
def test_an_interrupt_leaves_at_once_and_a_dead_server_is_replaced(tmp_path, prefect_home):
    prefect_home(tmp_path / ".prefect")
    workspace = tmp_path / "workspace"
    terminal = Terminal(workspace)
    terminal.wait_for("work units to read")
    children = terminal.started()
    # Who is of the terminal's group meets Ctrl-C at its imports, which Python tells as a traceback.
    assert terminal.process.pid not in {os.getpgid(child.pid) for child in children}
    os.write(terminal.keys, b"\x03")
    assert terminal.process.wait(timeout=120) == INTERRUPTED, terminal.said
    assert SENTENCE in terminal.said and "Traceback" not in terminal.said
    assert psutil.wait_procs(children, timeout=120)[1] == []

    terminal = Terminal(workspace)
    terminal.wait_for("work units to read")
    [server] = [child for child in terminal.started() if "flows.services.temporary_server" in child.cmdline()]
    server.send_signal(signal.SIGKILL)
    assert terminal.process.wait(timeout=300) == 0, terminal.said
    assert "a new one takes its place" in terminal.said
    assert query(Workspace(workspace), "SELECT count(*) FROM corpora").rows == [(3,)]
    with closing(sqlite3.connect(tmp_path / ".prefect" / "prefect.db")) as database:
        states = {state for (state,) in database.execute("SELECT state_type FROM flow_run")}
    assert states == {"CRASHED", "COMPLETED"}  # the run that was interrupted does not stand there as running


@pytest.mark.slow
def test_an_interrupt_amid_a_query_is_one_too():
    """DuckDB makes a RuntimeError of it."""
    program = """
import duckdb
from flows.cli.app import leaving_on_interrupt
with leaving_on_interrupt():
    print("here", flush=True)
    duckdb.execute("CREATE TABLE t AS SELECT a.range * b.range FROM range(100000) a, range(100000) b")
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as query:
        assert query.stdout.readline() == b"here\n"
        time.sleep(0.5)
        query.send_signal(signal.SIGINT)
        told = query.communicate(timeout=60)[1].decode()
    assert (query.returncode, told.strip()) == (INTERRUPTED, SENTENCE)


# The first line: who is started in the background of a script is deaf to SIGINT, and this test with it.
AT_THE_IMPORT_OF = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from flows.cli import main
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
print("imported")
"""


@pytest.mark.parametrize("module", ["flows.cli.init", "typer", "flows.cli.services", "none"])
def test_an_interrupt_before_the_command_has_begun_ends_it_in_silence(module):
    done = subprocess.run([sys.executable, "-c", AT_THE_IMPORT_OF, module], capture_output=True, text=True)
    assert done.stderr == "" and (done.returncode, done.stdout) == (
        (0, "imported\n") if module == "none" else (-signal.SIGINT, "")
    )
