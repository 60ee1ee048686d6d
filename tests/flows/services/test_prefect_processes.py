"""The keeper of Prefect's server ends when it is told to, also while it waits to start a new one."""

import subprocess
import sys
import time

import psutil
import pytest

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
