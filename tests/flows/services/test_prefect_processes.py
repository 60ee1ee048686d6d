"""The keeper of Prefect's server ends when it is told to, also while it waits to start a new one."""

import json
import subprocess
import sys
import time
from dataclasses import asdict

import psutil
import pytest

from flows.services import server
from flows.services.addresses import free_port


@pytest.mark.server
def test_a_signal_between_two_servers_ends_it():
    command = [sys.executable, "-u", "-m", "flows.services.prefect_processes", "127.0.0.1", str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as keeper:
        try:
            while not (servers := psutil.Process(keeper.pid).children()):
                time.sleep(0.01)
            servers[0].kill()
            assert "a new one takes its place" in keeper.stdout.readline()
            keeper.terminate()
            assert keeper.wait(timeout=120) != 0
        finally:
            keeper.kill()


def test_a_server_whose_start_was_killed_is_known_and_stopped(tmp_path):
    """Before its worker is started."""
    waits = [sys.executable, "-c", "import time; time.sleep(60)", "prefect"]
    with subprocess.Popen(waits, start_new_session=True) as process:
        try:
            services = server.Services(str(tmp_path), 1, process.pid, None)
            (tmp_path / server.STATE).write_text(json.dumps(asdict(services)))
            assert server.running(tmp_path) is None
            assert server.stop(tmp_path)
            process.wait(30)  # a busy machine takes a moment to end what was killed
            assert not (tmp_path / server.STATE).exists()
        finally:
            process.kill()
