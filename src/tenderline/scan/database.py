"""The database: every column that can hold text or bytes, and what the server keeps about them."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections.abc import AsyncIterator
from typing import Final

from tenderline.scan.patterns import HIT_BYTES_MAX
from tenderline.scan.result import Notes, Place, Searched
from tenderline.store import scans
from tenderline.store.db import Pool
from tenderline.store.scans import READ_ERRORS, Value

_BETWEEN: Final = b"\n\x1e\n"
OVERLAP_BYTES: Final = 2 * HIT_BYTES_MAX


async def search(pool: Pool, notes: Notes) -> None:
    """Every table, one after the other; a table that cannot be read is named and costs none of the others."""
    began_at, before, rows_of = time.monotonic(), notes.search.bytes_searched, 0
    async with pool.acquire() as connection:
        every = await scans.tables(connection)
        for name in await scans.foreign_tables(connection):
            notes.gap(Place.DATABASE, f"table {name}", "it lies on another server; search that one")
        for table in every:
            reading = scans.read_table(connection, table, overlap_bytes=OVERLAP_BYTES)
            await _search_values(notes, table.name, reading)
            rows_of += 1
        for name in scans.besides():
            await _search_values(notes, name, scans.read_besides(connection, name))
    notes.searched.append(
        Searched(
            place=Place.DATABASE,
            what="tables",
            count=rows_of,
            bytes=notes.search.bytes_searched - before,
            lasted_s=round(time.monotonic() - began_at, 3),
        )
    )


async def _search_values(notes: Notes, table: str, reading: AsyncIterator[list[Value]]) -> None:
    try:
        async for values in reading:
            await asyncio.to_thread(_look, notes, table, values)
    except READ_ERRORS as error:
        notes.gap(Place.DATABASE, f"table {table}", f"{type(error).__name__}: {str(error)[:200]}")


def _look(notes: Notes, table: str, values: list[Value]) -> None:
    """Many values in one go: looking at each alone would cost more than the looking."""
    begins: list[int] = []
    at = 0
    for value in values:
        begins.append(at)
        at += len(value.data) + len(_BETWEEN)
    data = _BETWEEN.join(value.data for value in values)
    for hit in notes.search.find(data, as_text=True):
        number = bisect_right(begins, hit.start) - 1
        value, offset = values[number], hit.start - begins[number]
        if not _is_told_here(value, offset):
            continue
        group = f"{table}.{value.column}"
        notes.hit(Place.DATABASE, group, f"table {table}, column {value.column}, {value.key}", hit, value.at + offset)
    notes.search.breathe(len(data))


def _is_told_here(value: Value, offset: int) -> bool:
    """Pieces of one value overlap: a hit is told by the piece that shows what stands around it."""
    if value.at > 0 and offset < HIT_BYTES_MAX:
        return False
    return value.is_last or offset < len(value.data) - HIT_BYTES_MAX
