"""Webhooks to others in the database: one row for each event and endpoint, leased, tried on a schedule, sent again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from support import receiver as other
from support import services, world
from support.receiver import Receiver
from support.told import BOTH, come_due, endpoint, newest, stop, tell
from tenderline.core import standard_webhooks
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError
from tenderline.messengers.base import Channel, IncomingMessage
from tenderline.outgoing.delivery import PAUSES_S, Deliveries
from tenderline.people import consent, replies
from tenderline.store import outgoing, webhook_endpoints, webhook_replay
from tenderline.store.webhook_endpoints import KEY_PURPOSE, EndpointStateError, NoEndpointError

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with other.receiving() as made:
        yield made


@pytest.fixture
async def made(pool: Any) -> Any:
    return services.make(pool, webhooks__http_on_loopback=True, webhooks__timeout_s=5)


@pytest.fixture
async def deliveries(made: Any) -> AsyncIterator[Deliveries]:
    opened = Deliveries(made)
    yield opened
    await opened.close()


async def send(deliveries: Deliveries) -> int:
    """One turn of the worker's loop, to its end."""
    did = await deliveries.send_due()
    await deliveries.finish()
    return did


async def replay(pool: Any, since: datetime = YESTERDAY, **options: Any) -> int:
    async with pool.acquire() as connection, connection.transaction():
        return await webhook_replay.replay(connection, since, by="test", **options)


async def found(pool: Any, endpoint_id: UUID) -> Any:
    async with pool.acquire() as connection:
        return await webhook_endpoints.get(connection, endpoint_id)


async def test_a_stop_by_text_and_a_start_reach_the_crm_signed(made, pool, receiver, deliveries):
    _, secret = await endpoint(made, receiver.url)
    debtor = await world.make_debtor(pool)
    reactor = services.Reactor(made, times=2)  # each reaction twice: nobody is told twice
    for text in ("STOP", "START"):
        async with pool.acquire() as connection, connection.transaction():
            message = IncomingMessage(
                channel=Channel.SMS, sender=debtor.address, text=text, provider_reference=f"SM{text}"
            )
            await replies.on_message(connection, message, utc_now())
        await reactor.settle()
        assert await send(deliveries) == 1
    assert len(set(receiver.ids(secret))) == 2
    told = [json.loads(one.body) for one in receiver.got]
    assert [one["type"] for one in told] == BOTH
    assert [one["data"]["globalOptOutStatus"] for one in told] == ["TRUE", "FALSE"]
    for one in told:
        assert one["data"]["personId"] == str(debtor.person_id)
        assert one["data"]["phoneNumbers"] == [one["data"]["address"]] == [debtor.address]
        assert (one["data"]["channel"], one["data"]["how"]) == ("sms", "reply")
    assert "STOP" not in str(receiver.got[0].body), "her words are nobody else's business"
    rows = await pool.fetch("SELECT state, tries, last_status FROM outgoing_webhook")
    assert [tuple(row) for row in rows] == [("delivered", 1, 200)] * 2
    ids = {f"msg_{row['id'].hex}" for row in await pool.fetch("SELECT id FROM event WHERE kind LIKE 'PersonOpted%'")}
    assert set(receiver.ids(secret)) == ids, "a message's id is that of its event"


async def test_what_is_rolled_back_is_told_to_nobody(made, pool, receiver):
    await endpoint(made, receiver.url)
    person_id, _, address = await world.make_person(pool)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await consent.opt_out(connection, person_id, channel="sms", address=address, how="reply", evidence="x")
        assert await outgoing.tell(connection, person_id) == 1
        await transaction.rollback()
    assert await tell(pool, person_id) == 0
    assert await pool.fetchval("SELECT count(*) FROM outgoing_webhook") == 0


async def test_each_receiver_is_told_what_it_asked_for_under_one_id(made, pool, receiver):
    person_id, _ = await stop(pool)
    await endpoint(made, receiver.url)
    await endpoint(made, receiver.url, ["contact.opted_in"])
    third, _ = await endpoint(made, receiver.url, ["contact.opted_out"])
    assert await tell(pool, person_id) == 0, "what was before is for a replay"
    other_person, _ = await stop(pool)
    assert await asyncio.gather(*(tell(pool, other_person) for _ in range(3))) == [0, 0, 0]
    rows = await pool.fetch("SELECT endpoint_id, message_id, kind FROM outgoing_webhook")
    assert len(rows) == 2
    assert len({row["message_id"] for row in rows}) == 1
    assert third in {row["endpoint_id"] for row in rows}
    assert {row["kind"] for row in rows} == {"contact.opted_out"}


