"""Webhooks that cannot be read: parked with words that are true, holding their contacts until they are discarded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from support import command, edge, services, world
from tenderline import cli
from tenderline.config import StripeSettings
from tenderline.core.errors import MalformedWebhookError
from tenderline.core.webhooks import Envelope, Urgency
from tenderline.gateways.stripe import Stripe
from tenderline.store import inbox
from tenderline.store.inbox import NotDeadError
from tenderline.worker import read

UNREADABLE = [
    (b"{not json", "The body is not JSON"),
    (b"[]", "no usable id and type"),
    (b'{"id": "evt_1", "type": "charge.failed", "data": {}}', "evt_1 (charge.failed) names no object"),
]


async def store(pool: Any, body: bytes = b"{not json", *, event_id: str = "evt_1", subject: str | None = None) -> int:
    async with inbox.Inbox(pool) as receiving:
        envelope = Envelope(
            event_id=event_id, event_type="charge.failed", urgency=Urgency.OTHER, body=body, subject=subject
        )
        await receiving.receive("stripe", envelope)
    found: int = await pool.fetchval("SELECT id FROM inbox WHERE event_id = $1", event_id)
    return found


async def kill(pool: Any, **more: Any) -> int:
    inbox_id = await store(pool, **more)
    await pool.execute("UPDATE inbox SET state = 'dead', error = 'KeyError: x' WHERE id = $1", inbox_id)
    return inbox_id


async def discard(pool: Any, *ids: int) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await inbox.discard(connection, ids, by="eve@example.org", why="a test of theirs")


async def states(pool: Any) -> list[str]:
    return [row["state"] for row in await pool.fetch("SELECT state FROM inbox ORDER BY id")]


async def audited(pool: Any) -> tuple[str, dict[str, Any]]:
    row = await pool.fetchrow("SELECT actor, data::text FROM audit WHERE action = 'dead_letters.discard'")
    return row["actor"], json.loads(row["data"])


@pytest.mark.parametrize(("body", "wrong"), UNREADABLE)
async def test_what_can_never_be_read_is_parked_at_its_first_try_in_words_that_are_true(pool, body, wrong):
    inbox_id = await store(pool, body)
    stripe = Stripe(StripeSettings())
    await read.read_some(services.make(pool, gateways=[stripe]))
    await stripe.close()
    async with pool.acquire() as connection:
        (dead,) = await inbox.dead(connection)
    assert (dead.id, dead.tries) == (inbox_id, 1)
    assert wrong in dead.why
    assert "It is stored" in dead.why
    assert "not stored" not in dead.why
    assert f"`tenderline replay --webhook {inbox_id}`" in dead.why
    assert f"`tenderline replay --discard {inbox_id} --why …`" in dead.why


async def test_however_long_the_reason_the_next_step_is_kept(pool):
    inbox_id = await store(pool)

    async def handle(_, __):
        raise MalformedWebhookError("x" * 2000)

    await inbox.read_one(pool, inbox_id, handle)
    why = await pool.fetchval("SELECT error FROM inbox")
    assert len(why) == inbox.ERROR_LENGTH_MAX
    assert why.endswith("--why …`.")


async def test_a_dead_webhook_holds_its_contact_until_it_is_discarded(pool):
    debtor = await world.make_debtor(pool)
    inbox_id = await kill(pool, subject=f"stripe:{debtor.transaction_id}")
    assert not (await world.claim(pool)).leased
    await discard(pool, inbox_id)
    await pool.execute("UPDATE attempt SET due_at = now()")
    assert len((await world.claim(pool)).leased) == 1
    assert await audited(pool) == ("eve@example.org", {"webhooks": [inbox_id], "why": "a test of theirs"})


async def test_only_what_is_dead_can_be_discarded_all_of_it_or_none(pool):
    dead, unread = await kill(pool), await store(pool, event_id="evt_2")
    for ids in ((unread,), (dead, unread), (dead, 4711)):
        with pytest.raises(NotDeadError):
            await discard(pool, *ids)
    assert await states(pool) == ["dead", "unread"]
    await discard(pool, dead)
    with pytest.raises(NotDeadError, match="to be discarded: webhook"):
        await discard(pool, dead)


async def test_what_was_discarded_can_be_brought_back(pool):
    inbox_id = await kill(pool)
    await discard(pool, inbox_id)
    async with pool.acquire() as connection:
        assert await inbox.replay(connection, [inbox_id, 4711]) == [inbox_id]
    assert await states(pool) == ["unread"]


@pytest.mark.parametrize(
    "words",
    ["--discard 1", "--discard 1 --why", "--discard 1 --all --why x", "--all --why x", f"--webhook {2**63}"],
)
def test_the_command_discards_nothing_without_a_reason_or_beside_a_replay(words):
    given = words.split() + (["\t "] if words.endswith("--why") else [])
    assert CliRunner().invoke(cli.app, ["replay", *given]).exit_code == 2


async def test_the_command_discards_with_a_reason_and_writes_it_down(pool, database_url, tmp_path):
    first, second = await kill(pool), await kill(pool, event_id="evt_2")
    environment = command.environment_of(database_url, tmp_path)

    async def run(*words: str) -> tuple[int, str]:
        code, out, err = await command.run("replay", *words, environment=environment)
        assert "Traceback" not in err
        return code, out + err

    assert (await run("--discard", str(first), "--discard", "4711", "--why", "x"))[0] == 1
    assert await states(pool) == ["dead", "dead"]
    assert (await run("--discard", str(first), "--why", "a test of theirs", "--json"))[0] == 0
    assert await states(pool) == ["discarded", "dead"]
    actor, data = await audited(pool)
    assert actor.startswith("cli:")
    assert data == {"webhooks": [first], "why": "a test of theirs"}
    code, out = await run("--all", "--json")
    assert (code, json.loads(out)) == (0, {"jobs": 0, "webhooks": 1})
    row = await pool.fetchrow("SELECT actor, data::text FROM audit WHERE action = 'dead_letters.replay'")
    assert json.loads(row["data"]) == {"jobs": [], "webhooks": [second]}
    await run("--job", "4711")
    assert await pool.fetchval("SELECT count(*) FROM audit") == 2, "nothing was done, so nothing is written down"


async def test_the_screen_asks_why_before_it_discards_one_webhook(pool):
    first, second = await kill(pool, subject="+12025550143"), await kill(pool, event_id="evt_2")
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool))
        path = f"/dead-letters/webhooks/{first}/discard"
        assert path in (await http.get("/dead-letters")).text
        confirm = await http.get(path)
        assert confirm.status_code == 200
        assert "may have been an opt-out" in confirm.text
        assert "+1 202 ••• 0143" in confirm.text
        assert await states(pool) == ["dead", "dead"], "looking changes nothing"
        data = {"csrf_token": edge.csrf_of(confirm.text)}
        assert (await http.post(path, data={**data, "why": "  "})).status_code == 422
        assert (await http.post(path, data={**data, "why": "a test"})).headers["location"] == "/dead-letters"
        assert await states(pool) == ["discarded", "dead"]
        assert (await http.post(path, data={**data, "why": "a test"})).status_code == 409
        for gone in (first, 4711, 0, 10**30):
            assert (await http.get(f"/dead-letters/webhooks/{gone}/discard")).status_code == 404
        assert (
            await http.post(f"/dead-letters/webhooks/{10**30}/discard", data={**data, "why": "x"})
        ).status_code == 404
        assert str(second) in (await http.get("/dead-letters")).text
    assert await audited(pool) == ("supervisor@example.org", {"webhooks": [first], "why": "a test"})


@pytest.mark.parametrize("role", ["viewer", "agent", "compliance"])
async def test_who_may_not_discard_is_not_offered_to(pool, role):
    inbox_id = await kill(pool)
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool, role))
        assert "/discard" not in (await http.get("/dead-letters")).text
        assert (await http.get(f"/dead-letters/webhooks/{inbox_id}/discard")).status_code == 403
