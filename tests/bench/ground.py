"""The ground a run stands on: a folder, a durable PostgreSQL, and product processes, all gone when the run ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType

import asyncpg

from tenderline import config
from tenderline.store import db
from tenderline.store.embedded import EmbeddedPostgres
from tests.support import postgres

ROOT = Path(__file__).parents[2]
SECRET = "whsec_of_the_benchmarks"
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
LOOK_AGAIN_S = 0.05
COMMAND_TIMEOUT_S = 600.0

Say = Callable[[str], None]


class BenchmarkError(RuntimeError):
    """A benchmark could not do its work; what it measured does not count."""


class Ground:
    """Use as `with Ground(durable=True) as ground`. The database starts when it is first asked for.

    Without durability (no fsync) it only shows that everything runs: nothing that it measures means anything.
    """

    def __init__(self, *, durable: bool) -> None:
        self.folder = Path()
        self._durable = durable
        self._embedded: EmbeddedPostgres | None = None

    def __enter__(self) -> Ground:
        self.folder = Path(tempfile.mkdtemp(prefix="tenderline-bench-"))
        self.folder.chmod(0o755)  # our own folder: the database's user has to pass through it
        if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
            # As in an installation: compiled once, not at every start, whatever the caller's shell says.
            os.environ["PYTHONPYCACHEPREFIX"] = str(self.folder / "bytecode")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._embedded is not None:
            self._embedded.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def server_url(self) -> str:
        """A superuser's URL of the run's own server."""
        if self._embedded is None:
            self._embedded = EmbeddedPostgres(self.folder / "data", durable=self._durable)
        return await asyncio.to_thread(self._embedded.start)

    async def server_version(self) -> str:
        """Of PostgreSQL."""
        async with self.connection(await self.server_url()) as connection:
            return str(await connection.fetchval("SHOW server_version"))

    @asynccontextmanager
    async def connection(self, url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
        """One connection of the benchmark's own."""
        connection = await asyncpg.connect(url, timeout=START_TIMEOUT_S, command_timeout=COMMAND_TIMEOUT_S)
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The URL of an empty database with this version's schema."""
        server = await self.server_url()
        async with postgres.fresh_database(server) as url:
            await db.migrate(url)
            yield url

    @asynccontextmanager
    async def copy_of(self, url: str) -> AsyncIterator[str]:
        """The URL of a copy of a database to which nobody is connected."""
        name = f"t_copy_{uuid.uuid4().hex[:16]}"
        server = await self.server_url()
        async with self.connection(server) as connection:
            template = postgres.database_of(url)
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
            try:
                yield postgres.with_database(server, name)
            finally:
                await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def environment(folder: Path, port: int, **settings: str) -> dict[str, str]:
    """What a product process of ours reads its settings from; nothing of the caller's own settings gets in."""
    ours = {
        "ORGANISATION": "Benchmark",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "DATA_DIR": str(folder),
        "LOG_LEVEL": "error",
        "API__BIND_PORT": str(port),
        "API__REQUESTS_PER_MINUTE_MAX": "1000000",
        "STRIPE__WEBHOOK_SECRETS": SECRET,
        **settings,
    }
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(config.ENV_PREFIX)}
    return inherited | {f"{config.ENV_PREFIX}{key}": value for key, value in ours.items()}


def free_port() -> int:
    """A port of the loopback address that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def child(
    module: str, *arguments: str, env: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m module …` as a process that speaks by lines; it is ended with the block, by force if it must be."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        cwd=ROOT, env=env, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=256 * 1024 * 1024,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def hear(process: asyncio.subprocess.Process, timeout_s: float) -> bytes:
    """The next line of a child; raises when it ended or says nothing in time."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), timeout_s)
    if not line:
        raise BenchmarkError(f"A child process of the benchmark ended early (exit code {await process.wait()}).")
    return line


async def tell(process: asyncio.subprocess.Process, line: bytes) -> None:
    """One line to a child."""
    assert process.stdin is not None
    process.stdin.write(line + b"\n")
    await process.stdin.drain()


@asynccontextmanager
async def api(module: str, folder: Path, database_url: str) -> AsyncIterator[int]:
    """One API process (`python -m module api`), answering; gives its port."""
    port = free_port()
    env = environment(folder, port, DATABASE_URL=database_url)
    async with child(module, "api", env=env) as process:
        await until_answering(port, lambda: process.returncode is None)
        yield port


async def until_answering(port: int, alive: Callable[[], bool]) -> None:
    """Waits until the API says that it can serve."""
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while asyncio.get_running_loop().time() < deadline and alive():
        if await _answers(port):
            return
        await asyncio.sleep(LOOK_AGAIN_S)
    raise BenchmarkError("The API process did not start.")


async def _answers(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(b"GET /health/ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        return b" 200" in await asyncio.wait_for(reader.readline(), START_TIMEOUT_S)
    except OSError:
        return False
    finally:
        writer.close()
