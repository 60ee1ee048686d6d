"""A bound on the memory that native code may take at a time: beyond it the kernel refuses, and the library says so.

Only around libraries that were seen to give up in order then; others would abort the process.
"""

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_DATA_PAGES = 5  # its place in statm: https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LIMIT_LOCK = threading.Lock()  # the limit is the process's, and workers of a Dask cluster may have several threads
_SOFT, _HARD = resource.getrlimit(resource.RLIMIT_DATA)


@contextmanager
def new_memory_limited(new_bytes: int) -> Iterator[None]:
    """Let the process take at most `new_bytes` more than it has, in one thread at a time."""
    with LIMIT_LOCK:
        limit = bytes_in_use() + new_bytes
        if _SOFT != resource.RLIM_INFINITY:
            limit = min(limit, _SOFT)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, _HARD))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (_SOFT, _HARD))


def bytes_in_use() -> int:
    return int(os.pread(_statm(os.getpid()), 256, 0).split()[_DATA_PAGES]) * _PAGE_BYTES


@cache  # to open it anew takes five times as long as to read it, and a page at most 2 ms in all
def _statm(pid: int) -> int:
    return os.open(f"/proc/{pid}/statm", os.O_RDONLY)
