"""Files: the data folder, logs, temporary files, core dumps, and the embedded database's own files as raw bytes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import stat
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from tenderline.scan import packets
from tenderline.scan.result import Notes, Place, Searched
from tenderline.scan.search import PIECE_BYTES
from tenderline.store.recording_store import PLAIN_FOLDER, SENSITIVE_FOLDER, SPOOL_FOLDER

FILES_MAX: Final = 2_000_000
UNPACKED_BYTES_MAX: Final = 20 << 30
CORE_PATTERN: Final = Path("/proc/sys/kernel/core_pattern")
CORE_FOLDERS: Final = (Path("/var/lib/systemd/coredump"), Path("/var/crash"), Path("/cores"))
_UNPACK: Final[dict[str, Callable[[IO[bytes]], Any]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_CLOSED: Final = frozenset({".zst", ".zip", ".7z", ".lz4", ".br", ".rar"})
_TEXT: Final = frozenset({".log", ".txt", ".json", ".jsonl", ".csv", ".toml", ".md", ".out", ".err"})


@dataclass(frozen=True)
class Folders:
    """Where to look."""

    data_dir: Path
    given: list[Path] = field(default_factory=list)
    """Named by the operator: log files and folders. What cannot be read there is a gap, whoever it belongs to."""
    passing: list[Path] = field(default_factory=list)
    """Temporary files and core dumps: those of the users whom this product runs as."""

    @property
    def cluster(self) -> Path:
        """The embedded database's files; they belong to the database."""
        return self.data_dir / "postgres"


def passing_folders() -> list[Path]:
    """This machine's folders for temporary files and for core dumps."""
    found = [Path(tempfile.gettempdir()), Path("/var/tmp"), *CORE_FOLDERS]  # noqa: S108  # looked at, not written to
    try:
        pattern = CORE_PATTERN.read_text("ascii", "replace").strip()
    except OSError:
        pattern = ""
    if pattern.startswith("/"):
        found.append(Path(pattern).parent)
    return [one for one in dict.fromkeys(found) if one.is_dir()]


def search(folders: Folders, notes: Notes) -> None:
    """Everything but the database and the recordings, which have searches of their own."""
    began_at, before = time.monotonic(), notes.search.bytes_searched
    seen: set[tuple[int, int]] = set()
    recordings = {folders.data_dir / name for name in (PLAIN_FOLDER, SENSITIVE_FOLDER, SPOOL_FOLDER)}
    ours = _our_users(folders)
    for root in (folders.data_dir, *folders.given, *folders.passing):
        only_of = ours if root in folders.passing else None
        for path in _walk(root, notes, Place.FILES, leave={folders.cluster}, only_of=only_of):
            if path.suffix == ".tlr" and path.parent in recordings:
                continue
            _search_file(path, notes, Place.FILES, seen, only_of=only_of)
    _done(notes, Place.FILES, "files", len(seen), before, began_at)


def search_cluster(folder: Path, notes: Notes) -> None:
    """A database server's files: pages of deleted rows, the write-ahead log, sorts that spilled, its own logs."""
    began_at, before = time.monotonic(), notes.search.bytes_searched
    seen: set[tuple[int, int]] = set()
    for path in _walk(folder, notes, Place.DATABASE, leave=set(), only_of=None):
        _search_file(path, notes, Place.DATABASE, seen, only_of=None)
    _done(notes, Place.DATABASE, "data files and write-ahead log", len(seen), before, began_at)


def _done(notes: Notes, place: Place, what: str, count: int, before: int, began_at: float) -> None:
    size, lasted_s = notes.search.bytes_searched - before, round(time.monotonic() - began_at, 3)
    notes.searched.append(Searched(place=place, what=what, count=count, bytes=size, lasted_s=lasted_s))


def _our_users(folders: Folders) -> set[int]:
    users = {os.geteuid()}
    for path in (folders.data_dir, folders.cluster / "cluster"):
        if path.exists():
            users.add(path.stat().st_uid)
    return users


