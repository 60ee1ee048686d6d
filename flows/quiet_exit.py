"""Keeps DuckDB's bindings from printing a page of leak warnings at exit.

DuckDB 2.0 is bound with nanobind, which reports everything still alive when the interpreter ends; with Prefect's
threads about, that is all of DuckDB's types, in every run. Nothing is lost: the process is over.
"""

import atexit
import os
import sys


def _close_stderr_last() -> None:
    if "duckdb" in sys.modules:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(_close_stderr_last)  # handlers run in reverse order: the first one registered is the last
