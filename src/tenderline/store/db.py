"""Connections, named queries and migrations: the ground that the rest of the store stands on.

One request or one job is one transaction, opened at the edge. Features take a connection and never commit.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib import resources
from typing import Final, TypeAlias

import asyncpg
import structlog

from tenderline.core import database_url
from tenderline.core.errors import ConfigurationError, DatabaseUnavailableError, TenderlineError
from tenderline.store import jobs

log = structlog.get_logger(__name__)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
AWAY: Final = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a database raises that is away, or does not do what it is asked now: a loop tries again later. (The last comes
of a connection that breaks while it is cleaned up after a cancellation.)"""

SERVER_VERSION_MIN = 150_000
CONNECT_TIMEOUT_S = 10.0
COMMAND_TIMEOUT_S = 60.0
CLOSE_TIMEOUT_S = 10.0
_MIGRATION_LOCK_KEY = 0x7E4DE71
_MIGRATION_NAME = re.compile(r"(\d{4})_(pre|post)_([a-z0-9_]+)\.sql")
_QUERY_NAME = re.compile(r"^-- name: ([a-z_0-9]+)\s*$", re.MULTILINE)


class OldServerError(ConfigurationError):
    """The PostgreSQL server is too old; Tenderline needs version 15 or later."""

    code = "database_too_old"


class NewerSchemaError(ConfigurationError):
    """The database was migrated by a newer Tenderline; start that version, or restore a backup."""

    code = "schema_newer"


class PendingMigrationError(ConfigurationError):
    """The database's schema is older than this Tenderline; run `tenderline migrate` and start again."""

    code = "schema_older"


@cache
def query(file: str, name: str) -> str:
    """The SQL under `-- name: {name}` in `store/sql/{file}.sql`."""
    text = resources.files("tenderline.store").joinpath("sql", f"{file}.sql").read_text("utf-8")
    parts = _QUERY_NAME.split(text)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return found[name].strip()


_CANNOT_CONNECT = (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError)


def _not_connected(url: str, error: Exception) -> TenderlineError:
    """Says which database, why, and what to do; never a password, which drivers quote when they cannot read a URL."""
    place, said = database_url.place(url), _without(database_url.passwords(url), error)
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            reason, remedy = "refuses this user or password", "correct database_url"
        case asyncpg.InvalidCatalogNameError():
            reason, remedy = "does not exist", "create it, or correct database_url"
        case asyncpg.InterfaceError():
            return ConfigurationError(f"The {place} cannot be asked ({said}); correct database_url.")
        case ValueError():
            return ConfigurationError(f"The {place} cannot be asked: database_url cannot be read; correct it.")
        case _:
            reason, remedy = f"does not answer ({said})", "see that it runs and that database_url is right"
    return DatabaseUnavailableError(f"The {place} {reason}; {remedy}, then start again.")


def _without(passwords: tuple[str, ...], error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())  # a server's errors have several lines
    for one in passwords:
        text = text.replace(one, "…")
    return text


@asynccontextmanager
async def open_pool(url: str, *, size_max: int = 10) -> AsyncIterator[Pool]:
    """A pool of connections to `url`; raises `DatabaseUnavailableError` or a `ConfigurationError`."""
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=size_max,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={"application_name": "tenderline", "timezone": "UTC", "jit": "off"},
        )
    except _CANNOT_CONNECT as error:
        raise _not_connected(url, error) from error
    assert pool is not None
    try:
        async with pool.acquire() as connection:
            version = int(await connection.fetchval("SHOW server_version_num"))
        if version < SERVER_VERSION_MIN:
            raise OldServerError(f"The PostgreSQL server has version {version // 10_000}; 15 or later is needed.")
        yield pool
    finally:
        await _close(pool)


async def _close(pool: Pool) -> None:
    try:
        await asyncio.wait_for(pool.close(), CLOSE_TIMEOUT_S)
    except TimeoutError:
        pool.terminate()


@cache
def migrations() -> tuple[tuple[str, str], ...]:
    """(name, SQL) of every migration, in order. `pre` runs before the code of its version is deployed, `post` after."""
    folder = resources.files("tenderline.store").joinpath("sql", "migrations")
    found = sorted((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    for name, text in found:
        assert _MIGRATION_NAME.fullmatch(name), name
        assert "SET LOCAL lock_timeout" in text, f"{name} takes locks without a bound"
    return tuple(found)


async def migrate(url: str, *, until: str | None = None) -> list[str]:
    """Applies what is missing, each migration in a transaction of its own; returns the names applied.

    Safe to run from several processes at once: they queue on an advisory lock. `until` stops after that migration
    (for tests of upgrades).
    """
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)
    except _CANNOT_CONNECT as error:
        raise _not_connected(url, error) from error
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK_KEY)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migration (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
        )
        done = {row["name"] for row in await connection.fetch("SELECT name FROM migration")}
        _refuse_newer(done)
        applied: list[str] = []
        for name, text in migrations():
            if name not in done:
                async with connection.transaction():
                    await connection.execute(text)
                    await connection.execute("INSERT INTO migration (name) VALUES ($1)", name)
                log.info("migration applied", migration=name)
                applied.append(name)
            if name == until:
                return applied
        await jobs.install(connection)
        return applied
    finally:
        await connection.close(timeout=CONNECT_TIMEOUT_S)


def _refuse_newer(done: set[str]) -> None:
    if unknown := done - {name for name, _ in migrations()}:
        raise NewerSchemaError(
            f"A newer Tenderline migrated the database ({max(unknown)}); start that version, or restore a backup."
        )


async def require_current_schema(pool: Pool) -> None:
    """Raises `PendingMigrationError` unless every migration of this version is applied."""
    async with pool.acquire() as connection:
        try:
            done = {row["name"] for row in await connection.fetch("SELECT name FROM migration")}
        except asyncpg.UndefinedTableError:
            done = set()
    _refuse_newer(done)
    if missing := [name for name, _ in migrations() if name not in done]:
        raise PendingMigrationError(
            f"The database's schema lacks {missing[0]}; run `tenderline migrate` and start again."
        )
