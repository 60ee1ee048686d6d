"""HTML to a DOM, in bounded memory.

The parser opens formatting elements that were not closed anew in each paragraph, with all their attributes: 17 kB of
HTML can take 480 MB, 74 kB 3.6 GB (resiliparse 2.0.1, Lexbor). No count of tags foretells that cheaply, but where the
kernel refuses memory to Lexbor it gives up in order. Only here: the code that extracts would abort the process.

What such a page gives back may stay with malloc. The next one gets that, and so much less from the kernel: else each
could take more than the one before it. Malloc does not count all that it keeps (a thread's heap that shrank), so from
the first such page on a DOM's blocks come from the kernel and go back to it.
"""

import ctypes
import resource
from functools import cached_property

import numpy as np
import numpy.typing as npt
from resiliparse.parse.html import HTMLTree
from resiliparse.parse.html.exception import HTMLParserException

from pipelines.memory_limit import LIMIT_LOCK, bytes_in_use
from pipelines.pages.charset.decode import UTF_8_MARK, Decoded

MAX_DOM_BYTES = 300_000_000
_MIN_NEW_BYTES = 16_000_000  # beside what malloc has: with next to none, Lexbor's first steps crash
_NEW_BYTES_OF_BYTE = 4  # of the page, which is copied in large blocks
_LEXBOR_BLOCK_BYTES = 32_768  # the least that it takes at a time for nodes and text
_M_MMAP_THRESHOLD = -3  # https://man7.org/linux/man-pages/man3/mallopt.3.html
_SOFT, _HARD = resource.getrlimit(resource.RLIMIT_DATA)
_has_refused = False  # until then nobody asks malloc, which counts for up to 40 ms


def parse(html: str) -> HTMLTree | None:
    """Return the page's DOM; None where it would take more than MAX_DOM_BYTES."""
    global _has_refused
    with LIMIT_LOCK:
        free = _bytes_free() if _has_refused else 0
        new = max(MAX_DOM_BYTES - free, _MIN_NEW_BYTES + _NEW_BYTES_OF_BYTE * len(html))
        limit = bytes_in_use() + new
        if _SOFT != resource.RLIM_INFINITY:
            limit = min(limit, _SOFT)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, _HARD))
        try:
            return HTMLTree.parse(html)
        except HTMLParserException:
            if not _has_refused and _mallopt is not None:
                _mallopt(_M_MMAP_THRESHOLD, _LEXBOR_BLOCK_BYTES)
            _has_refused = True
            return None
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (_SOFT, _HARD))


class _Mallinfo(ctypes.Structure):
    """Hold malloc's figures, as mallinfo2 returns them: https://man7.org/linux/man-pages/man3/mallinfo.3.html"""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


_mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
_mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)  # glibc 2.33 and later
if _mallinfo is not None:
    _mallinfo.restype = _Mallinfo


def _bytes_free() -> int:
    """Return what malloc has from the kernel and has not given out; 0 where it does not say."""
    return 0 if _mallinfo is None else int(_mallinfo().fordblks)


# The bytes of a page's HTML and where its tags begin: found once, by array, for all that looks before extraction.


class Markup:
    """`html` is in UTF-8, so that a byte of a tag is never part of another character; `tags` are the places of `<`."""

    def __init__(self, html: bytes) -> None:
        self.html = html
        self.codes: npt.NDArray[np.uint8] = np.frombuffer(html, dtype=np.uint8)
        self.tags: npt.NDArray[np.intp] = (self.codes == ord("<")).nonzero()[0]

    @classmethod
    def of(cls, body: bytes, decoded: Decoded) -> "Markup":
        return cls(body.removeprefix(UTF_8_MARK) if decoded.is_whole else decoded.text.encode())

    @cached_property
    def first(self) -> npt.NDArray[np.uint8]:
        """The byte behind each `<`."""
        return self.after(self.tags, 1)

    def after(self, tags: npt.NDArray[np.intp], distance: int) -> npt.NDArray[np.uint8]:
        """Return the byte so far behind each of these `<`; the page's last byte where it ends before."""
        return self.codes.take(tags + distance, mode="clip")
