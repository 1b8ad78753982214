"""kill -9 and SIGSTOP at every step between lease and record: nobody is messaged twice, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from support import world
from support.product import open_town, until
from tenderline.store import db

KILLED = -signal.SIGKILL
STEPS = [
    "kill:after:claim",  # leased, and nobody knows what it would have said
    "kill:before:write",
    "kill:before:hand_over",
    "kill:after:hand_over",  # marked as on its way, nothing sent
    "kill:before:send",
    "kill:after:send",  # the carrier took it, nobody recorded it
    "kill:before:record",
    "kill:after:record",  # recorded, not committed
]


@pytest.fixture
async def town(database_url, tmp_path):
    tmp_path.chmod(0o755)
    async with open_town(database_url, tmp_path) as opened:
        yield opened


async def settled(town, count):
    rows = await town.fetch("SELECT state FROM attempt")
    return len(rows) == count and all(row["state"] in ("accepted", "delivered") for row in rows)


@pytest.mark.parametrize("step", STEPS)
async def test_a_worker_killed_at_any_step_neither_forgets_nor_repeats_a_message(town, step):
    async with db.open_pool(town.database_url, size_max=2) as pool:
        debtors = [await world.make_debtor(pool) for _ in range(3)]
    doomed = await town.start("work", fatal=step)
    assert await asyncio.wait_for(doomed.wait(), 60) == KILLED, "the worker should have died at that step"
    survivor = await town.start("work")
    await until(lambda: settled(town, len(debtors)), "every message to be settled")
    for debtor in debtors:
        assert len(town.texts(debtor.address)) == 1, f"{debtor.address} was messaged {len(town.texts(debtor.address))}x"
    await town.stop(survivor)


@pytest.mark.parametrize("step", ["stop:after:hand_over", "stop:before:send", "stop:after:send", "stop:before:record"])
async def test_a_worker_that_slept_through_its_lease_changes_nothing_when_it_wakes(town, step):
    async with db.open_pool(town.database_url, size_max=2) as pool:
        debtor = await world.make_debtor(pool)
    sleeper = await town.start("work", fatal=step)
    await until(lambda: _is_stopped(sleeper.pid), "the worker to be stopped at that step")
    other = await town.start("work")
    await until(lambda: settled(town, 1), "the other worker to settle the message")
    before = (await town.fetch("SELECT fence, state, provider_ref FROM attempt"))[0]
    os.kill(sleeper.pid, signal.SIGCONT)
    # Awake again, it finishes what it was at; then it is stopped like any other, which lets that end first.
    await town.stop(sleeper)
    after = (await town.fetch("SELECT fence, state, provider_ref FROM attempt"))[0]
    assert len(town.texts(debtor.address)) == 1
    assert (after["fence"], after["provider_ref"]) == (before["fence"], before["provider_ref"])
    assert after["fence"] > 1, "the lease was taken away from the sleeper"
    await town.stop(other)


def _is_stopped(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] == "T"


async def test_two_workers_side_by_side_message_each_person_once(town):
    async with db.open_pool(town.database_url, size_max=2) as pool:
        debtors = [await world.make_debtor(pool, attempts_due=2) for _ in range(40)]
    workers = [await town.start("work") for _ in range(2)]
    await until(lambda: len(town.texts()) >= len(debtors), "every message to leave")
    for worker in workers:
        await town.stop(worker)
    assert len(town.texts()) == len(debtors)
    assert len({one.to for one in town.texts()}) == len(debtors)
