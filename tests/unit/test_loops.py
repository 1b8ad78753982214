"""A loop that outlives the errors of a database ends all the same when it is told to."""

from __future__ import annotations

import ast
import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from support import services
from tenderline.core.ids import uuid7
from tenderline.voice.backstage import DatabaseBackstage
from tenderline.voice.commands import Commands

SOURCE = Path(__file__).parents[2] / "src" / "tenderline"


class BrokenPool:
    """Its connections cannot be given back: the error stands in the place of a cancellation."""

    def __init__(self):
        self.is_used = asyncio.Event()

    @asynccontextmanager
    async def acquire(self):
        try:
            self.is_used.set()
            await asyncio.Event().wait()
            yield
        finally:
            raise asyncpg.InterfaceError("the connection is lost")


async def test_a_connection_that_cannot_be_given_back_does_not_hide_the_end():
    pool = BrokenPool()
    commands = Commands(pool, uuid7, lambda _: None)
    commands.start()
    await pool.is_used.wait()
    async with asyncio.timeout(20):
        await commands.close()


def _outlives_the_database(loop: ast.While) -> bool:
    caught = [one.type for one in ast.walk(loop) if isinstance(one, ast.ExceptHandler) and one.type]
    caught += [one for one in ast.walk(loop) if isinstance(one, ast.Call) and "suppress" in ast.unparse(one.func)]
    return any("AWAY" in ast.unparse(one) for one in caught)


def test_every_loop_that_outlives_the_database_asks_whether_it_goes_on():
    asks = {
        f"{path.relative_to(SOURCE)}:{one.lineno}": "goes_on()" in ast.unparse(one.test)
        for path in sorted(SOURCE.rglob("*.py"))
        for one in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(one, ast.While) and _outlives_the_database(one)
    }
    assert [one for one, does in asks.items() if not does] == []
    assert {"voice/commands.py", "voice/node.py", "web/stream.py"} <= {one.partition(":")[0] for one in asks}, (
        "they are found by the name of what they catch"
    )


async def test_a_call_that_is_given_up_while_it_waits_for_money_is_over_though_its_connection_broke():
    pool = BrokenPool()
    backstage = DatabaseBackstage(services.make(pool))
    waits = asyncio.create_task(backstage.settlement(str(uuid7()), timeout_s=20))
    await pool.is_used.wait()
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waits, 10)
    assert waits.cancelled()
    await backstage.close()
