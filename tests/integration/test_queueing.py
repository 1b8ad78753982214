"""The line as one node sees it, with a real database that fails now and then."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest
import structlog

from support import lines_up
from tenderline.routing.queues import NOTHING
from tenderline.voice.queueing import Queueing
from tenderline.voice.reaching import Reaching, Target
from tenderline.voice.registrar import Binding, Registrar
from tenderline.voice.registrations import AGAIN_S, Registrations
from tenderline.voice.sip_limits import SourceLimits
from tenderline.voice.timeline import Timeline


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def registrar():
    return Registrar(b"key", SourceLimits(100, 100, ()), Clock())


@pytest.fixture
async def timeline(pool):
    one = Timeline(pool)
    one.start()
    yield one
    await one.close()


@pytest.fixture
async def node(pool):
    return await lines_up.make_node(pool)


@pytest.fixture
async def queueing(pool, registrar, timeline, node):
    """Not started: the test makes the matches."""
    one = Queueing(pool, registrar, timeline, lambda: node)
    yield one
    await one.close()


@pytest.fixture
async def ticket(pool, queueing, node):
    async with pool.acquire() as connection:
        await lines_up.make_agent(connection, "anna", ["general"], node=node)
    return await queueing.enter("general", conversation_id=uuid4(), caller="+12025550100", wish=NOTHING)


async def matched(pool):
    async with pool.acquire() as connection:
        return (await lines_up.match(connection)).matched


async def anna_is(pool):
    return await pool.fetchval("SELECT p.state FROM agent_presence p JOIN agent a ON a.id = p.agent_id")


def bind(registrar, name):
    until = registrar.clock() + 3_600
    registrar.bindings[name] = Binding(name, name, ("127.0.0.1", 5070), "<sip:127.0.0.1:5070>", until, "call", 1)


@pytest.mark.parametrize("is_offered", [True, False])
@pytest.mark.parametrize("when", ["meanwhile", "after"])
async def test_whoever_hangs_up_leaves_the_line_or_has_kept_her_place(
    pool, queueing, timeline, ticket, is_offered, when
):
    """She presses the key and hangs up, in whatever order that is told and written."""
    if is_offered:
        assert await matched(pool) == 1
    keeping = asyncio.ensure_future(queueing.keep_place(ticket, "+12025550100"))
    if when == "meanwhile":
        await asyncio.sleep(0)
        keeping.cancel()
        queueing.leave(ticket, "abandoned")
        with pytest.raises(asyncio.CancelledError):
            await keeping
        await asyncio.gather(*asyncio.all_tasks() & {ticket.keeping})
        await asyncio.sleep(0)
    else:
        assert await keeping == (not is_offered)
        queueing.leave(ticket, "abandoned")
        await asyncio.sleep(0)
    await timeline.written()
    row = await pool.fetchrow("SELECT state, kept_at FROM waiting")
    assert (row["state"], row["kept_at"] is not None) == (("left", False) if is_offered else ("waiting", True))
    assert await pool.fetchval("SELECT count(*) FROM callback") == int(not is_offered)
    assert await anna_is(pool) == "available"
    assert queueing.waiting == 0


async def test_a_turn_that_fails_is_named_and_the_next_one_matches(pool, queueing, ticket):
    failing = asyncio.Event()

    def live():
        failing.set()
        raise ValueError("a defect")

    with structlog.testing.capture_logs() as logs:
        queueing.live = live
        queueing.start()
        async with asyncio.timeout(10):
            await failing.wait()
            while not any(one["event"] == "queues_failed" for one in logs):
                await asyncio.sleep(0.01)
            queueing.live = None
            offer = await ticket.next()
    assert offer.agent == "anna"


async def test_a_search_that_fails_is_named_in_the_log():
    async def begin(_):
        raise ValueError("a defect")

    with structlog.testing.capture_logs() as logs:
        reaching = Reaching(Target("queue", "general"), begin)
        await reaching.over()
        await asyncio.sleep(0)
    assert reaching.found == "failed"
    assert [one["event"] for one in logs] == ["search_failed"]


@pytest.mark.parametrize(
    "error", [asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError, asyncpg.SerializationError]
)
async def test_what_another_transaction_stood_in_the_way_of_is_written_later(pool, timeline, error):
    tries = 0

    async def entry(connection):
        nonlocal tries
        tries += 1
        if tries == 1:
            raise error("another one was first")
        await connection.execute("INSERT INTO skill (name) VALUES ('patience')")

    timeline.put(entry)
    async with asyncio.timeout(10):
        await timeline.written()
    assert (tries, timeline.lost_entries) == (2, 0)
    assert await pool.fetchval("SELECT count(*) FROM skill") == 1


@pytest.mark.parametrize("error", [ValueError("a defect"), asyncpg.CheckViolationError("no such value")])
async def test_an_entry_that_fails_for_itself_loses_no_other(pool, timeline, error):
    async def failing(_):
        raise error

    async def entry(connection):
        await connection.execute("INSERT INTO skill (name) VALUES ('patience')")

    for one in (failing, entry):
        timeline.put(one)
    async with asyncio.timeout(10):
        await timeline.written()
    assert timeline.lost_entries == 1
    assert await pool.fetchval("SELECT count(*) FROM skill") == 1


async def test_an_agent_made_for_a_telephone_that_is_registered_is_reached_before_it_registers_again(
    pool, registrar, node
):
    registrations = Registrations(pool, registrar, lambda: node)
    bind(registrar, "anna")
    await registrations.write()
    async with pool.acquire() as connection:
        await lines_up.make_agent(connection, "anna", ["general"])
    await registrations.write()
    assert await anna_is(pool) == "offline"
    registrar.clock.now_s += AGAIN_S
    await registrations.write()
    assert await anna_is(pool) == "available"
    del registrar.bindings["anna"]
    await registrations.write()
    assert await anna_is(pool) == "offline"
