"""Starts processes of ours, by this Python with our own packages whatever lies in the current folder; logs their lines.

`python -m` would look for modules in the current folder first, and run a flows.py or a json.py of the user's.
"""

import contextvars
import logging
import os
import re
import sys
import sysconfig
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from pipelines.pages.characters import without_controls
from pipelines.sources.urls import redacted_text

# Python's own switch, which the processes that those start inherit: torchrun's, Prefect's flow runs, spawned pools.
SAFE = {"PYTHONSAFEPATH": "1"}


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command of `python -m module`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """Return the variables with which a child finds the packages that this process has: those of a checkout by its
    path."""
    root = str(Path(__file__).resolve().parents[2])
    given = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]  # '' is the current folder
    if root not in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *given[:1]}:
        given.insert(0, root)
    return {**SAFE, "PYTHONPATH": os.pathsep.join(given)}


# A process that nobody waits for any more ends itself.


PARENT_POLL_SECONDS = 1.0


def exit_with_parent(parent: int) -> None:
    """End this process at once, from a thread in the background, when process `parent` is no longer its parent."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


LONGEST_LINE = 2000  # characters; crawled text may stand in an error message
_LEVELS = (
    # Python's logging, glog's prefix as torch writes it (W1123 20:15:02), warnings, and the end of a traceback.
    (logging.CRITICAL, re.compile(r"(\[?CRITICAL\b|\[?FATAL\b|F\d{4} )")),
    (logging.ERROR, re.compile(r"(\[?ERROR\b|E\d{4} |Traceback \(most recent call last\)|\w*(Error|Exception): )")),
    (logging.WARNING, re.compile(r"(\[?WARNING\b|W\d{4} |(\S+:\d+: )?\w*Warning: )")),
    (logging.DEBUG, re.compile(r"\[?DEBUG\b")),
)
_RANK = re.compile(r"\[(?:default|rank)(\d+)\]:\s?")  # what torchrun puts before the lines of each process


def relay_line(line: str, source: str, logger: logging.Logger) -> None:
    """Log one line of a process that `source` names, without passwords and tokens: Prefect keeps a run's log."""
    text = redacted_text(without_controls(line.rstrip())[:LONGEST_LINE])
    if rank := _RANK.match(text):
        text, source = text[rank.end() :], f"{source} rank {rank.group(1)}"
    if text.strip():
        logger.log(level_of(text), "%s: %s", source, text)


def level_of(line: str) -> int:
    """Return the level that a line says it has, INFO where it says none."""
    return next((level for level, pattern in _LEVELS if pattern.match(line)), logging.INFO)


def relay_in_background(lines: IO[str], source: str, logger: logging.Logger) -> None:
    """Log all of `lines` as they come, in a thread; whose log it is (a Prefect run's) is taken over from the caller."""

    def relay(lines: Iterable[str]) -> None:
        for line in lines:
            relay_line(line, source, logger)

    threading.Thread(target=contextvars.copy_context().run, args=(relay, lines), daemon=True).start()