async def test_reactions_that_race_make_one_row(made, pool, receiver):
    await endpoint(made, receiver.url)
    person_id, _, address = await world.make_person(pool)
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(connection, person_id, channel="sms", address=address, how="reply", evidence="x")
    assert sum(await asyncio.gather(*(tell(pool, person_id) for _ in range(5)))) == 1


async def test_a_receiver_that_is_down_is_tried_again_with_growing_pauses_until_the_last(
    made, pool, receiver, deliveries
):
    _, secret = await endpoint(made, receiver.url)
    await stop(pool)
    receiver.answers.extend([500] * 10)
    for number in range(10):
        assert await send(deliveries) == 1
        row = await newest(pool)
        assert (row["tries"], row["last_status"], row["leased_until"]) == (number + 1, 500, None)
        if number < 9:
            due_in_s = (row["next_try_at"] - datetime.now(UTC)).total_seconds()
            assert PAUSES_S[number] - 10 <= due_in_s <= PAUSES_S[number] * 1.2
            assert await send(deliveries) == 0, "not before its time"
        await come_due(pool)
    assert (row["state"], row["next_try_at"]) == ("failed", None)
    assert await send(deliveries) == 0
    assert len(receiver.got) == 10
    assert len(set(receiver.ids(secret))) == 1, "every try under one id"


async def test_whoever_lost_the_lease_records_nothing_and_the_message_is_sent_again(made, pool, receiver, deliveries):
    _, secret = await endpoint(made, receiver.url)
    await stop(pool)
    (lost,) = await outgoing.lease(pool, lease_s=0.0)  # its worker was killed, or sleeps
    assert await send(deliveries) == 1
    receiver.answers.append(500)
    await deliveries.make(lost)
    row = await newest(pool)
    assert (row["state"], row["tries"]) == ("delivered", 2), "the sleeper changes nothing when it wakes"
    assert len(set(receiver.ids(secret))) == 1
    assert (await found(pool, lost.endpoint_id)).failures == 0


async def test_two_workers_never_send_the_same_message_nor_more_than_the_bound_at_once(made, pool, receiver):
    await endpoint(made, receiver.url)
    for _ in range(12):
        await stop(pool)
    leased = [one for batch in await asyncio.gather(*(outgoing.lease(pool, lease_s=60) for _ in range(5)))
              for one in batch]  # fmt: skip
    assert len({one.id for one in leased}) == len(leased) == outgoing.UNDER_WAY_MAX
    assert await outgoing.lease(pool, lease_s=60) == []


async def test_a_receiver_that_hangs_keeps_no_other_waiting(made, pool, receiver, deliveries):
    await endpoint(made, f"{receiver.url}/slow")
    async with other.receiving() as quick:
        _, secret = await endpoint(made, quick.url)
        receiver.answers.append(other.never)
        await stop(pool)
        await deliveries.send_due()
        async with asyncio.timeout(20):
            while not quick.got:
                await asyncio.sleep(0.01)
        assert quick.ids(secret)


async def test_an_endpoint_that_fails_is_tried_with_one_message_and_then_left_alone(made, pool, receiver, deliveries):
    endpoint_id, _ = await endpoint(made, receiver.url)
    for _ in range(8):
        await stop(pool)
    receiver.answers.extend([500] * 5)
    assert await send(deliveries) == 4
    assert (await found(pool, endpoint_id)).paused_until is None
    assert await send(deliveries) == 1, "the fifth alone"
    state = await found(pool, endpoint_id)
    assert state.failing_since is not None
    assert state.paused_until is not None
    assert await send(deliveries) == 0, "it is left alone"
    await come_due(pool)
    assert await send(deliveries) == 1
    state = await found(pool, endpoint_id)
    assert (state.failures, state.failing_since, state.paused_until) == (0, None, None)
    assert await send(deliveries) == 4, "it is well again"


async def test_a_receiver_that_asks_for_a_pause_gets_it_for_everything(made, pool, receiver, deliveries):
    endpoint_id, _ = await endpoint(made, receiver.url)

    async def busy(request: web.Request) -> web.Response:
        del request
        return web.Response(status=429, headers={"Retry-After": "600"})

    receiver.answers.append(busy)
    await stop(pool)
    await send(deliveries)
    asked_until = datetime.now(UTC) + timedelta(seconds=590)
    assert (await newest(pool))["next_try_at"] > asked_until
    assert (await found(pool, endpoint_id)).paused_until > asked_until
    await stop(pool)
    assert await send(deliveries) == 0


