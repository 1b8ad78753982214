"""The memory of the product's other processes (Linux): every map that may be written, page by page.

Needs the rights of a debugger: root, or the same user where /proc/sys/kernel/yama/ptrace_scope is 0. What may not be
read is named as not searched.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from tenderline.scan.patterns import Hit
from tenderline.scan.result import Notes, Place, Searched
from tenderline.scan.search import PIECE_BYTES

PROC: Final = Path("/proc")
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_CAPTURE_WORDS: Final = ("tenderline.cardholder", "tenderline-capture")
"""Children that capture a card hold its number while they work: that is what they are for."""
_WITHOUT_MEMORY: Final = ("[vvar", "[vsyscall", "/dev/")
_PRESENT_OR_SWAPPED: Final = 0b1100_0000
"""Of the highest byte of an entry of pagemap; other pages hold nothing yet (the kernel's admin-guide/mm/pagemap)."""
# The library attrs writes hash functions for classes and puts a random number of its own into each: as a line of the
# function's text, and as a string that is just this line.
_HASH_LINE: Final = re.compile(rb"(?:(hash\(\(\n)|(\0)) {16}-?\Z")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of this product."""

    pid: int
    name: str
    is_capture: bool


@dataclass(frozen=True, slots=True)
class _Map:
    start: int
    end: int
    name: str
    shared: str | None
    """Device and inode of memory that several processes share."""


def processes(cluster_name: str | None) -> Iterator[Process]:
    """Every process of the product on this machine, its embedded database's included."""
    for entry in sorted((one for one in os.listdir(PROC) if one.isdigit()), key=int):
        try:
            raw = (PROC / entry / "cmdline").read_bytes().rstrip(b"\0")
        except OSError:
            continue
        words = [os.fsdecode(word) for word in raw.split(b"\0")]
        line = " ".join(words)
        is_ours = "-m tenderline" in line or any(Path(word).name == "tenderline" for word in words[:2])
        is_server = cluster_name is not None and cluster_name in line and "postgres" in words[0]
        is_capture = any(word in line for word in _CAPTURE_WORDS)
        if is_ours or is_server or is_capture:
            yield Process(int(entry), line[:100], is_capture)


def search(
    notes: Notes, *, cluster_folder: Path | None, cluster_name: str | None, pids: list[int] | None = None
) -> None:
    """All of them but this one. `pids` names some instead, for tests."""
    began_at, before, count = time.monotonic(), notes.search.bytes_searched, 0
    if not PROC.joinpath("self", "maps").exists():
        notes.gap(Place.MEMORY, "every process", "memory can only be read on Linux")
        return
    found = list(processes(cluster_name))
    found += [one for one in processes(str(cluster_folder)) if one not in found] if cluster_folder else []
    if pids is not None:
        found = [Process(pid, "named", False) for pid in pids]
    shared: set[str] = set()
    for one in found:
        if one.pid == os.getpid():
            notes.leave_out(Place.MEMORY, f"process {one.pid}", "it is the search itself, and holds what it reads")
        elif one.is_capture:
            notes.leave_out(Place.MEMORY, f"process {one.pid} ({one.name})", "it takes a card just now")
        else:
            count += _search_process(one, notes, shared)
    size, lasted_s = notes.search.bytes_searched - before, round(time.monotonic() - began_at, 3)
    notes.searched.append(Searched(place=Place.MEMORY, what="processes", count=count, bytes=size, lasted_s=lasted_s))


def _search_process(process: Process, notes: Notes, shared: set[str]) -> int:
    what = f"process {process.pid} ({process.name})"
    try:
        maps = _maps(process.pid)
        with open(PROC / str(process.pid) / "mem", "rb", buffering=0) as memory, _pagemap(process.pid) as pages:
            for one in maps:
                if one.shared is not None and one.shared in shared:
                    continue
                _search_map(process, one, memory.fileno(), pages.fileno(), notes)
                if one.shared is not None:
                    shared.add(one.shared)
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it ended, and its memory with it
    except OSError as error:
        notes.gap(Place.MEMORY, what, f"{error.strerror}; run this as root, or with the capability SYS_PTRACE")
        return 0
    return 1


def _pagemap(pid: int) -> FileIO:
    return open(PROC / str(pid) / "pagemap", "rb", buffering=0)


def _maps(pid: int) -> list[_Map]:
    found: list[_Map] = []
    for line in (PROC / str(pid) / "maps").read_text("utf-8", "replace").splitlines():
        fields = line.split(maxsplit=5)
        name = fields[5] if len(fields) > 5 else "anonymous"
        if (
            "w" not in fields[1]
            or "r" not in fields[1]
            or (name.startswith(_WITHOUT_MEMORY) and name != "/dev/zero (deleted)")
        ):
            continue
        start, end = (int(one, 16) for one in fields[0].split("-"))
        found.append(_Map(start, end, name, f"{fields[3]}:{fields[4]}" if "s" in fields[1] else None))
    return found


def _search_map(process: Process, one: _Map, memory: int, pages: int, notes: Notes) -> None:
    group = f"process {process.pid}, {one.name}"
    failed: list[str] = []
    for offset, hit in notes.search.stream(_pieces(one, memory, pages, failed), excuse=_excuse):
        notes.hit(
            Place.MEMORY, group, f"process {process.pid} ({process.name}), map {one.name} at {one.start:x}", hit, offset
        )
    if failed and any((again.start, again.name) == (one.start, one.name) for again in _maps(process.pid)):
        notes.gap(Place.MEMORY, f"{group} at {one.start:x}", failed[0])


def _excuse(data: bytes, hit: Hit) -> str | None:
    before = _HASH_LINE.search(data, max(0, hit.start - 40), hit.start)
    if before is None or not data.startswith(b",\n\0" if before[2] else b",\n", hit.end):
        return None
    return "a number in a hash function that the library attrs writes"


def _pieces(one: _Map, memory: int, pages: int, failed: list[str]) -> Iterator[bytes]:
    for at in range(one.start, one.end, PIECE_BYTES):
        size = min(PIECE_BYTES, one.end - at)
        try:
            if one.shared is None and not _holds_something(pages, at, size):
                yield bytes(size)  # keeps the offsets right
                continue
            piece = os.pread(memory, size, at)
        except ProcessLookupError:
            return
        except OSError as error:
            failed.append(error.strerror or "cannot be read")
            return
        yield piece + bytes(size - len(piece))


def _holds_something(pages: int, at: int, size: int) -> bool:
    entries = os.pread(pages, 8 * (size // PAGE_BYTES), 8 * (at // PAGE_BYTES))
    return not entries or any(one & _PRESENT_OR_SWAPPED for one in entries[7::8])


def core_dumps() -> list[Path]:
    """Dumps in the folders that our processes work in, which is where the kernel puts them when told no other place."""
    found: set[Path] = set()
    for one in processes(None):
        try:
            folder = Path(os.readlink(PROC / str(one.pid) / "cwd"))
            found.update(path for path in folder.glob("core*") if path.is_file() and path.suffix in ("", f".{one.pid}"))
        except OSError:
            continue
    return sorted(found)
