"""HTML to a DOM, in bounded memory.

The parser opens formatting elements that were not closed anew in each paragraph, with all their attributes: 17 kB of
HTML can take 480 MB, 74 kB 3.6 GB (resiliparse 2.0.1, Lexbor). No count of tags foretells that cheaply, but where the
kernel refuses memory to Lexbor it gives up in order. Only here: the code that extracts would abort the process.
"""

import os
import resource
import threading
from functools import cache

from resiliparse.parse.html import HTMLTree
from resiliparse.parse.html.exception import HTMLParserException

MAX_DOM_BYTES = 300_000_000
_DATA_PAGES = 5  # its place in statm: https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SOFT, _HARD = resource.getrlimit(resource.RLIMIT_DATA)
_LOCK = threading.Lock()  # the limit is the process's, and workers of a Dask cluster may have several threads


def parse(html: str) -> HTMLTree | None:
    """The page's DOM; None where it would take more than MAX_DOM_BYTES."""
    with _LOCK:
        limit = _bytes_in_use() + MAX_DOM_BYTES
        if _SOFT != resource.RLIM_INFINITY:
            limit = min(limit, _SOFT)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, _HARD))
        try:
            return HTMLTree.parse(html)
        except HTMLParserException:
            return None
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (_SOFT, _HARD))


def _bytes_in_use() -> int:
    return int(os.pread(_statm(os.getpid()), 256, 0).split()[_DATA_PAGES]) * _PAGE_BYTES


@cache  # to open it anew takes five times as long as to read it, and a page at most 2 ms in all
def _statm(pid: int) -> int:
    return os.open(f"/proc/{pid}/statm", os.O_RDONLY)
