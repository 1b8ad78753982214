"""One PostgreSQL for a whole test run, and a fresh database for each test that wants one.

Every process of a run (pytest-xdist's workers, or pytest alone) holds a shared lock on the run's folder. The first of
them starts a guardian, which owns the server and waits for that lock alone: it gets it when the last process of the
run has ended, however it ended, and then takes the server, its data and the folder away.

`TENDERLINE_TEST_DATABASE_URL` (a superuser's URL, PostgreSQL 15 or later) replaces the embedded server.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

URL_VARIABLE = "TENDERLINE_TEST_DATABASE_URL"
START_TIMEOUT_S = 120.0
STATEMENT_TIMEOUT_S = 120.0
_LOCK_TRIES_MAX = 20
_MEMORY = Path("/dev/shm")
_MEMORY_MIN_BYTES = 4 * 1024**3
# xdist gives all its workers one id; without it this process is the whole run.
RUN_ID = hashlib.sha256(os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid()}").encode()).hexdigest()[:10]
Prepare = Callable[[str], Awaitable[object]]
_guardians: list[subprocess.Popen[bytes]] = []


@contextmanager
def server() -> Iterator[str]:
    """A superuser's URL of the run's server. Use it once a process, as a fixture of session scope."""
    folder = above() / f"tenderline-tests-{os.geteuid()}-{RUN_ID}"
    users = _join(folder)
    try:
        with _locked(folder / "setup.lock"):
            if not (folder / "url").exists():
                _start_guardian(folder)
        yield (folder / "url").read_text("utf-8")
    finally:
        os.close(users)


def above() -> Path:
    """Memory where there is room: a database is hundreds of small files, and a disk takes 15 times as long to copy
    them (measured: 0.34 s on ext4, 0.02 s on tmpfs). By its size, not by what is free: all of a run must agree."""
    try:
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).total >= _MEMORY_MIN_BYTES:
            return _MEMORY
    except OSError:
        pass
    return Path(tempfile.gettempdir())


def _join(folder: Path) -> int:
    """Takes the shared lock; tries again when a guardian of earlier processes took the folder away meanwhile."""
    for _ in range(_LOCK_TRIES_MAX):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        descriptor = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(folder / "users.lock")):
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)
    raise RuntimeError(f"{folder} vanished {_LOCK_TRIES_MAX} times")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _start_guardian(folder: Path) -> None:
    output = folder / "guardian.log"
    with output.open("wb") as file:
        guardian = subprocess.Popen(
            [sys.executable, __file__, str(folder), RUN_ID],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    _guardians.append(guardian)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (folder / "url").exists():
        if guardian.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"The tests' PostgreSQL did not start: {output.read_text('utf-8', 'replace')}")
        time.sleep(0.02)


async def create_database(server_url: str, prepare: Prepare | None = None) -> str:
    """Makes an empty database, or a copy of one that `prepare(url)` has filled once in this run. Returns its URL.

    `prepare` is known by its module and name; it must close its connections.
    """
    template = await _template(server_url, prepare) if prepare else "template1"
    name = f"t_{RUN_ID}_{uuid.uuid4().hex[:16]}"
    connection = await _connect(server_url)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    finally:
        await connection.close()
    return with_database(server_url, name)


async def drop_database(server_url: str, url: str) -> None:
    """Drops a database and whoever is still connected to it."""
    connection = await _connect(server_url)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {database_of(url)} WITH (FORCE)")
    finally:
        await connection.close()


@asynccontextmanager
async def fresh_database(server_url: str, prepare: Prepare | None = None) -> AsyncIterator[str]:
    """`create_database` for the length of a block."""
    url = await create_database(server_url, prepare)
    try:
        yield url
    finally:
        await drop_database(server_url, url)


_prepared: set[tuple[str, str]] = set()


async def _template(server_url: str, prepare: Prepare) -> str:
    """The template of `prepare`, made by whichever process comes first; the others wait on a lock in the server."""
    key = hashlib.sha256(f"{prepare.__module__}.{prepare.__qualname__}".encode()).hexdigest()[:10]
    name = f"t_{RUN_ID}_template_{key}"
    if (server_url, name) in _prepared:
        return name
    connection = await _connect(server_url)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext($1))", name)
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            # Under another name until it is whole: a process that dies half-way leaves no half template.
            await connection.execute(f"DROP DATABASE IF EXISTS {name}_unfinished WITH (FORCE)")
            await connection.execute(f"CREATE DATABASE {name}_unfinished")
            await prepare(with_database(server_url, f"{name}_unfinished"))
            await connection.execute(f"ALTER DATABASE {name}_unfinished RENAME TO {name}")
    finally:
        await connection.close()
    _prepared.add((server_url, name))
    return name


async def _connect(url: str) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(url, timeout=START_TIMEOUT_S, command_timeout=STATEMENT_TIMEOUT_S)


_URL = re.compile(r"(?P<server>[a-z]+://[^/?]*)(?:/(?P<database>[^?]*))?(?P<options>\?.*)?")


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    parts = _URL.fullmatch(url)
    assert parts, "not a database URL"
    return f"{parts['server']}/{name}{parts['options'] or ''}"


def database_of(url: str) -> str:
    """The name of a URL's database."""
    parts = _URL.fullmatch(url)
    assert parts, "not a database URL"
    return parts["database"] or ""


async def _drop_all(server_url: str, run_id: str) -> None:
    connection = await _connect(server_url)
    try:
        ours = "SELECT datname FROM pg_database WHERE starts_with(datname, $1)"
        for row in await connection.fetch(ours, f"t_{run_id}_"):
            await connection.execute(f"DROP DATABASE IF EXISTS {row['datname']} WITH (FORCE)")
    finally:
        await connection.close()


def _guard(folder: Path, run_id: str) -> None:
    """The guardian: brings the server up, waits until nobody of the run is left, takes everything away."""
    from tenderline.store.embedded import EmbeddedPostgres

    users = os.open(folder / "users.lock", os.O_RDWR)
    given = os.environ.get(URL_VARIABLE)
    embedded = None if given else EmbeddedPostgres(folder / "data", durable=False)
    try:
        url = embedded.start() if embedded else given or ""
        (folder / "url.new").write_text(url, "utf-8")
        (folder / "url.new").rename(folder / "url")
        fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        if embedded:
            embedded.stop()
        elif given:
            asyncio.run(_drop_all(given, run_id))
    # Not after an error: whoever waits for the URL shows guardian.log.
    shutil.rmtree(folder)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]), sys.argv[2])
