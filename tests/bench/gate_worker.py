"""One process that claims due contacts, through the gate or around it.

`python -m tests.bench.gate_worker`: a job comes as a line of JSON, `ready` is answered after the first turns, the line
`go` starts the timed ones, the result is a line of JSON. Around the gate is what is measured against it: the same
lease on the same rows, with nobody locked, nothing read and nothing decided.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
import uvloop

from tenderline.compliance import ruleset
from tenderline.core.events import AttemptAllowed
from tenderline.store import attempts, db, events
from tenderline.store.db import Pool, query
from tenderline.store.rules import RuleBook

BOOK = RuleBook(ruleset.shipped())
LEASE_S = 3600.0
WARM_TURNS = 2
Variant = Literal["gate", "lease and event", "bare lease"]

_LEASE = """
UPDATE attempt t SET
    state = 'leased', lease_until = clock_timestamp() + make_interval(secs => $3), fence = t.fence + 1,
    handed_over_at = NULL, updated_at = now()
FROM unnest($1::uuid[], $2::uuid[]) AS d (person_id, id)
WHERE t.person_id = d.person_id AND t.id = d.id
RETURNING t.id, t.fence
"""


class Job(msgspec.Struct, kw_only=True):
    """What to claim, and how."""

    url: str
    variant: Variant
    batch: int
    turns: int


class Outcome(msgspec.Struct, kw_only=True):
    """What was claimed. Instants are seconds on the machine's steady clock, the same for every process."""

    leased: int
    looked_at: int
    started_s: float
    ended_s: float
    cpu_s: float


async def _through_the_gate(pool: Pool, batch: int) -> tuple[int, int]:
    claim = await attempts.claim(pool, BOOK, batch_max=batch, lease_s=LEASE_S)
    return len(claim.leased), claim.looked_at


async def _around_it(pool: Pool, batch: int, *, tell: bool) -> tuple[int, int]:
    async with pool.acquire() as connection, connection.transaction():
        due = await connection.fetch(query("attempts", "due"), batch)
        leased = await connection.fetch(_LEASE, [row["person_id"] for row in due], [row["id"] for row in due], LEASE_S)
        if tell:
            told = [
                AttemptAllowed(
                    person_id=row["person_id"], case_id=row["case_id"], attempt_id=row["id"], channel=row["channel"]
                )
                for row in due
            ]  # fmt: skip
            await events.append(connection, told)
        return len(leased), len(due)


def _turn(variant: Variant) -> Callable[[Pool, int], Awaitable[tuple[int, int]]]:
    match variant:
        case "gate":
            return _through_the_gate
        case "lease and event":
            return lambda pool, batch: _around_it(pool, batch, tell=True)
        case "bare lease":
            return lambda pool, batch: _around_it(pool, batch, tell=False)


async def _work(job: Job) -> None:
    turn = _turn(job.variant)
    async with db.open_pool(job.url, size_max=2) as pool:
        for _ in range(WARM_TURNS):
            await turn(pool, job.batch)
        print("ready", flush=True)
        if (await asyncio.to_thread(sys.stdin.readline)).strip() != "go":
            return
        started_s, cpu_s, leased, looked_at = time.monotonic(), time.process_time(), 0, 0
        for _ in range(job.turns):
            one_leased, one_looked_at = await turn(pool, job.batch)
            leased += one_leased
            looked_at += one_looked_at
        outcome = Outcome(
            leased=leased,
            looked_at=looked_at,
            started_s=started_s,
            ended_s=time.monotonic(),
            cpu_s=time.process_time() - cpu_s,
        )
        print(msgspec.json.encode(outcome).decode(), flush=True)


if __name__ == "__main__":
    uvloop.run(_work(msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)))
