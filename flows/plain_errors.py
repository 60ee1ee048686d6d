"""Tells errors that users see as one sentence, without a traceback: ours, the system's, of damaged or locked files.

Prefect logs a failed task and every flow above it with a traceback each; a mistyped path would drown in them.
"""

import atexit
import errno
import logging
import os
import sys
import traceback
from typing import Any

from storage.errors import InputError, is_disk_full, os_sentence

FULL = "the disk is full ({error}): free some space, and the same command goes on"
REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EFBIG)
HTTP_CLIENTS = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "urllib", "http")
PREFECTS = "Settings"  # the name of the class of its settings
DAMAGED = "{error}: `nr verify` names the files that are damaged, and what to do with each"


def sentence_of(error: BaseException) -> str | None:
    """Return what is wrong, where, and what to do; None for what only a programmer can fix."""
    from nr_core.errors import ModelError

    if isinstance(error, InputError | ModelError):
        return str(error)
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError) or _is_of(error, "duckdb", "OutOfMemoryException"):
        return (
            f"memory has run out ({said or 'no more'}): end other programs, raise a limit (ulimit -v), or ask for less"
        )
    if _is_of(error, "pydantic", "ValidationError") and getattr(error, "title", "") == PREFECTS:
        return _of_prefects_settings(error)
    if _is_of(error, "duckdb", "Error") or _is_of(error, "pyarrow", "ArrowException"):
        return _of_a_library(error, said)
    if _raised_by(error) in HTTP_CLIENTS and (sentence := _of_a_proxy()):
        return sentence
    if isinstance(error, OSError):
        if error.errno is not None:
            return os_sentence(error)
        if is_disk_full(error):
            return FULL.format(error=said)
        # Arrow raises the bare class, of a page that it cannot decompress or parse.
        return DAMAGED.format(error=said) if type(error) is OSError and "pyarrow" in sys.modules else os_sentence(error)
    return None


def _of_prefects_settings(error: Any) -> str:
    """Return a sentence of settings that Prefect refuses when it is imported, without their values."""
    wrong = "; ".join(" ".join([*map(str, entry["loc"]), entry["msg"]]) for entry in error.errors())
    return f"Prefect cannot read its settings ({wrong}): correct or unset that variable, PREFECT_API_URL for an address"


def _raised_by(error: BaseException) -> str | None:
    """Return the package whose code raised an error."""
    last = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        last = str(frame.f_globals.get("__name__", "")).split(".")[0]
    return last


def _of_a_proxy() -> str | None:
    """Return the sentence of a proxy variable that no program can use; those that download from the hub read it."""
    from flows.services.addresses import refuse_unusable_proxies

    try:
        refuse_unusable_proxies()
    except InputError as error:
        return str(error)
    return None


def _of_a_library(error: BaseException, said: str) -> str | None:
    """Return a sentence of what DuckDB and Arrow tell in words of their own: what the system refused, a damaged
    file.
    """
    if is_disk_full(error):
        return FULL.format(error=said)
    for number in REFUSED:
        if os.strerror(number) in said:
            return os_sentence(OSError(number, said))
    if "parquet" in said.lower():
        return DAMAGED.format(error=said)
    return said if _is_of(error, "duckdb", "IOException") else None  # as of a file that another program has locked


def _is_of(error: BaseException, library: str, name: str) -> bool:
    """Tell whether an error is of a library's class, without importing one that nothing has needed so far."""
    module = sys.modules.get(library)
    return module is not None and isinstance(error, getattr(module, name))


class _WithoutTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None and sentence_of(record.exc_info[1]):
            record.exc_info = None
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_WithoutTraceback())


# Keeps DuckDB's bindings from printing a page of leak warnings at exit.
#
# DuckDB 2.0 is bound with nanobind, which reports everything still alive when the interpreter ends; with Prefect's
# threads about, that is all of DuckDB's types, in every run. Nothing is lost: the process is over.


def _close_stderr_last() -> None:
    if "duckdb" in sys.modules:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(_close_stderr_last)  # handlers run in reverse order: the first one registered is the last
