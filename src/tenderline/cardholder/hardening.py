"""What a process does to itself before it may hold a card number: nothing of it reaches a disk, a dump or a log.

- no core file, and no dump through a pipe either: `RLIMIT_CORE` 0 and `PR_SET_DUMPABLE` 0, which also closes
  /proc/PID/mem to every process of the same user (prctl(2), proc(5));
- no page in swap: `mlockall` for what is mapped now and later (mlockall(2)), and no swap on the machine at all, since
  a machine that hibernates writes locked pages too;
- no more rights than it has (`PR_SET_NO_NEW_PRIVS`), no file written (`RLIMIT_FSIZE` 0), no program or thread started
  (`RLIMIT_NPROC` 0), few descriptors, bounded memory;
- an exception says its type and nothing else: tracebacks quote values.

PCI DSS v4.0.1, 3.3.1: sensitive authentication data are not kept after authorisation, not even encrypted. What cannot
be had is named, and whoever starts the process decides whether that stops it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

DESCRIPTORS_MAX: Final = 24
MEMORY_BYTES_MAX: Final = 256 << 20

_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_MCL_CURRENT_AND_FUTURE: Final = 3  # MCL_CURRENT and MCL_FUTURE
_MADV_DONTDUMP: Final = 16
_SWAPS: Final = Path("/proc/swaps")
_MAPS: Final = Path("/proc/self/maps")


def quiet() -> None:
    """Nobody is told values: no traceback of any thread, no dump of stacks, no warning."""
    faulthandler.disable()
    sys.excepthook = _say_nothing
    sys.unraisablehook = _say_nothing
    threading.excepthook = _say_nothing
    sys.tracebacklimit = 0
    sys.warnoptions.clear()


def harden(*, dumpable: bool = False) -> list[str]:
    """Hardens this process for good, and says what could not be had; an empty list is all of it.

    `dumpable` leaves the memory readable by processes of the same user: for the test that looks for copies in it.
    """
    if sys.platform != "linux":
        return [f"locked memory, no dumps and no new privileges are known for Linux only, and this is {sys.platform}"]
    libc = ctypes.CDLL(None, use_errno=True)
    missing = []
    if swaps := swap_areas():
        missing.append(f"swap is on ({', '.join(swaps)}): card numbers could be written to a disk; switch it off")
    steps: list[tuple[str, Callable[[], int]]] = [
        ("no new privileges", lambda: int(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))),
        ("no dumps", lambda: 0 if dumpable else int(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))),
        ("memory kept out of dumps", lambda: _keep_out_of_dumps(libc)),
        ("locked memory (LimitMEMLOCK=infinity, or CAP_IPC_LOCK)", lambda: int(libc.mlockall(_MCL_CURRENT_AND_FUTURE))),
    ]
    for what, step in steps:
        if step() != 0:
            missing.append(f"{what}: {os.strerror(ctypes.get_errno())}")
    return missing + _limits()


def swap_areas() -> list[str]:
    """The areas that the kernel may swap to."""
    try:
        lines = _SWAPS.read_text("ascii", "replace").splitlines()[1:]
    except FileNotFoundError:
        return []  # a kernel that was built without swap
    except OSError as error:
        return [f"{_SWAPS} cannot be read: {error.strerror}"]
    return [line.split()[0] for line in lines if line.strip()]


def collect_once() -> None:
    """Frees what start-up left behind and keeps the rest out of later collections: they only cost time."""
    gc.collect()
    gc.freeze()


def _limits() -> list[str]:
    import resource

    wanted = {
        "no core file": (resource.RLIMIT_CORE, 0),
        "no file is written": (resource.RLIMIT_FSIZE, 0),
        "no process is started": (resource.RLIMIT_NPROC, 0),
        "few descriptors": (resource.RLIMIT_NOFILE, DESCRIPTORS_MAX),
        "bounded memory": (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
    }
    missing = []
    for what, (limit, value) in wanted.items():
        try:
            resource.setrlimit(limit, (value, value))
        except (OSError, ValueError) as error:
            missing.append(f"{what}: {type(error).__name__}")
    return missing


def _keep_out_of_dumps(libc: ctypes.CDLL) -> int:
    """Marks every writable mapping; a kernel that refuses one (a device's, say) is not held against it."""
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    marked = 0
    for line in _MAPS.read_text("ascii", "replace").splitlines():
        span, rights, *_ = line.split()
        if rights.startswith("rw"):
            start, end = (int(one, 16) for one in span.split("-"))
            marked += libc.madvise(start, end - start, _MADV_DONTDUMP) == 0
    return 0 if marked else -1


def _say_nothing(*args: Any) -> None:
    """In place of a traceback: the type of what went wrong, on a descriptor that is usually nowhere."""
    kind = getattr(args[0], "exc_type", args[0]) if args else None
    with suppress(OSError):
        os.write(2, f"card room: {getattr(kind, '__name__', 'error')}\n".encode("ascii", "replace"))
