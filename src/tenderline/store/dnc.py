"""The do-not-contact lists as rows: a file goes into a table of its own session first, and in force in one transaction.

A process that dies in between leaves the lists as they were. The gate reads `dnc_entry` under the locks of a claim:
what is committed before is obeyed.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from tenderline.core.errors import InvalidInputError, NotFoundError, TenderlineError
from tenderline.store import audit
from tenderline.store.db import Connection, Pool, query

IMPORT_TIMEOUT_S = 3_600.0
LISTS_MAX = 500
SHRINK_SHARE_MIN = 0.5
"""A replacement that keeps less than this share of what stood is taken for a file that was cut off."""


class ListBusyError(TenderlineError):
    """Another import into this list is under way; try again when it has ended."""

    code = "list_busy"
    status = 409


class ListShrinksError(InvalidInputError):
    """The file holds less than half of what stands: it may be cut off. If it is whole, say that the list may shrink."""

    code = "list_shrinks"
    status = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be done with staged addresses. `replace`: they are all there is of this source."""

    list: str
    source: str
    channels: Sequence[str] = ()
    expires_days: int | None = None
    replace: bool = False
    may_shrink: bool = False
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """The file that it came from. Without one (single entries) a list does not become newer."""

    file_name: str
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What an import did, or would do: `renewed` of those that were there, of one that is only tried unknown."""

    distinct: int
    added: int
    renewed: int | None
    removed: int
    entries: int


@asynccontextmanager
async def staging(pool: Pool) -> AsyncIterator[Connection]:
    """A connection with empty tables to stage in, emptied again at the end."""
    async with pool.acquire() as connection:
        await connection.execute(query("dnc", "create_staged"))
        await connection.execute(query("dnc", "empty_staged"))
        try:
            yield connection
        finally:
            if not connection.is_closed():
                await connection.execute(query("dnc", "empty_staged"))


async def stage(connection: Connection, values: AsyncIterable[bytes]) -> int:
    """Takes addresses, one on each line, in parts; returns how many distinct ones there are."""
    await connection.copy_to_table("dnc_staged", source=values, columns=["value"], timeout=IMPORT_TIMEOUT_S)
    async with connection.transaction():
        await connection.execute(query("dnc", "more_memory"))
        done = await connection.execute(query("dnc", "sort_staged"), timeout=IMPORT_TIMEOUT_S)
    await connection.execute(query("dnc", "analyze_wanted"))
    return int(done.rpartition(" ")[2])


async def would_change(connection: Connection, wanted: Wanted, distinct: int) -> Changed:
    """What `put_in_force` would do with what is staged; nothing is changed."""
    names = (wanted.list, wanted.source)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await connection.execute(query("dnc", "more_memory"))
        standing = await connection.fetchval(query("dnc", "standing"), *names) or 0
        added = await connection.fetchval(query("dnc", "would_add"), *names, timeout=IMPORT_TIMEOUT_S)
        removed = 0
        if wanted.replace:
            removed = await connection.fetchval(query("dnc", "would_remove"), *names, timeout=IMPORT_TIMEOUT_S)
    return Changed(distinct=distinct, added=added, renewed=None, removed=removed, entries=standing + added - removed)


async def put_in_force(
    connection: Connection, wanted: Wanted, distinct: int, provenance: Provenance | None, counted: dict[str, Any]
) -> Changed:
    """Puts what is staged on its list, all of it or nothing, with a row of the audit log (`counted` stands in it too).

    Raises `ListBusyError` or `ListShrinksError`.
    """
    async with connection.transaction():
        await connection.execute(query("dnc", "more_memory"))
        await _lock(connection, wanted.list, wanted.source)
        names = (wanted.list, wanted.source)
        standing = await connection.fetchval(query("dnc", "standing"), *names) or 0
        removed = 0
        if wanted.replace:
            if distinct < SHRINK_SHARE_MIN * standing and not wanted.may_shrink:
                raise ListShrinksError()
            removed = await connection.fetchval(query("dnc", "remove_absent"), *names, timeout=IMPORT_TIMEOUT_S)
        row = await connection.fetchrow(
            query("dnc", "merge"),
            *names,
            list(wanted.channels),
            wanted.expires_days,
            wanted.replace,
            timeout=IMPORT_TIMEOUT_S,
        )
        assert row is not None
        entries = await _note(connection, wanted, provenance, row["added"] - removed)
        changed = Changed(
            distinct=distinct, added=row["added"], renewed=row["renewed"], removed=removed, entries=entries
        )
        await audit.append(
            connection,
            actor=wanted.by,
            action="dnc.import",
            subject=f"dnclist:{wanted.list}",
            data=_told(wanted, provenance, changed) | counted,
        )
    return changed


async def _lock(connection: Connection, name: str, source: str) -> None:
    await connection.execute(query("dnc", "bound_waiting"))
    try:
        await connection.execute(query("dnc", "lock_source"), name, source)
    except asyncpg.LockNotAvailableError:
        raise ListBusyError() from None


async def _note(connection: Connection, wanted: Wanted, provenance: Provenance | None, more: int) -> int:
    return int(
        await connection.fetchval(
            query("dnc", "note_import"),
            wanted.list,
            wanted.source,
            more,
            wanted.expires_days,
            wanted.replace,
            provenance is not None,
            wanted.by,
            provenance.file_name if provenance else None,
            provenance.sha256 if provenance else None,
        )
    )


def _told(wanted: Wanted, provenance: Provenance | None, changed: Changed) -> dict[str, Any]:
    return {
        "source": wanted.source,
        "channels": list(wanted.channels),
        "expiresDays": wanted.expires_days,
        "replace": wanted.replace,
        "file": provenance.file_name if provenance else None,
        "sha256": provenance.sha256.hex() if provenance else None,
        "distinct": changed.distinct,
        "added": changed.added,
        "renewed": changed.renewed,
        "removed": changed.removed,
        "entries": changed.entries,
    }


@dataclass(frozen=True, slots=True)
class ListRow:
    """What one source brought to one list."""

    list: str
    source: str
    entries: int
    ends_at: datetime | None
    refreshed_at: datetime | None
    refreshed_by: str | None
    file_name: str | None


async def lists(connection: Connection) -> list[ListRow]:
    """Every list by its sources."""
    return [ListRow(**row) for row in await connection.fetch(query("dnc", "lists"), LISTS_MAX)]


@dataclass(frozen=True, slots=True)
class Entry:
    """An address on a list. No channels: every channel."""

    value: str
    list: str
    source: str
    channels: tuple[str, ...]
    added_at: datetime
    expires_at: datetime | None
    is_over: bool


async def of_value(connection: Connection, value: str, name: str | None = None) -> list[Entry]:
    """Where an address stands, on one list or on all; entries that have ended too."""
    rows = await connection.fetch(query("dnc", "of_value"), value, name, LISTS_MAX)
    return [Entry(**{**row, "channels": tuple(row["channels"])}) for row in rows]


async def remove(connection: Connection, name: str, value: str, *, shown: str, by: str, why: str) -> list[str]:
    """Takes an address off a list, in the caller's transaction; returns the sources it had come from.

    In the audit log it stands as `shown`, for that log is never cut. Raises `NotFoundError`.
    """
    sources = [row["source"] for row in await connection.fetch(query("dnc", "remove_value"), value, name)]
    if not sources:
        raise NotFoundError(f"It is not on the list {name}; `tenderline dnc check` shows where it is.")
    await connection.execute(query("dnc", "count_down"), name, sources)
    data = {"value": shown, "sources": sources, "why": why}
    await audit.append(connection, actor=by, action="dnc.remove", subject=f"dnclist:{name}", data=data)
    return sources


async def remove_source(connection: Connection, name: str, source: str, *, by: str, why: str) -> int:
    """Takes off everything that one source brought to a list, in the caller's transaction; returns how much it was.

    Raises `NotFoundError` or `ListBusyError`.
    """
    await _lock(connection, name, source)
    entries = await connection.fetchval(query("dnc", "forget_source"), name, source)
    if entries is None:
        raise NotFoundError(f"Nothing of {source!r} is on the list {name}; `tenderline dnc list` shows what is.")
    await connection.execute(query("dnc", "remove_source"), name, source, timeout=IMPORT_TIMEOUT_S)
    data = {"source": source, "entries": entries, "why": why}
    await audit.append(connection, actor=by, action="dnc.remove_source", subject=f"dnclist:{name}", data=data)
    return int(entries)
