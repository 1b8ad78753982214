"""An embedded PostgreSQL: the database of an installation that has not been given a database_url.

Who may do what:
- The process that holds the lock on `data_dir/postgres/owner.lock` owns the cluster. It starts the server and stops it.
- Any other process on the same data_dir joins: it waits until the server answers, and its `stop` stops nothing.
- When an owner dies without stopping, the server goes on for those who joined. The next process that starts gets the
  lock, adopts the running server and from then on stops it as its own: so a server never outlives its owners for good.
- A server that carries no mark of this launcher (somebody ran pg_ctl by hand) is used, and never stopped.

What is true is asked, not remembered: a server lives when it answers a query, not when a pid file says so. A pid file
can name a killed process that nobody has reaped, or, after a reboot, a stranger.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import structlog

from tenderline.store import embedded_cluster as cluster
from tenderline.store import embedded_host as host
from tenderline.store.embedded_host import (
    BinariesMissingError,
    ClusterVersionError,
    DiskFullError,
    EmbeddedDatabaseError,
    FolderBlockedError,
    StartTimeoutError,
    SystemUserError,
)

__all__ = [
    "BinariesMissingError",
    "ClusterVersionError",
    "DiskFullError",
    "EmbeddedDatabaseError",
    "EmbeddedPostgres",
    "FolderBlockedError",
    "StartTimeoutError",
    "SystemUserError",
]

log = structlog.get_logger(__name__)

DATABASE = "tenderline"
_MAINTENANCE_DATABASE = "postgres"
# On the server's command line: proof, as long as it runs, that this launcher started it.
_MARK = "tenderline.launcher=on"
_POLL_S = 0.1
_QUERY_TIMEOUT_S = 10.0
# pg_ctl only sees the server off; the wait for its first answer is our own, for it must hear of `stop`.
_PG_CTL_WAIT_S = 10
_LEFTOVERS_GRACE_S = 10.0
_IMMEDIATE_STOP_S = 30.0
_LOG_FILES_MAX = 10
_LOG_TAIL_MAX_BYTES = 64 * 1024

_lock_descriptors: set[int] = set()


def _close_locks_in_child() -> None:
    """A forked child shares our lock; it must not keep it alive when we are gone."""
    for descriptor in _lock_descriptors:
        with suppress(OSError):
            os.close(descriptor)
    _lock_descriptors.clear()


os.register_at_fork(after_in_child=_close_locks_in_child)


@dataclass(frozen=True)
class _Process:
    pid: int
    parent_pid: int
    argv: tuple[str, ...]


class EmbeddedPostgres:
    """One cluster in `data_dir/postgres`, shared by every process that names the same data_dir.

    `start` and `stop` block (use `asyncio.to_thread`), may be called from any thread (not from a signal handler), and
    may be repeated: an owner's `start` brings back a server that has died. `durable=False` gives up safety against
    power loss for speed: tests only.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        start_timeout_s: float = 300.0,
        stop_timeout_s: float = 60.0,
        durable: bool = True,
    ) -> None:
        self.home = data_dir.resolve() / "postgres"
        self.cluster_dir = self.home / "cluster"
        self.log_dir = self.cluster_dir / "log"
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._durable = durable
        self._sockets = cluster.socket_folder(self.home)
        self._cluster_name = f"tenderline-{cluster.path_digest(self.home)}"
        self._launch_log = self.cluster_dir / "launch.log"
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._lock_descriptor: int | None = None
        self._lock_pid = 0
        self._last_answer = ""

    @property
    def url(self) -> str:
        """The database's URL. It is the same for every process and does not change."""
        return self._url(DATABASE)

    @property
    def is_owner(self) -> bool:
        """True while this process holds the lock, and so decides when the server stops."""
        return self._lock_descriptor is not None and self._lock_pid == os.getpid()

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> str:
        """Returns the URL of a database that has just answered a query, whoever started its server.

        Raises an `EmbeddedDatabaseError` (`DiskFullError`, `StartTimeoutError`) or a `ConfigurationError`
        (`FolderBlockedError`, `ClusterVersionError`, `BinariesMissingError`, `SystemUserError`).
        """
        with self._guard, host.explained(self.home):
            host.refuse_unquotable(self.home)
            host.make_open_folder(self.home)
            deadline = time.monotonic() + self._start_timeout_s
            owned_before = self.is_owner
            while not self._take_lock():
                if self._answers(DATABASE):
                    log.info("joined the embedded database", folder=str(self.home))
                    return self.url
                self._pause(deadline)
            try:
                launched = self._bring_up(deadline)
                self._make_database()
                self._trim_logs()
            except BaseException as error:
                # A server that recovers is left to it: it would begin again. Any other must not be left unowned.
                if not isinstance(error, StartTimeoutError):
                    with suppress(EmbeddedDatabaseError, OSError):
                        self._stop_server()
                self._release_lock()
                raise
            if launched or not owned_before:
                log.info("embedded database answers", folder=str(self.home), adopted=not launched)
            return self.url

    def stop(self) -> None:
        """Stops the server when this process owns it, at once for whoever is connected; else does nothing."""
        self._stopping.set()
        with self._guard:
            try:
                if self.is_owner:
                    with host.explained(self.home):
                        self._stop_server()
            finally:
                self._release_lock()
                self._stopping.clear()

    # -- the lock -------------------------------------------------------------------------------------------------

    def _take_lock(self) -> bool:
        """True when this process is the owner. The kernel drops the lock when we die, however we die."""
        if self.is_owner:
            return True
        descriptor = os.open(self.home / "owner.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock_descriptor, self._lock_pid = descriptor, os.getpid()
        _lock_descriptors.add(descriptor)
        return True

    def _release_lock(self) -> None:
        if self.is_owner and self._lock_descriptor is not None:
            _lock_descriptors.discard(self._lock_descriptor)
            os.close(self._lock_descriptor)
        self._lock_descriptor = None

    # -- starting (the owner only) --------------------------------------------------------------------------------

    def _bring_up(self, deadline: float) -> bool:
        """Adopts the server when one lives, waits for one that is starting or recovering, else launches one.

        True when it launched one.
        """
        launched_at: float | None = None
        debris_until: float | None = None
        while not self._answers(_MAINTENANCE_DATABASE):
            postmaster, debris = self._server_processes()
            if postmaster is None and debris:
                # The children of a killed postmaster notice within moments, and hold its shared memory until then.
                debris_until = debris_until or time.monotonic() + _LEFTOVERS_GRACE_S
                if time.monotonic() > debris_until:
                    _signal(debris, signal.SIGKILL)
            elif postmaster is None:
                if launched_at is not None:
                    raise host.failure("PostgreSQL did not start", self.home, self._log_since(launched_at))
                launched_at = time.time()
                self._launch()
                continue
            self._pause(deadline)
        return launched_at is not None

    def _launch(self) -> None:
        account = host.server_account()
        host.refuse_closed(account, self.home)
        binaries = cluster.binaries_for(account, self.home)
        if not (self.cluster_dir / "PG_VERSION").exists():
            cluster.initialise(self.cluster_dir, binaries, account, durable=self._durable)
        cluster.refuse_foreign_cluster(self.cluster_dir, account)
        host.make_private_folder(self._sockets, account)
        host.refuse_closed(account, self._sockets)
        settings = cluster.settings_text(self._sockets, self._cluster_name, durable=self._durable)
        cluster.write_file(self.cluster_dir / "postgresql.conf", settings, account)
        cluster.write_file(self.cluster_dir / "pg_hba.conf", cluster.HBA_TEXT, account)
        self._launch_log.unlink(missing_ok=True)
        for lock_file in (self.cluster_dir / "postmaster.pid", self._sockets / f"{cluster.SOCKET_NAME}.lock"):
            self._remove_stale(lock_file)
        # Whether it came up is seen by asking it, so pg_ctl's own verdict is not needed.
        host.run(
            [
                binaries / "pg_ctl", "start", "-w", "-t", str(_PG_CTL_WAIT_S), "-s",
                "-D", self.cluster_dir, "-l", self._launch_log, "-o", f"-c {_MARK}",
            ],
            account,
            timeout_s=_PG_CTL_WAIT_S + 30.0,
        )  # fmt: skip

    def _remove_stale(self, lock_file: Path) -> None:
        """Removes a lock file that names a live process which is not our server, or that names nothing.

        PostgreSQL would take that process for a server and refuse to start. A file that names a dead process is left
        to PostgreSQL, which then also looks whether somebody still uses the old server's shared memory.
        """
        try:
            words = lock_file.read_text("ascii", errors="replace").split()
        except FileNotFoundError:
            return
        pid = int(words[0]) if words and re.fullmatch(r"\d{1,9}", words[0]) else None
        if pid is not None and not Path(f"/proc/{pid}").exists():
            return
        if self._server_processes() != (None, []):
            return
        log.warning("removed a stale lock file", file=str(lock_file), pid=pid)
        lock_file.unlink(missing_ok=True)

    def _make_database(self) -> None:
        code, output = self._query(_MAINTENANCE_DATABASE, "SELECT datname FROM pg_database")
        if code == 0 and DATABASE not in output.splitlines():
            code, output = self._query(_MAINTENANCE_DATABASE, f"CREATE DATABASE {DATABASE}")
        if code != 0:
            raise host.failure(f"Database {DATABASE} cannot be made", self.home, output)

    # -- asking ---------------------------------------------------------------------------------------------------

    def _url(self, database: str) -> str:
        return f"postgresql://{cluster.SUPERUSER}@/{database}?host={self._sockets}&port={cluster.PORT}"

    def _query(self, database: str, sql: str) -> tuple[int, str]:
        psql = cluster.wheel_binaries() / "psql"
        command: list[str | Path] = [psql, "-X", "-w", "-At", "-d", self._url(database), "-c", sql]
        try:
            done = host.run(command, timeout_s=_QUERY_TIMEOUT_S, PGCONNECT_TIMEOUT="5")
        except EmbeddedDatabaseError as error:
            return 1, error.detail
        return done.returncode, (done.stdout if done.returncode == 0 else done.stderr).strip()

    def _answers(self, database: str) -> bool:
        """A real query, and the answer must come from a server of this very cluster."""
        if not (self._sockets / cluster.SOCKET_NAME).exists():
            self._last_answer = "it has no socket"
            return False
        code, output = self._query(database, "SELECT current_setting('data_directory')")
        self._last_answer = output.splitlines()[-1] if output else ""
        return code == 0 and Path(output).resolve() == self.cluster_dir

    def _pause(self, deadline: float) -> None:
        if self._stopping.wait(_POLL_S):
            raise EmbeddedDatabaseError("The embedded PostgreSQL was told to stop while it was starting.")
        if time.monotonic() > deadline:
            raise StartTimeoutError(
                f"The embedded PostgreSQL in {self.home} does not answer after {self._start_timeout_s:.0f} s "
                f"({self._last_answer}). If it is recovering it goes on by itself: see {self.log_dir} and start again."
            )

    # -- the server's processes -----------------------------------------------------------------------------------

    def _server_processes(self) -> tuple[_Process | None, list[_Process]]:
        """The living postmaster of this cluster, and its children (with or without it).

        Told by their command lines and user, which anybody may read: /proc/PID/exe and cwd of another user are closed
        even to root in a container without CAP_SYS_PTRACE.
        """
        try:
            owner_uid = self.cluster_dir.stat().st_uid
        except FileNotFoundError:
            return None, []
        found = {process.pid: process for process in _processes(owner_uid)}
        title = f"postgres: {self._cluster_name}: "
        children = [process for process in found.values() if process.argv[0].startswith(title)]
        # Somebody may have started it by hand with another spelling of the folder, but a child knows its parent.
        parents = {child.parent_pid for child in children}
        named = {
            process.pid: process
            for process in found.values()
            if Path(process.argv[0]).name == "postgres"
            and (str(self.cluster_dir) in process.argv or process.pid in parents)
        }
        # A child has its parent's command line until it has set its title.
        postmaster = next((process for process in named.values() if process.parent_pid not in named), None)
        return postmaster, children

    def _stop_server(self) -> None:
        postmaster, _ = self._server_processes()
        if postmaster is None:
            return
        if _MARK not in postmaster.argv:
            log.info("left the embedded database running: Tenderline did not start it", pid=postmaster.pid)
            return
        # Fast: whoever is connected is cut off and rolled back. Then immediate: recovery at the next start repairs it.
        for number, patience_s in ((signal.SIGINT, self._stop_timeout_s), (signal.SIGQUIT, _IMMEDIATE_STOP_S)):
            _signal([postmaster], number)
            until = time.monotonic() + patience_s
            while time.monotonic() < until:
                if self._server_processes()[0] is None:
                    log.info("embedded database stopped", folder=str(self.home), signal=number.name)
                    return
                time.sleep(_POLL_S)
        raise EmbeddedDatabaseError(f"PostgreSQL (process {postmaster.pid}) does not stop; see {self.log_dir}.")

    # -- its log --------------------------------------------------------------------------------------------------

    def _log_files(self) -> list[Path]:
        return sorted(self.log_dir.glob("server-*.log"))

    def _log_since(self, started_at: float) -> str:
        """What the server wrote since then, oldest first, within a bound."""
        text = ""
        for path in [self._launch_log, *self._log_files()]:
            if path.exists() and path.stat().st_mtime >= started_at - 1.0:
                text += path.read_bytes()[-_LOG_TAIL_MAX_BYTES:].decode("utf-8", "replace")
        return text[-_LOG_TAIL_MAX_BYTES:]

    def _trim_logs(self) -> None:
        """The server begins a new file after 10 MB; this bounds how many are kept."""
        for path in self._log_files()[:-_LOG_FILES_MAX]:
            path.unlink(missing_ok=True)


def _processes(uid: int) -> Iterator[_Process]:
    """Every living process of a user. A zombie has no command line and is not living."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            argv = Path(entry.path, "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            status = Path(entry.path, "status").read_text("utf-8", errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked, or it is hidden from us and so not ours
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        if argv != [b""] and fields.get("Uid", "").split()[:1] == [str(uid)]:
            yield _Process(int(entry.name), int(fields["PPid"]), tuple(os.fsdecode(word) for word in argv))


def _signal(processes: list[_Process], number: signal.Signals) -> None:
    """Signals only what is still the same process, so that a pid reused meanwhile is not hit."""
    for process in processes:
        try:
            argv = Path(f"/proc/{process.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            if tuple(os.fsdecode(word) for word in argv) == process.argv:
                os.kill(process.pid, number)
        except (FileNotFoundError, ProcessLookupError):
            continue
