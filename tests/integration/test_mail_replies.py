"""A reply by e-mail from a mail server's pipe to silence."""

from __future__ import annotations

from support import command, world
from support import services as world_services
from support.command import environment_of
from tenderline.messengers.mail_replies import MailReplies, envelope_of
from tenderline.store import inbox
from tenderline.worker import read


def mail(sender, text, number=1):
    return f"From: {sender}\nSubject: Re: x\nMessage-ID: <{number}@x>\n\n{text}\n".encode()


async def receive(pool, raw):
    async with inbox.Inbox(pool) as box:
        await box.receive("mail", envelope_of(raw))


async def silent(pool):
    return await pool.fetchval("SELECT count(*) FROM person WHERE opted_out_at IS NOT NULL")


def services_of(pool):
    services = world_services.make(pool)
    services.inbound[MailReplies.name] = MailReplies()
    return services


async def test_a_stop_by_mail_holds_at_once_and_silences_when_it_is_read(pool):
    debtor = await world.make_debtor(pool, channel="email")
    await receive(pool, mail(debtor.address, "Please unsubscribe me"))
    assert not (await world.claim(pool)).leased
    assert await read.read_some(services_of(pool)) == 1
    assert await silent(pool) == 1
    assert await pool.fetchval("SELECT opted_out_by FROM person WHERE opted_out_at IS NOT NULL") == (
        f"email:{debtor.address}"
    )


async def test_a_start_by_mail_lifts_nothing_for_anybody_can_write_in_her_name(pool):
    debtor = await world.make_debtor(pool, channel="email")
    services = services_of(pool)
    await receive(pool, mail(debtor.address, "STOP", 1))
    await read.read_some(services)
    await receive(pool, mail(debtor.address, "START", 2))
    await read.read_some(services)
    assert await silent(pool) == 1
    assert await pool.fetchval("SELECT review_at IS NOT NULL FROM person WHERE id = $1", debtor.person_id)


async def test_a_strangers_mail_leaves_no_trace_unless_it_says_stop(pool):
    services = services_of(pool)
    await receive(pool, mail("spam@example.com", "Buy this", 1))
    await read.read_some(services)
    assert await pool.fetchval("SELECT count(*) FROM person") == 0
    await receive(pool, mail("her@example.com", "stop writing to me", 2))
    await read.read_some(services)
    assert await silent(pool) == 1


async def test_a_mail_servers_pipe_is_answered_as_mail_servers_want_it(database_url, pool, tmp_path):
    async def pipe(message, url=database_url):
        code, _, _ = await command.run("mail", "receive", environment=environment_of(url, tmp_path), stdin=message)
        return code

    assert await pipe(mail("a@example.org", "STOP")) == 0
    assert await pool.fetchval("SELECT count(*) FROM inbox WHERE source = 'mail'") == 1
    assert await pipe(b"no sender\n\n") == 65
    assert await pipe(mail("a@example.org", "STOP"), "postgresql://127.0.0.1:1/none") == 75
