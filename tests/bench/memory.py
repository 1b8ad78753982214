"""How much memory processes of ours hold, read from /proc while something else goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

LOOK_S = 0.1


def product_children() -> dict[str, int]:
    """The process ids of our own `tenderline` children by the command they run."""
    found: dict[str, int] = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid():
                words = (entry / "cmdline").read_text().split("\0")
                if "tenderline" in words:
                    found[words[words.index("tenderline") + 1]] = int(entry.name)
    return found


def resident_mib(pid: int) -> float:
    """What a process has in memory now; 0 when it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Held:
    """Of one process, in MiB."""

    before: float
    peak: float = 0.0
    after: float = 0.0
    pid: int = field(default=0, repr=False)


@asynccontextmanager
async def watched(pids: dict[str, int]) -> AsyncIterator[dict[str, Held]]:
    """Looks at processes for the length of a block; `after` is what they hold at its end."""
    held = {name: Held(before=resident_mib(pid), pid=pid) for name, pid in pids.items()}

    def look() -> None:
        for one in held.values():
            one.after = resident_mib(one.pid)
            one.peak = max(one.peak, one.after)

    async def look_on() -> None:
        while True:
            look()
            await asyncio.sleep(LOOK_S)

    looking = asyncio.create_task(look_on())
    try:
        yield held
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        look()
