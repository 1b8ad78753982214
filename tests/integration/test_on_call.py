"""What a flow asks of the rest of the system while somebody is on the line: a text, another system, a call back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from uuid import UUID

import pytest
from aiohttp import web

from support import receiver as other
from support import services, world
from support.live_calls import make_call
from tenderline.campaigns import calling
from tenderline.core.money import Money
from tenderline.outgoing import register
from tenderline.outgoing.asking import Asker
from tenderline.outgoing.sender import Sender
from tenderline.people import consent
from tenderline.store.calling_campaigns import CallingCampaign
from tenderline.voice.backstage import DatabaseBackstage

OURS = "+18005550100"


@dataclass
class OnTheLine:
    caller: str | None
    called: str = OURS
    conversation_id: UUID = UUID(int=7)  # noqa: RUF009  # it never changes


@pytest.fixture
async def backstage(pool):
    made = services.make(
        pool,
        messengers=[services.message_class("sms")],
        voice__caller_ids=OURS,
        voice__callback_campaign="back",
    )
    one = DatabaseBackstage(made)
    yield one
    await one.close()


async def test_a_caller_gets_the_link_to_pay_as_her_own_wish_through_the_gate(backstage, pool):
    debtor = await world.make_debtor(pool, attempts_due=0)
    assert await backstage.message(OnTheLine(debtor.address), template="pay_link", values={})
    row = await pool.fetchrow("SELECT * FROM attempt")
    assert (row["channel"], row["purpose"], row["case_id"]) == ("sms", "servicing", debtor.case_id)
    assert row["own_act_at"] is not None


async def test_when_the_database_refuses_nobody_could_be_told_of_distress_and_the_flow_says_so(backstage, pool):
    assert not await backstage.alert(OnTheLine("+12125550144"), reason="a call that is in no book")
    call = OnTheLine("+12125550144", conversation_id=await make_call(pool, "+12125550144"))
    await pool.execute("ALTER TABLE alert ADD CONSTRAINT none CHECK (kind <> 'distress')")
    assert not await backstage.alert(call, reason="the key")
    await pool.execute("ALTER TABLE alert DROP CONSTRAINT none")
    assert await backstage.alert(call, reason="the key")


@pytest.mark.parametrize("template", ["pay_link", "poem"])
async def test_nothing_is_sent_to_strangers_or_of_unknown_kind(backstage, pool, template):
    debtor = await world.make_debtor(pool, attempts_due=0)
    strangers = [None, "+12125550199"] if template == "pay_link" else [debtor.address]
    for caller in strangers:
        assert not await backstage.message(OnTheLine(caller), template=template, values={})
    assert await pool.fetchval("SELECT count(*) FROM attempt") == 0


async def test_a_text_to_somebody_who_said_stop_by_text_is_refused(backstage, pool):
    debtor = await world.make_debtor(pool, attempts_due=0)
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(
            connection, debtor.person_id, channel="sms", address=debtor.address, how="reply", evidence="STOP"
        )
    assert not await backstage.message(OnTheLine(debtor.address), template="pay_link", values={})
    assert await pool.fetchval("SELECT state FROM attempt") == "suppressed"


async def put_campaign(backstage, pool):
    async with pool.acquire() as connection, connection.transaction():
        wanted = CallingCampaign(name="back", queue="general", caller_id=OURS, purpose="servicing")
        await calling.put(backstage._services, connection, wanted, by="test")


async def test_a_callback_is_a_call_of_an_agent_that_the_gate_lets_pass(backstage, pool):
    await put_campaign(backstage, pool)
    assert await backstage.call_back(OnTheLine(None), number="+12125550144", due_at=None)
    row = await pool.fetchrow("SELECT a.* FROM attempt a JOIN callback c ON c.attempt_id = a.id")
    assert (row["channel"], row["template"], row["state"]) == ("voice_live", "back", "planned")
    assert row["own_act_at"] is not None
    kept = await pool.fetchrow("SELECT campaign, not_after, person_id, why FROM callback")
    assert tuple(kept) == ("back", row["not_after"], row["person_id"], None), "moved, it is planned there again"


async def test_a_callback_without_its_campaign_is_still_noted(backstage, pool):
    assert await backstage.call_back(OnTheLine("+12125550144"), number=None, due_at=None)
    assert await pool.fetchval("SELECT attempt_id FROM callback") is None
    assert await pool.fetchval("SELECT count(*) FROM callback") == 1
    assert await pool.fetchval("SELECT not_after > due_at AND why IS NOT NULL FROM callback")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return other.make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def crm(certificate):
    async with other.receiving(certificate[0]) as made:
        yield made


@pytest.fixture
async def asking(pool, certificate, crm, monkeypatch):
    made = services.make(pool, webhooks__allowed_networks="127.0.0.0/8", webhooks__ca_file=str(certificate[1]))

    async def lookup(host, port):
        return ["127.0.0.1"]

    async def usable(url, policy):
        return None

    monkeypatch.setattr(register.addresses, "require_usable", usable)
    _, secret = await register.add(made, crm.url, [], by="test", asked_as="crm_check")
    one = DatabaseBackstage(made)
    await one.close()
    one._asker = Asker(made, Sender(made.settings.webhooks, lookup=lookup))
    yield one, secret
    await one.close()


async def test_another_system_is_asked_signed_and_its_answer_taken(asking, crm):
    backstage, secret = asking

    async def answer(request):
        return web.json_response({"tier": "gold", "since": 2019, "vip": True, "list": [1], "ratio": 0.5, "none": None})

    crm.answers.append(answer)
    values = {"gift": Money(2500, "USD"), "name": "Ada"}
    found = await backstage.post(OnTheLine("+12125550144"), endpoint="crm_check", values=values, timeout_s=20)
    assert found == {"tier": "gold", "since": 2019, "vip": True, "none": None}
    assert len(crm.ids(secret)) == 1
    question = json.loads(crm.got[0].body)
    assert question["type"] == "call.asked"
    assert question["caller"] == "+12125550144"
    assert question["values"] == {"gift": {"amountMinor": 2500, "currency": "USD"}, "name": "Ada"}


@pytest.mark.parametrize("body", [b"[1]", b"nonsense", b"{" + b" " * 20_000 + b"}"])
async def test_what_is_no_answer_is_none(asking, crm, body):
    backstage, _ = asking

    async def answer(request):
        return web.Response(body=body)

    crm.answers.append(answer)
    assert await backstage.post(OnTheLine(None), endpoint="crm_check", values={}, timeout_s=20) is None


async def test_a_refusal_a_stranger_and_a_silent_system(asking, crm):
    backstage, _ = asking
    crm.answers.append(500)
    assert await backstage.post(OnTheLine(None), endpoint="crm_check", values={}, timeout_s=20) is None
    assert await backstage.post(OnTheLine(None), endpoint="nobody", values={}, timeout_s=20) is None

    async def silent(request):
        await asyncio.sleep(30)
        return web.Response()

    crm.answers.append(silent)
    with pytest.raises(TimeoutError):
        await backstage.post(OnTheLine(None), endpoint="crm_check", values={}, timeout_s=0.3)