def _walk(root: Path, notes: Notes, place: Place, *, leave: set[Path], only_of: set[int] | None) -> Iterator[Path]:
    """The files below `root`, without following links. A folder that cannot be listed is a gap."""
    if not root.is_dir():
        if root.is_file():
            yield root
        elif only_of is None:
            notes.gap(place, str(root), "there is no such file or folder")
        return

    def unlistable(error: OSError) -> None:
        folder = Path(error.filename or root)
        if (only_of is None or _owner(folder) in only_of) and not isinstance(error, FileNotFoundError):
            notes.gap(place, f"folder {folder}", error.strerror or "cannot be listed")

    count = 0
    for folder, inner, names in os.walk(root, onerror=unlistable, followlinks=False):
        inner[:] = [one for one in inner if Path(folder, one) not in leave]
        for name in names:
            count += 1
            if count > FILES_MAX:
                notes.gap(place, str(root), f"only its first {FILES_MAX} files were looked at")
                return
            yield Path(folder, name)


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _search_file(
    path: Path, notes: Notes, place: Place, seen: set[tuple[int, int]], *, only_of: set[int] | None
) -> None:
    """One file, once. What vanishes meanwhile is gone, and that is what is wanted of it."""
    try:
        entry = path.lstat()
        if not stat.S_ISREG(entry.st_mode) or (only_of is not None and entry.st_uid not in only_of):
            return
        if (entry.st_dev, entry.st_ino) in seen:
            return
        seen.add((entry.st_dev, entry.st_ino))
        _look_at_name(path, notes, place)
        if path.suffix in _CLOSED:
            notes.gap(place, str(path), "it is packed in a way that is not read here; unpack it and search that")
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            _search_open(path, file, entry.st_size, notes, place)
    except FileNotFoundError:
        return
    except (OSError, EOFError, lzma.LZMAError, zlib.error, ValueError) as error:
        notes.gap(place, str(path), f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}")


def _search_open(path: Path, file: IO[bytes], size_bytes: int, notes: Notes, place: Place) -> None:
    as_text = path.suffix in _TEXT or ".log" in path.name
    for offset, hit in notes.search.stream(_pieces(file, size_bytes), as_text=as_text):
        notes.hit(place, str(path), f"file {path}", hit, offset)
    _listen(path, file, notes, where=f"file {path}")
    unpack = _UNPACK.get(path.suffix)
    if unpack is None:
        return
    file.seek(0)
    unpacked = unpack(file)
    for offset, hit in notes.search.stream(_pieces(unpacked, UNPACKED_BYTES_MAX), as_text=True):
        notes.hit(place, str(path), f"file {path}, unpacked", hit, offset)
    if unpacked.read(1):
        notes.gap(place, str(path), f"only the first {UNPACKED_BYTES_MAX >> 30} GB of what is packed in it")
    _listen(path, unpacked, notes, where=f"file {path}, unpacked")


def _listen(path: Path, file: IO[bytes], notes: Notes, *, where: str) -> None:
    """Calls in captured packets have keys and tones, and no digits."""
    file.seek(0)
    is_capture = packets.is_capture(file.read(4))
    file.seek(0)
    if is_capture:
        packets.search(path, file, notes, where=where)


def _pieces(file: IO[bytes], size_bytes: int) -> Iterator[bytes]:
    """Up to the size it had at first: a log that grows as fast as it is read would never end."""
    left = size_bytes
    while left > 0 and (piece := file.read(min(PIECE_BYTES, left))):
        left -= len(piece)
        yield piece


def _look_at_name(path: Path, notes: Notes, place: Place) -> None:
    for hit in notes.search.find(os.fsencode(path.name)):
        notes.hit(place, str(path.parent), f"the name of a file in {path.parent}", hit, hit.start)
