"""Small counts that all processes share and nobody mourns after a crash: refused webhooks, late completions."""

from __future__ import annotations

from collections.abc import Mapping

from tenderline.store.db import Connection, Pool

_ADD = """
INSERT INTO counter (name, value) SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (name) DO UPDATE SET value = counter.value + excluded.value
"""
_ALL = "SELECT name, value FROM counter ORDER BY name LIMIT 500"


async def add(pool: Pool, counted: Mapping[str, int]) -> None:
    """Adds to the named counts. Names are sorted, so that two processes cannot wait for each other."""
    names = sorted(counted)
    await pool.execute(_ADD, names, [counted[name] for name in names])


async def read(connection: Connection) -> dict[str, int]:
    """Every count."""
    return {row["name"]: row["value"] for row in await connection.fetch(_ALL)}
