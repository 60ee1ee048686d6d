"""Brings what a child process prints into our log, each line with its level and with where it comes from."""

import contextvars
import logging
import re
import threading
from collections.abc import Iterable
from typing import IO

from pipelines.pages.characters import without_controls

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
    """Log one line of a process that `source` names."""
    text = without_controls(line.rstrip())[:LONGEST_LINE]
    if rank := _RANK.match(text):
        text, source = text[rank.end() :], f"{source} rank {rank.group(1)}"
    if text.strip():
        logger.log(level_of(text), "%s: %s", source, text)


def level_of(line: str) -> int:
    """The level that a line says it has, INFO where it says none."""
    return next((level for level, pattern in _LEVELS if pattern.match(line)), logging.INFO)


def relay_in_background(lines: IO[str], source: str, logger: logging.Logger) -> None:
    """Log all of `lines` as they come, in a thread; whose log it is (a Prefect run's) is taken over from the caller."""

    def relay(lines: Iterable[str]) -> None:
        for line in lines:
            relay_line(line, source, logger)

    threading.Thread(target=contextvars.copy_context().run, args=(relay, lines), daemon=True).start()
