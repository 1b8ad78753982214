"""Upgrades from every earlier version, with rows in place; and what is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from support import postgres
from tenderline.core.errors import TenderlineError
from tenderline.store import db
from tenderline.store.db import NewerSchemaError, PendingMigrationError

ROWS = Path(__file__).with_name("rows")
NAMES = [name for name, _ in db.migrations()]
SCHEMA = """
SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
WHERE table_schema = 'public' AND table_name NOT LIKE 'pgqueuer%' ORDER BY 1, 2
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE 'pgqueuer%' ORDER BY 1"


@pytest.fixture
async def empty_url(server_url):
    async with postgres.fresh_database(server_url) as url:
        yield url


async def ask(url, sql):
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


@pytest.mark.parametrize("version", NAMES)
async def test_every_earlier_version_is_upgraded_with_its_rows(empty_url, database_url, version):
    await db.migrate(empty_url, until=version)
    connection = await asyncpg.connect(empty_url)
    for rows in sorted(ROWS.glob("*.sql")):
        if rows.stem <= version[:4]:
            await connection.execute(rows.read_text("utf-8"))
    await connection.close()
    await db.migrate(empty_url)
    assert await ask(empty_url, SCHEMA) == await ask(database_url, SCHEMA)
    assert await ask(empty_url, INDEXES) == await ask(database_url, INDEXES)
    for table in ("person", "contact_point", "payment", "recovery_case", "attempt", "inbox", "event"):
        ((count,),) = await ask(empty_url, f"SELECT count(*) FROM {table}")
        assert count > 0, f"the rows of {table} are gone"


def test_every_version_that_has_rows_is_one_and_the_first_has_some():
    stems = {path.stem for path in ROWS.glob("*.sql")}
    assert "0001" in stems
    assert stems <= {name[:4] for name in NAMES}


async def test_processes_that_migrate_at_once_take_turns(empty_url):
    applied = await asyncio.gather(*(db.migrate(empty_url) for _ in range(4)))
    assert sorted(name for names in applied for name in names) == NAMES


async def test_migrating_again_changes_nothing(empty_url):
    assert await db.migrate(empty_url) == NAMES
    assert await db.migrate(empty_url) == []


async def test_an_older_schema_is_refused_with_the_way_out(empty_url):
    async with db.open_pool(empty_url, size_max=1) as pool:
        with pytest.raises(PendingMigrationError, match="tenderline migrate"):
            await db.require_current_schema(pool)


async def test_a_newer_schema_is_refused_and_left_alone(database_url):
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO migration (name) VALUES ('9999_pre_future.sql')")
    await connection.close()
    with pytest.raises(NewerSchemaError, match="9999_pre_future"):
        await db.migrate(database_url)


async def test_a_migration_that_cannot_get_its_lock_gives_up_instead_of_blocking_everybody(empty_url, monkeypatch):
    await db.migrate(empty_url)
    blocking = "SET LOCAL lock_timeout = '100ms'; ALTER TABLE person ADD COLUMN later text"
    more = (*db.migrations(), ("0099_pre_later.sql", blocking))
    monkeypatch.setattr(db, "migrations", lambda: more)
    holder = await asyncpg.connect(empty_url)
    async with holder.transaction():
        await holder.execute("LOCK TABLE person IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await db.migrate(empty_url)
    await holder.close()
    assert await db.migrate(empty_url) == ["0099_pre_later.sql"]


async def test_a_database_that_does_not_answer_is_said_so():
    with pytest.raises(TenderlineError, match="does not answer"):
        await db.migrate("postgresql://nobody@127.0.0.1:1/nothing")
