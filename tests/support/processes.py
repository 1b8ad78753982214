"""Real processes for the tests of the embedded database, and bounded waits for what they do."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from support import postgres
from tenderline.store.embedded_cluster import path_digest

T = TypeVar("T")
WAIT_S = 60.0
POLL_S = 0.01
TESTS_FOLDER = Path(__file__).parents[1]

# Lines that begin with @ are for the test; the rest is the log.
_CHILD = """
import sys
from pathlib import Path
from tenderline.core.errors import TenderlineError
from tenderline.store.embedded import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
try:
    postgres.start()
except TenderlineError as error:
    print("@error", error.code, error, flush=True)
    sys.exit(1)
print("@owner" if postgres.is_owner else "@joined", postgres.url, flush=True)
sys.stdin.readline()
postgres.stop()
print("@stopped", flush=True)
"""


def eventually(condition: Callable[[], T], what: str, wait_s: float = WAIT_S) -> T:
    """Waits until the condition holds and returns its value; fails when the bound is reached."""
    deadline = time.monotonic() + wait_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {wait_s} s in vain until {what}"
        time.sleep(POLL_S)
    return value


def sql(url: str, statement: str) -> Any:
    """Runs one statement on a connection of its own and returns the first column of the first row."""

    async def ask() -> Any:
        connection = await asyncpg.connect(url, timeout=WAIT_S, command_timeout=WAIT_S)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(ask())


@contextmanager
def open_folder(above: str | None = None) -> Iterator[Path]:
    """A folder that the server's user can enter (pytest's own are closed to it). No server outlives it."""
    folder = Path(tempfile.mkdtemp(prefix="tl-", dir=above or postgres.above()))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for pid in postgres_processes(folder):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGQUIT)
        eventually(lambda: not postgres_processes(folder), "the servers of this test have ended")
        shutil.rmtree(folder)


def arguments(pid: int) -> list[str]:
    """A process's command line; empty when it is a zombie or gone."""
    try:
        return [part for part in Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").split("\0") if part]
    except (FileNotFoundError, ProcessLookupError):
        return []


def state(pid: int) -> str:
    """The state letter of a process (Z is a zombie, T is stopped); empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def user_of(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def postgres_processes(folder: Path) -> list[int]:
    """Postmasters, initdb and its helpers working in a folder."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [
        pid
        for pid in pids
        if (argv := arguments(pid))
        and Path(argv[0]).name in ("postgres", "initdb")
        and any(str(folder) in part for part in argv[1:])
    ]


def postmaster_pid(data_dir: Path) -> int:
    return int((data_dir / "postgres" / "cluster" / "postmaster.pid").read_text("ascii").split()[0])


def server_child(data_dir: Path, title: str) -> int:
    """The child of that cluster's server with that title (`startup`, `checkpointer`); 0 when there is none."""
    name = f"tenderline-{path_digest(data_dir / 'postgres')}: {title}"
    pids = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return next((pid for pid in pids if name in " ".join(arguments(pid))), 0)


class Launcher:
    """Another process that starts, or joins, the embedded database of a data_dir and holds it until told to stop."""

    def __init__(
        self, data_dir: Path, *, prefix: tuple[str, ...] = (), program: str = _CHILD, imports_from: Path = TESTS_FOLDER
    ) -> None:
        path = os.pathsep.join(part for part in (str(imports_from), os.environ.get("PYTHONPATH")) if part)
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", program, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._unread = b""

    def hear(self) -> str:
        """The next line meant for the test: `owner URL`, `joined URL`, `error CODE TEXT` or `stopped`."""
        assert self.process.stdout is not None
        while True:
            line, found, rest = self._unread.partition(b"\n")
            if not found:
                ready, _, _ = select.select([self.process.stdout], [], [], WAIT_S)
                assert ready, f"the launcher said nothing for {WAIT_S} s"
                more = os.read(self.process.stdout.fileno(), 65536)
                assert more, "the launcher ended without a word"
                self._unread += more
                continue
            self._unread = rest
            if line.startswith(b"@"):
                return line[1:].decode("utf-8").strip()

    def tell_to_stop(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        heard = self.hear()
        self.process.wait(WAIT_S)
        return heard

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(WAIT_S)

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
