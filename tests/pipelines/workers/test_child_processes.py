"""What child processes print reaches the log with its level and source, cleaned and bounded."""

import logging
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.workers.child_processes import LONGEST_LINE, level_of, relay_in_background, relay_line


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("step 3", logging.INFO),
        ("WARNING pipelines.x: slow", logging.WARNING),
        ("W1123 20:15:02.123000 77 torch/distributed/run.py:793] threads", logging.WARNING),
        ("/lib/x.py:12: UserWarning: beware", logging.WARNING),
        ("ERROR pipelines.documents.unit: lost", logging.ERROR),
        ("Traceback (most recent call last):", logging.ERROR),
        ("ValueError: no", logging.ERROR),
        ("E1123 20:15:02.1 failed", logging.ERROR),
        ("an ERROR in the middle is text", logging.INFO),
    ],
)
def test_lines_say_their_level(line, level):
    assert level_of(line) == level


def test_the_rank_of_torchrun_becomes_the_source(caplog):
    with caplog.at_level(logging.INFO):
        relay_line("[rank1]: ValueError: no\n", "train process 5", logging.getLogger("x"))
    assert [(r.levelname, r.message) for r in caplog.records] == [("ERROR", "train process 5 rank 1: ValueError: no")]


@given(st.text())
def test_any_line_is_cleaned_and_bounded(line):
    records = []
    logger = logging.Logger("any")
    logger.addFilter(lambda record: bool(records.append(record.getMessage())))
    relay_line(line + "\x1b[31m" + "x" * 3000, "s", logger)
    assert len(records) == 1 and len(records[0]) <= LONGEST_LINE + len("s rank 0: ")
    assert "\x1b" not in records[0]


def test_passwords_and_tokens_do_not_reach_the_log(caplog):
    with caplog.at_level(logging.INFO):
        relay_line(
            f"GET https://me:canary@files.example/a?sig=canary by hf_{'canary' * 6}", "x", logging.getLogger("x")
        )
    assert [record.message for record in caplog.records] == ["x: GET https://files.example/a by ***"]


def test_a_process_is_relayed_to_its_end(caplog):
    script = "import logging, sys; logging.basicConfig(format='%(levelname)s %(message)s'); logging.warning('one')"
    with (
        caplog.at_level(logging.INFO),
        subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True) as child,
    ):
        relay_in_background(child.stderr, "child", logging.getLogger("x"))
        child.wait()
        deadline = time.monotonic() + 120
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.01)
    assert [(r.levelname, r.message) for r in caplog.records] == [("WARNING", "child: WARNING one")]