async def test_410_disables_the_endpoint_and_gives_up_what_waits_for_it(made, pool, receiver, deliveries):
    endpoint_id, _ = await endpoint(made, receiver.url)
    await stop(pool)
    await stop(pool)
    receiver.answers.extend([410, 410])
    await send(deliveries)
    state = await found(pool, endpoint_id)
    assert state.disabled_at is not None
    assert "410" in (state.disabled_why or "")
    assert {row["state"] for row in await pool.fetch("SELECT state FROM outgoing_webhook")} == {"failed"}
    assert await send(deliveries) == 0
    await stop(pool)
    assert await pool.fetchval("SELECT count(*) FROM outgoing_webhook") == 2, "it is told nothing more"
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'webhooks.disable'") == 1
    assert await pool.fetchval("SELECT count(*) FROM event WHERE kind = 'WebhookEndpointDisabled'") == 1


async def test_an_endpoint_that_failed_for_five_days_is_disabled_with_an_event(made, pool, receiver, deliveries):
    endpoint_id, _ = await endpoint(made, receiver.url)
    receiver.answers.extend([500, 500])
    await stop(pool)
    await send(deliveries)
    await pool.execute("UPDATE webhook_endpoint SET failing_since = now() - interval '4 days 23 hours'")
    await come_due(pool)
    await send(deliveries)
    assert (await found(pool, endpoint_id)).disabled_at is None
    await pool.execute("UPDATE webhook_endpoint SET failing_since = now() - interval '5 days 1 hour'")
    await come_due(pool)
    receiver.answers.append(500)
    await send(deliveries)
    state = await found(pool, endpoint_id)
    assert "5 days" in (state.disabled_why or "")
    assert (await newest(pool))["state"] == "failed"
    assert await pool.fetchval("SELECT data ->> 'why' FROM event WHERE kind = 'WebhookEndpointDisabled'")


async def test_missed_ones_are_sent_again_under_the_ids_they_had(made, pool, receiver, deliveries):
    endpoint_id, secret = await endpoint(made, receiver.url)
    await stop(pool)
    receiver.answers.append(410)
    await send(deliveries)
    before = receiver.ids(secret)
    await stop(pool)  # while it was disabled
    assert await replay(pool) == 0, "nobody is there to be told"
    with pytest.raises(EndpointStateError):
        await replay(pool, endpoint_id=endpoint_id)
    async with pool.acquire() as connection, connection.transaction():
        await webhook_endpoints.enable(connection, endpoint_id, by="test")
    assert await replay(pool, endpoint_id=endpoint_id) == 2
    assert await replay(pool) == 0, "they are on their way"
    events = {row["id"] for row in await pool.fetch("SELECT id FROM event WHERE kind = 'PersonOptedOut'")}
    assert {row["message_id"] for row in await pool.fetch("SELECT message_id FROM outgoing_webhook")} == events
    assert await send(deliveries) == 2
    names = receiver.ids(secret)
    assert before[0] in names[1:]
    assert len(set(names)) == 2
    assert await replay(pool) == 0, "nothing is missed any more"
    assert await replay(pool, again=True) == 2
    assert await pool.fetchval("SELECT count(*) FROM outgoing_webhook") == 2, "again is the same row"


async def test_an_endpoint_added_later_is_told_by_a_replay_what_it_asked_for(made, pool, receiver, deliveries):
    await stop(pool)
    await endpoint(made, receiver.url, ["contact.opted_in"])
    second, secret = await endpoint(made, f"{receiver.url}/2", ["contact.opted_out"])
    assert await replay(pool, datetime.now(UTC)) == 0
    assert await replay(pool) == 1
    assert (await newest(pool))["endpoint_id"] == second
    await send(deliveries)
    assert receiver.ids(secret)


async def test_a_replay_begins_the_pauses_anew_and_does_not_wait_for_a_long_one(made, pool, receiver, deliveries):
    await endpoint(made, receiver.url)
    await stop(pool)
    receiver.answers.extend([500, 500, 500])
    for _ in range(2):
        await send(deliveries)
        await come_due(pool)
    await send(deliveries)
    assert await replay(pool) == 1
    receiver.answers.append(500)
    assert await send(deliveries) == 1
    row = await newest(pool)
    assert row["tries"] == 4
    assert (row["next_try_at"] - datetime.now(UTC)).total_seconds() <= PAUSES_S[0] * 1.2


