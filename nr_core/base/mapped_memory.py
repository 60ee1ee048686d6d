"""Pages of the files that weights lie in: what a process reads of a mapped file counts as its memory until it lets go.

Weights that are held in the type of their safetensors file are that file's pages (nr_core.base.load_base.load_base).
"""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

from torch import Tensor

SMAPS = Path("/proc/self/smaps")
DONT_NEED = 4  # MADV_DONTNEED of madvise(2): pages of a file are read from it anew when they are next used


class FilePages:
    """The parts of this process's memory that are files which it mapped and did not write to, as of now: (start, end).

    None outside of Linux.
    """

    def __init__(self) -> None:
        self._mapped: list[tuple[int, int]] = []
        here = None
        for line in SMAPS.read_text(errors="replace").splitlines() if SMAPS.is_file() else ():
            first, *rest = line.split()
            if not first.endswith(":"):  # ADDRESSES PERMISSIONS OFFSET DEVICE INODE NAME
                start, end = (int(address, 16) for address in first.split("-"))
                here = (start, end) if rest[3] != "0" else None
            elif first == "Anonymous:" and rest[0] == "0" and here is not None:
                self._mapped.append(here)

    def of(self, tensor: Tensor) -> tuple[int, int] | None:
        """Return the whole pages inside a tensor: address and bytes. None where it lies in no such file."""
        if tensor.device.type != "cpu" or not tensor.is_contiguous():
            return None
        begin, size = tensor.data_ptr(), tensor.nbytes
        if not any(start <= begin and begin + size <= end for start, end in self._mapped):
            return None
        first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (begin + size) // mmap.PAGESIZE * mmap.PAGESIZE
        return (first, last - first) if last > first else None

    def let_go(self, tensor: Tensor) -> None:
        """Let go of a tensor's pages; it can be used as before. Nothing happens where it lies in no such file."""
        if (pages := self.of(tensor)) is not None:
            _advise(*pages)


def _advise(address: int, size: int) -> None:
    """Give pages back to the system, which may refuse (locked ones, say): then all stays as it is."""
    ctypes.CDLL(None).madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), DONT_NEED)
