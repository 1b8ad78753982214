"""Alerts: one open one of a kind for a conversation, taken by one supervisor, closed with a note."""

from __future__ import annotations

import asyncio

import pytest

from tenderline.core.errors import NotFoundError
from tenderline.core.ids import uuid7
from tenderline.store import alerts


async def test_reports_at_once_of_one_conversation_make_one_alert_and_others_one_each(pool):
    call = uuid7()

    async def report(kind, conversation):
        async with pool.acquire() as connection, connection.transaction():
            return await alerts.raise_one(connection, kind, conversation, None, {"words": "forced"})

    found = await asyncio.gather(*(report("distress", call) for _ in range(8)))
    assert len(set(found)) == 1
    others = {await report("escalation", call), await report("distress", uuid7())}
    async with pool.acquire() as connection:
        shown = await alerts.open_ones(connection)
    assert {one.id for one in shown} == {found[0], *others}
    assert [one.kind for one in shown][:2] == ["distress", "distress"], "people in distress come first"
    assert shown[0].detail == {"words": "forced"}


async def test_overdue_callbacks_are_one_each_also_of_one_call(pool):
    call, first, second = uuid7(), str(uuid7()), str(uuid7())
    async with pool.acquire() as connection, connection.transaction():
        made = [
            await alerts.raise_one(connection, "callback_overdue", call, None, {"callback_id": one})
            for one in (first, second, first)
        ]
    assert made[0] == made[2] != made[1]


async def test_an_alert_is_one_supervisors_and_is_closed_once(pool):
    async with pool.acquire() as connection, connection.transaction():
        raised = await alerts.raise_one(connection, "distress", uuid7(), None, {})
        assert (await alerts.take(connection, raised, "sue@example.org")).taken_by == "sue@example.org"
        assert (await alerts.take(connection, raised, "sue@example.org")).taken_by == "sue@example.org"
        with pytest.raises(alerts.AlertTakenError, match=r"sue@example\.org"):
            await alerts.take(connection, raised, "tom@example.org")
        await alerts.close(connection, raised, "tom@example.org", "spoke with her")
        assert await alerts.open_ones(connection) == []
        with pytest.raises(NotFoundError):
            await alerts.close(connection, raised, "tom@example.org", "again")
        actions = [row["action"] for row in await connection.fetch("SELECT action FROM audit ORDER BY number")]
        assert actions == ["alert_taken", "alert_closed"]


async def test_a_closed_alert_may_be_raised_again(pool):
    call = uuid7()
    async with pool.acquire() as connection, connection.transaction():
        first = await alerts.raise_one(connection, "escalation", call, None, {})
        await alerts.close(connection, first, "sue@example.org", "done")
        second = await alerts.raise_one(connection, "escalation", call, None, {})
    assert first != second
