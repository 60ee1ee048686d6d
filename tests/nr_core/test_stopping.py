"""A job that loads ends at once when it is asked to stop; one that looks is left to save."""

import signal
import subprocess
import sys

import pytest

WORK = """
import hashlib, sys, time
from nr_core import stopping
stopping.listen()
stopping.begin()
{looks}
print("on", flush=True)
{work}
print("saved", flush=True)
"""
NATIVE = "hashlib.pbkdf2_hmac('sha256', b'', b'', 1_000_000_000)"  # lets other threads run, but no signal handler
SAVING = "while not stopping.asked(): time.sleep(0.05)"


@pytest.mark.parametrize(("looks", "work", "said"), [("", NATIVE, ""), ("stopping.asked()", SAVING, "saved")])
def test_what_loads_ends_at_once_and_what_looks_saves(looks, work, said):
    code = WORK.format(looks=looks, work=work)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "on\n"
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60)[0].strip() == said  # what is native would go on for many minutes
    assert process.returncode == (0 if said else 128 + signal.SIGTERM)


def test_a_process_that_a_library_forks_is_ended_by_itself():
    """As by multiprocessing's pools, which end theirs by SIGTERM: it is not the job that was asked to stop."""
    forks = """
import multiprocessing
child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
child.start()
child.terminate()
child.join()
time.sleep(0.5)
print(child.exitcode, stopping.requested.is_set(), end=" ", flush=True)
"""
    code = WORK.format(looks="", work=forks)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["on", "-15", "False", "saved"]
