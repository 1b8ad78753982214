"""Scans for card data: reading everything that the database holds, in bounded pieces, and keeping what a scan said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg

from tenderline.store.db import Connection, Pool, query

FIRST_BYTES: Final = 8 * 1024
PIECE_BYTES: Final = 1 << 20
ROWS_AT_ONCE: Final = 400
LISTED_MAX: Final = 200
_NIGHTLY_LOCK_KEY: Final = 0x7E4D5CA
_BESIDES: Final = {
    "pg_stats": "statistics",
    "pg_stat_activity": "statements",
    "pg_largeobject": "large_objects",
}
READ_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, OSError)
"""What one table may answer instead of its rows; the scan goes on with the next."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table and how it is read."""

    name: str
    size_bytes: int
    columns: list[str]
    read_rows: str
    read_on: list[str]


@dataclass(frozen=True, slots=True)
class Value:
    """A value, or a piece of one that is long: `at` is where the piece begins."""

    key: str
    column: str
    at: int
    data: bytes
    is_last: bool


async def tables(connection: Connection) -> list[Table]:
    """Every table with something to be searched, of every schema but the server's own."""
    return [Table(**dict(row)) for row in await connection.fetch(query("scans", "tables"))]


async def foreign_tables(connection: Connection) -> list[str]:
    """Tables that lie on other servers."""
    return [str(row[0]) for row in await connection.fetch(query("scans", "foreign_tables"))]


def besides() -> list[str]:
    """What the server keeps about rows and sessions, besides the tables."""
    return list(_BESIDES)


async def data_folder(connection: Connection) -> str | None:
    """Where the server's files lie; None when it does not tell us."""
    try:
        return str(await connection.fetchval(query("scans", "data_folder")))
    except asyncpg.InsufficientPrivilegeError:
        return None


async def read_table(connection: Connection, table: Table, *, overlap_bytes: int) -> AsyncIterator[list[Value]]:
    """The values of a table, some rows at a time, from one snapshot that changes nothing.

    A long value comes in pieces that overlap, so that memory stays bounded whatever somebody stored.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        cursor = await connection.cursor(table.read_rows, FIRST_BYTES)
        while rows := await cursor.fetch(ROWS_AT_ONCE):
            values: list[Value] = []
            long: list[tuple[str, str, int]] = []
            for row in rows:
                for number, column in enumerate(table.columns):
                    data = row[2 + number]
                    if data:
                        is_long = len(data) >= FIRST_BYTES
                        values.append(Value(str(row[0]), column, 0, data, not is_long))
                        if is_long:
                            long.append((str(row[0]), str(row[1]), number))
            yield values
            for key, ctid, number in long:
                async for value in _read_on(connection, table, key, ctid, number, overlap_bytes):
                    yield [value]


async def _read_on(
    connection: Connection, table: Table, key: str, ctid: str, number: int, overlap_bytes: int
) -> AsyncIterator[Value]:
    at = FIRST_BYTES - overlap_bytes
    while True:
        data = await connection.fetchval(table.read_on[number], ctid, at + 1, PIECE_BYTES) or b""
        is_last = len(data) < PIECE_BYTES
        if data:
            yield Value(key, table.columns[number], at, data, is_last)
        if is_last:
            return
        at += PIECE_BYTES - overlap_bytes


async def read_besides(connection: Connection, name: str) -> AsyncIterator[list[Value]]:
    """What the server keeps besides the tables, as values of one column."""
    async with connection.transaction(readonly=True):
        cursor = await connection.cursor(query("scans", _BESIDES[name]))
        while rows := await cursor.fetch(ROWS_AT_ONCE):
            yield [Value(str(row["key"]), name, 0, row["bytes"], True) for row in rows if row["bytes"]]


@asynccontextmanager
async def nightly_lock(pool: Pool) -> AsyncIterator[bool]:
    """True for one worker of all at a time; the server lets go of it when that worker dies."""
    async with pool.acquire() as connection:
        has_it = bool(await connection.fetchval(query("scans", "try_lock"), _NIGHTLY_LOCK_KEY))
        try:
            yield has_it
        finally:
            if has_it and not connection.is_closed():
                await connection.fetchval(query("scans", "unlock"), _NIGHTLY_LOCK_KEY)


async def is_due(pool: Pool, since: datetime) -> bool:
    """Whether the night has not been searched since then."""
    return bool(await pool.fetchval(query("scans", "is_due"), since))


@dataclass(frozen=True, slots=True)
class KeptScan:
    """A scan as lists show it."""

    id: UUID
    started_at: datetime
    ended_at: datetime
    started_by: str
    host: str
    places: list[str]
    paths: list[str]
    findings: int
    not_searched: int
    bytes_searched: int
    canaries: int
    file: str


async def keep(connection: Connection, scan: KeptScan, report: str) -> None:
    """One scan with its signed report."""
    await connection.execute(
        query("scans", "keep"), scan.id, scan.started_at, scan.ended_at, scan.started_by, scan.host, scan.places,
        scan.paths, scan.findings, scan.not_searched, scan.bytes_searched, scan.canaries, scan.file, report,
    )  # fmt: skip


async def newest(connection: Connection) -> list[KeptScan]:
    """The newest scans."""
    return [KeptScan(**dict(row)) for row in await connection.fetch(query("scans", "newest"), LISTED_MAX)]


async def report_of(connection: Connection, scan_id: UUID) -> str | None:
    """The signed report of one scan."""
    row = await connection.fetchrow(query("scans", "one"), scan_id)
    return str(row["report"]) if row else None


async def open_findings(connection: Connection) -> int:
    """How many findings stand that no later scan, looking as closely, saw gone."""
    return int(await connection.fetchval(query("scans", "open_findings")))
