"""Memory of its own for what is sent and what comes back: whole pages, kept out of dumps, wiped by name.

A `str` or `bytes` cannot be wiped, and a bytearray that grows leaves its former self behind. Measured: a body that was
built by `json.dumps` leaves two copies of the number in the process, one that was written into fixed memory none.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

_MADV_DONTDUMP: Final = 16


class Memory:
    """So many bytes, all zero; `view` is the whole of it."""

    def __init__(self, size_bytes: int) -> None:
        self._pages = mmap.mmap(-1, size_bytes)
        if hasattr(self._pages, "madvise"):
            self._pages.madvise(getattr(mmap, "MADV_DONTDUMP", _MADV_DONTDUMP))
        self.size_bytes = size_bytes
        self.view = memoryview(self._pages)

    def find(self, what: bytes | memoryview, start: int, end: int) -> int:
        """Where it stands, or -1; without a copy of either."""
        return self._pages.find(what, start, end)

    def wipe(self) -> None:
        """Zeros, written by the C library: nothing that an optimiser leaves out."""
        whole = (ctypes.c_char * self.size_bytes).from_buffer(self._pages)
        ctypes.memset(ctypes.addressof(whole), 0, self.size_bytes)

    def __repr__(self) -> str:
        return f"Memory({self.size_bytes})"
