"""A bound on the memory that native code may take at a time: beyond it the kernel refuses, and the library says so.

Only around libraries that were seen to give up in order then; others would abort the process.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.parse import LIMIT_LOCK, bytes_in_use

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