async def test_one_delivery_is_sent_again_unless_it_arrived(made, pool, receiver, deliveries):
    await endpoint(made, receiver.url)
    await stop(pool)
    row = await newest(pool)
    await send(deliveries)
    async with pool.acquire() as connection, connection.transaction():
        assert await webhook_replay.replay_chosen(connection, [row["id"]], by="test") == []
        assert "--again" in await webhook_replay.why_not(connection, row["id"])
        assert "no such delivery" in await webhook_replay.why_not(connection, UUID(int=1))
        assert await webhook_replay.replay_chosen(connection, [row["id"]], again=True, by="test") == [row["id"]]
    assert await send(deliveries) == 1


async def test_a_replay_has_bounds(pool):
    with pytest.raises(InvalidInputError, match="90 days"):
        await replay(pool, datetime.now(UTC) - timedelta(days=91))
    with pytest.raises(NoEndpointError):
        await replay(pool, endpoint_id=UUID(int=1))


async def test_what_is_over_for_long_is_forgotten_and_nothing_else(made, pool, receiver):
    await endpoint(made, receiver.url)
    for _ in range(3):
        await stop(pool)
    await pool.execute("UPDATE outgoing_webhook SET created_at = now() - interval '101 days'")
    await pool.execute("""UPDATE outgoing_webhook SET state = 'delivered'
        WHERE id = (SELECT id FROM outgoing_webhook LIMIT 1)""")
    async with pool.acquire() as connection, connection.transaction():
        await outgoing.sweep(connection)
    assert await pool.fetchval("SELECT count(*) FROM outgoing_webhook") == 2


async def test_a_changed_secret_is_used_at_once_and_the_old_one_for_a_day(made, pool, receiver, deliveries):
    endpoint_id, old = await endpoint(made, receiver.url)
    async with pool.acquire() as connection, connection.transaction():
        new = await webhook_endpoints.rotate_secret(connection, endpoint_id, made.key_for(KEY_PURPOSE), by="test")
    await stop(pool)
    await send(deliveries)
    assert receiver.ids(new) == receiver.ids(old)
    left = await pool.fetchval("SELECT old_secret_until - now() FROM webhook_endpoint")
    assert timedelta(hours=23) < left <= timedelta(hours=24)
    await pool.execute("UPDATE webhook_endpoint SET old_secret_until = now() - interval '1 second'")
    await stop(pool)
    await send(deliveries)
    receiver.got.pop(0)
    assert receiver.ids(new)
    with pytest.raises(other.WrongSignature):
        receiver.ids(old)


async def test_the_database_does_not_hold_a_secret_that_could_sign(made, pool, receiver, deliveries):
    _, secret = await endpoint(made, receiver.url)
    (row,) = await pool.fetch("SELECT * FROM webhook_endpoint")
    assert standard_webhooks.key_of(secret) not in row["secret"]
    everything = str([tuple(one) for one in await pool.fetch("SELECT action, subject, data::text FROM audit")])
    assert secret not in everything
    await pool.execute("UPDATE webhook_endpoint SET secret = $1", bytes(row["secret"])[:-1] + b"\0")
    await stop(pool)
    await send(deliveries)
    row = await newest(pool)
    assert "secret_key" in row["why"]
    assert row["state"] == "waiting", "it goes out once that is put right"
    assert receiver.got == []


async def test_a_log_line_of_a_failure_holds_no_address_and_no_path(made, pool, receiver, deliveries, capsys, caplog):
    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=500, body=await request.read())

    await endpoint(made, f"{receiver.url}/token-in-the-path?key=secret")
    _, address = await stop(pool)
    receiver.answers.append(echo)
    await send(deliveries)
    printed = capsys.readouterr()
    said = printed.out + printed.err + caplog.text  # wherever this process logs to
    assert "webhook not delivered" in said
    for hidden in (address, "token-in-the-path", "key=secret", "STOP it"):
        assert hidden not in said


async def test_an_endpoint_that_is_removed_leaves_nothing(made, pool, receiver, deliveries):
    endpoint_id, _ = await endpoint(made, receiver.url)
    await stop(pool)
    (due,) = await outgoing.lease(pool, lease_s=60)
    async with pool.acquire() as connection, connection.transaction():
        await webhook_endpoints.remove(connection, endpoint_id, by="test")
        with pytest.raises(NoEndpointError):
            await webhook_endpoints.remove(connection, endpoint_id, by="test")
    await deliveries.make(due)
    assert await pool.fetchval("SELECT count(*) FROM outgoing_webhook") == 0
