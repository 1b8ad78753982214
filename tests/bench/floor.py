"""Drawing the supervisors' floor: what each redraw costs the server, with a hundred rows on it and a day behind it."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

from tenderline.core.queue_rings import Ring
from tenderline.desk import floor
from tenderline.store import db, queues, voice_nodes
from tenderline.store.db import Connection
from tenderline.store.queues import Queue
from tenderline.web import floor as web
from tests.bench.ground import BenchmarkError, Ground, Say
from tests.bench.report import Result, middle
from tests.bench.sizes import Sizes

QUEUES = 10
AGENTS = 50
WAITING = 40
REDRAW_MS_MAX = 10.0
HOW = (
    f"{QUEUES} queues, {AGENTS} agents who serve three each, {WAITING} callers in line: a hundred rows; and a day of"
    " {day:,} callers behind them, of which the service levels are counted: all came since midnight (UTC), a 48th of"
    " them in the last half hour, as far as the hour allows. A redraw is one transaction with all its"
    " questions, and the template; it is made once for all who look, however many they are. Before each, two agents"
    " change their state and a caller her priority; rows that show what they showed before are not drawn again."
)


SOMETHING = """
WITH one AS (
    UPDATE agent_presence SET state = CASE state WHEN 'away' THEN 'available' ELSE 'away' END, since = clock_timestamp()
    WHERE agent_id IN (SELECT id FROM agent ORDER BY random() LIMIT 2)
)
UPDATE waiting SET priority = (priority + 1) % 10
WHERE id = (SELECT id FROM waiting WHERE state = 'waiting' ORDER BY random() LIMIT 1)
"""


async def _fill(connection: Connection, day: int) -> None:
    names = [f"queue_{number}" for number in range(QUEUES)]
    joins = Ring(after_s=30, queues_joined=(names[0],))
    for name in names:
        await queues.put(connection, Queue(name=name, title=name.title(), rings=()), by="bench")
    for name in names[1:]:
        await queues.put(connection, Queue(name=name, title=name.title(), rings=(Ring(), joins)), by="bench")
    await queues.put_skill(connection, "legacy_gifts", "", by="bench")
    node = uuid4()
    await voice_nodes.register(connection, node, "127.0.0.1:5060", 100)
    await connection.execute(
        "INSERT INTO agent (id, name) SELECT gen_random_uuid(), 'Agent ' || n FROM generate_series(1, $1) AS n", AGENTS
    )
    await connection.execute(
        "INSERT INTO agent_presence (agent_id, state, reason, reach_node, reach_until)"
        " SELECT id, (ARRAY['available', 'away', 'wrap_up'])[1 + (random() * 2)::int], 'a reason', $1,"
        " now() + interval '1 h' FROM agent",
        node,
    )
    await connection.execute(
        "INSERT INTO agent_queue SELECT a.id, q.name FROM agent a CROSS JOIN LATERAL"
        " (SELECT name FROM queue WHERE a.id IS NOT NULL ORDER BY random() LIMIT 3) AS q"
    )
    await connection.execute("INSERT INTO agent_skill SELECT id, 'legacy_gifts', 3 FROM agent")
    insert = (
        "INSERT INTO waiting (id, conversation_id, node_id, queue, caller, tier, skills, entered_at, rank_at, state,"
        " connected_at, left_at, outcome) SELECT gen_random_uuid(), gen_random_uuid(), $2, 'queue_' || (n % 10),"
        " '+12025550143', 'High_Value_Donor', '{legacy_gifts}', e.at, e.at, $3,"
        " CASE WHEN $3 = 'left' AND n % 5 > 0 THEN e.at + interval '12 s' END,"
        " CASE WHEN $3 = 'left' THEN e.at + interval '300 s' END,"
        " CASE WHEN $3 = 'left' THEN CASE WHEN n % 5 > 0 THEN 'talked' ELSE 'abandoned' END END"
        " FROM generate_series(1, $1) AS n, LATERAL (SELECT $4::timestamptz"
        " + random() * ($5::timestamptz - $4::timestamptz) AS at) AS e"
    )
    since = await connection.fetchval("SELECT date_trunc('day', now(), 'UTC')")
    now = await connection.fetchval("SELECT now()")
    lately = max(since, now - timedelta(minutes=30))
    of_late = day // 48
    await connection.execute(insert, day - of_late, node, "left", since, lately if lately > since else now)
    await connection.execute(insert, of_late, node, "left", lately, now)
    await connection.execute(insert, WAITING, node, "waiting", now - timedelta(minutes=2), now)
    await connection.execute("ANALYZE")


async def _redraw(pool: Any) -> tuple[float, float]:
    """(reading, rendering) in milliseconds."""
    begun = time.perf_counter()
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        found = await floor.read(connection)
    read = time.perf_counter()
    text = web.render_live(found, may_act=True)
    done = time.perf_counter()
    if (
        len(found.callers) != WAITING
        or len(found.agents) != AGENTS
        or text.count("<tr id=") != len(found.queues) + AGENTS + WAITING
    ):
        raise BenchmarkError("The floor does not show everybody.")
    return 1000 * (read - begun), 1000 * (done - read)


async def run(ground: Ground, sizes: Sizes, say: Say) -> Result:
    """Redraws, one after the other."""
    say("floor")
    async with ground.database() as url, db.open_pool(url, size_max=2) as pool:
        async with pool.acquire() as connection:
            await _fill(connection, sizes.floor_day)
        for _ in range(3):
            await _redraw(pool)
        taken = []
        for _ in range(sizes.floor_redraws):
            async with pool.acquire() as connection:
                await connection.execute(SOMETHING)
            taken.append(await _redraw(pool))
    figures = [
        middle("a redraw", [read + drawn for read, drawn in taken], unit="ms", at_most=REDRAW_MS_MAX),
        middle("of it, asking the database", [read for read, _ in taken], unit="ms"),
        middle("of it, the template", [drawn for _, drawn in taken], unit="ms"),
    ]
    return Result(name="floor", title="The supervisors' floor", how=HOW.format(day=sizes.floor_day), figures=figures)
