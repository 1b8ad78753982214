"""What people write back: STOP in any form silences everything, START takes back only its own, doubt holds."""

import pytest

from support import services as world_services
from support import world
from tenderline.core.clock import utc_now
from tenderline.messengers.base import Channel, IncomingMessage
from tenderline.people import replies


@pytest.fixture
def services(pool):
    return world_services.make(pool, gateways=[world_services.KnowsNobody()])


async def write(pool, sender, text):
    async with pool.acquire() as connection, connection.transaction():
        message = IncomingMessage(channel=Channel.SMS, sender=sender, text=text, provider_reference="SM1")
        await replies.on_message(connection, message, utc_now())


async def is_silent(pool, debtor):
    return await pool.fetchval("SELECT opted_out_at IS NOT NULL FROM person WHERE id = $1", debtor.person_id)


@pytest.mark.parametrize("text", ["STOP", "stop.", "Stop please!", "unsubscribe", "ARRÊT", "alto", "Please remove me"])
async def test_a_stop_silences_every_channel_with_evidence(pool, text):
    debtor = await world.make_debtor(pool)
    await write(pool, debtor.address, text)
    assert await is_silent(pool, debtor)
    evidence = await pool.fetchval(
        "SELECT evidence FROM consent WHERE person_id = $1 AND NOT granted", debtor.person_id
    )
    assert evidence == text
    assert (await world.claim(pool)).suppressed == 1
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action = 'opt_out'") == 1


@pytest.mark.parametrize("at", [501, 1550])
async def test_a_stop_at_the_end_of_a_long_reply_is_heard(pool, at):
    debtor = await world.make_debtor(pool)
    await write(pool, debtor.address, "well, " * (at // 6) + "please unsubscribe me")
    assert await is_silent(pool, debtor)


async def test_start_takes_back_a_stop_from_the_same_number_and_no_other(pool):
    debtor = await world.make_debtor(pool)
    await write(pool, debtor.address, "STOP")
    await pool.execute(
        "INSERT INTO contact_point (person_id, id, kind, value) VALUES ($1, gen_random_uuid(), 'phone', $2)",
        debtor.person_id,
        "+442079460999",
    )
    await write(pool, "+442079460999", "START")
    assert await is_silent(pool, debtor)
    await write(pool, debtor.address, "START")
    assert not await is_silent(pool, debtor)


async def test_a_stranger_who_says_stop_is_silent_when_she_becomes_known(pool):
    await write(pool, "+442079460998", "STOP")
    row = await pool.fetchrow(
        "SELECT p.opted_out_at FROM person p JOIN contact_point c ON c.person_id = p.id WHERE c.value = '+442079460998'"
    )
    assert row["opted_out_at"] is not None


async def test_what_may_mean_stop_holds_her_cases_until_somebody_has_read_it(pool, services):
    debtor = await world.make_debtor(pool)
    reactor = world_services.Reactor(services, times=2)
    await write(pool, debtor.address, "stop by tomorrow?")
    await reactor.settle()
    row = await pool.fetchrow("SELECT state, held_by FROM recovery_case")
    assert (row["state"], row["held_by"]) == ("held", "review")
    assert not await is_silent(pool, debtor)
    assert (await world.claim(pool)).deferred == 1


async def test_a_card_number_in_a_reply_is_never_kept(pool):
    debtor = await world.make_debtor(pool)
    card = "4242424242" + "424242"
    await write(pool, debtor.address, f"STOP my card is {card}")
    everything = str(await pool.fetch("SELECT data::text FROM event")) + str(await pool.fetch("SELECT * FROM consent"))
    assert card not in everything
    assert await is_silent(pool, debtor)


async def test_reading_a_reply_twice_changes_nothing_more(pool):
    debtor = await world.make_debtor(pool)
    await write(pool, debtor.address, "STOP")
    first = await pool.fetchval("SELECT opted_out_at FROM person WHERE id = $1", debtor.person_id)
    await write(pool, debtor.address, "STOP")
    assert await pool.fetchval("SELECT opted_out_at FROM person WHERE id = $1", debtor.person_id) == first
    assert await pool.fetchval("SELECT count(*) FROM event WHERE data ->> 'kind' = 'PersonOptedOut'") == 1
