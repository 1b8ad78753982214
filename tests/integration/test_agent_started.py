"""What an agent asks of a live call, by the API and on its page; the node that answers is its real half of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import msgspec
import pytest
from pydantic import SecretStr

from support import bank_town, edge, services, telephone_money, world
from tenderline.config import StripeSettings
from tenderline.core.facts import FactKind, PaymentFact
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.desk import secure
from tenderline.flows.call import CardKeyed
from tenderline.gateways.stripe import Stripe
from tenderline.payments import agent_started, settle, telephone
from tenderline.store import captures, conversations, live_commands, secure_sessions, voice_nodes
from tenderline.voice.backstage import DatabaseBackstage
from tenderline.voice.commands import Commands
from tenderline.voice.orders import Orders
from tenderline.voice.secure_payment import TooLateError
from tenderline.worker.run import Worker

CARD = "4242" * 4


@pytest.fixture
async def http(pool):
    async with edge.client(services.make(pool)) as made:
        yield made


@pytest.fixture
async def header(http, pool):
    return await edge.token(http, pool, "contactcenter:read", "oauth:api:callcenter")


class Live:
    """A call that lasts, with a caller and an agent."""

    def __init__(self) -> None:
        self.node, self.call, self.caller, self.agent = uuid7(), uuid7(), uuid7(), uuid7()

    @property
    def path(self):
        return f"/api/v2/conversations/{self.call}/participants/{self.caller}/secureivrsessions"


@pytest.fixture
async def live(pool):
    made, at = Live(), datetime.now(UTC)
    async with pool.acquire() as connection:
        await voice_nodes.register(connection, made.node, "192.0.2.1:5060", 150)
        started = conversations.Started(
            made.call, made.node, "inbound", "+12025550100", "gifts", "spring", "welcome", None, None, at
        )
        await conversations.start(connection, started)
        await conversations.join(connection, made.call, made.caller, "caller", "+12025550100", at)
        await conversations.join(connection, made.call, made.agent, "agent", "anna", at)
    return made


@pytest.fixture
async def orders(pool, live):
    """The node takes orders of this call."""
    made = Orders()
    commands = Commands(pool, lambda: live.node, lambda call: made if call == live.call else None)
    commands.start()
    yield made
    await commands.close()


async def taken(orders):
    async with asyncio.timeout(10):
        order = await orders.next()
    order.answered.set_result({"state": "PENDING"})
    return order


async def start(http, header, live, orders, **body):
    orders.open()
    asked = asyncio.create_task(
        http.post(live.path, json={"amount": "25.00", "currency": "USD", **body}, headers=header)
    )
    order = await taken(orders)
    return order, await asked


async def test_it_reaches_the_node_once_and_its_progress_and_end_can_be_read(http, header, live, orders, pool):
    order, answer = await start(http, header, live, orders, mode="attended", userData={"fund": "Well 7"})
    assert answer.status_code == 200, answer.text
    session = answer.json()
    assert (session["state"], session["sourceParticipantId"]) == ("PENDING", str(live.agent))
    assert order.detail["amount_minor"] == 2500
    assert order.detail["values"] == {"fund": "Well 7"}
    again = await http.post(
        live.path,
        json={"amount": "25.00", "currency": "USD", "mode": "attended", "userData": {"fund": "Well 7"}},
        headers=header,
    )
    assert again.json()["id"] == session["id"]
    other = await http.post(live.path, json={"amount": "26.00", "currency": "USD"}, headers=header)
    assert other.json()["code"] == "secure_session.already_open"
    async with pool.acquire() as connection:
        so_far = secure_sessions.Progress(field="number", count=7, brand="visa")
        await secure_sessions.progress(connection, session["id"], so_far)
    read = (await http.get(f"{live.path}/{session['id']}", headers=header)).json()
    assert (read["progress"]["count"], read["progress"]["brand"]) == (7, "visa")
    orders.at_once["secure_cancel"] = lambda detail: {}
    assert (await http.post(f"{live.path}/{session['id']}/cancel", headers=header)).status_code == 200
    async with pool.acquire() as connection:
        await conversations.ended(connection, live.call, datetime.now(UTC), by="caller", why="hung up")
    read = (await http.get(f"{live.path}/{session['id']}", headers=header)).json()
    assert (read["state"], read["result"]) == ("FAILED", "system_problem"), "a call that ends leaves none open"
    assert [one["id"] for one in (await http.get(live.path, headers=header)).json()["entities"]] == [session["id"]]
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE action LIKE 'secure%'") == 2


async def test_what_the_node_refuses_is_said_and_leaves_nothing_open(http, header, live, orders, pool):
    answer = await http.post(live.path, json={"amount": "25.00", "currency": "USD"}, headers=header)
    assert (answer.status_code, answer.json()["code"]) == (409, "call.not_now")
    assert await pool.fetchval("SELECT count(*) FROM secure_session WHERE ended_at IS NULL") == 0
    _, answer = await start(http, header, live, orders)

    def too_late(detail):
        raise TooLateError

    orders.at_once["secure_cancel"] = too_late
    refused = await http.post(f"{live.path}/{answer.json()['id']}/cancel", headers=header)
    assert (refused.status_code, refused.json()["code"]) == (409, "secure_session.too_late")


async def test_a_node_that_does_not_answer_is_not_waited_for_and_does_nothing_later(http, header, live, pool):
    answer = await http.post(live.path, json={"amount": "25.00", "currency": "USD"}, headers=header)
    assert (answer.status_code, answer.json()["code"]) == (503, "call.no_answer")
    assert await pool.fetchval("SELECT count(*) FROM live_command") == 0
    assert await pool.fetchval("SELECT result FROM secure_session") == "system_problem"


async def refused(pool, count=1):
    async with asyncio.timeout(10):
        while await pool.fetchval("SELECT count(*) FROM live_command WHERE refused_code IS NOT NULL") < count:
            await asyncio.sleep(0.01)
    return await pool.fetchval("SELECT count(*) FROM secure_session WHERE ended_at IS NULL")


async def test_a_refusal_that_nobody_waits_for_ends_the_payment_all_the_same(live, orders, pool):
    async with pool.acquire() as connection, connection.transaction():
        begun = await agent_started.begin(connection, live.call, agent_started.Wish(), by="test")
    assert await refused(pool) == 0
    assert await pool.fetchval("SELECT result FROM secure_session WHERE id = $1", begun.session_id) == "system_problem"


async def test_a_node_that_has_too_much_to_do_says_so(http, header, live, orders, pool, monkeypatch):
    monkeypatch.setattr("tenderline.voice.commands.AT_ONCE_MAX", 0)
    answer = await http.post(live.path, json={}, headers=header)
    assert (answer.status_code, answer.json()["code"]) == (409, "call.not_now")
    assert await refused(pool) == 0


async def test_a_payment_without_an_answer_is_not_begun_twice_by_the_same_request(
    http, header, live, orders, pool, monkeypatch
):
    orders.open()
    monkeypatch.setitem(live_commands.answer_of.__kwdefaults__, "timeout_s", 0.3)
    lost = await http.post(live.path, json={}, headers=header)
    monkeypatch.setitem(live_commands.answer_of.__kwdefaults__, "timeout_s", 20)
    assert (lost.status_code, lost.json()["code"]) == (503, "call.no_answer")
    again = asyncio.create_task(http.post(live.path, json={}, headers=header))
    await taken(orders)
    assert (await again).json()["state"] == "PENDING"
    assert await pool.fetchval("SELECT count(*) FROM secure_session") == 1


async def test_a_defect_does_not_end_the_taking_of_commands(live, orders, pool, monkeypatch):
    take, is_broken = live_commands.take, asyncio.Event()

    async def breaks(*args):
        if not is_broken.is_set():
            is_broken.set()
            raise ZeroDivisionError
        return await take(*args)

    monkeypatch.setattr(live_commands, "take", breaks)
    async with pool.acquire() as connection:
        await live_commands.ask(connection, live.call, "hold", {}, asked_by="test")
    await is_broken.wait()
    await refused(pool)


async def test_a_command_that_nobody_asks_about_any_more_is_forgotten(pool, live):
    async with pool.acquire() as connection:
        for _ in range(2):
            await live_commands.ask(connection, live.call, "hold", {}, asked_by="test")
    await pool.execute(
        "UPDATE live_command SET asked_at = now() - interval '2 days' WHERE id = (SELECT min(id::text)::uuid FROM"
        " live_command)"
    )
    await Worker(services.make(pool))._keep_house()
    assert await pool.fetchval("SELECT count(*) FROM live_command") == 1


async def test_a_card_that_was_charged_by_a_node_that_died_is_known_by_its_payment(live, orders, http, header, pool):
    _, answer = await start(http, header, live, orders)
    async with bank_town.open_town() as town:
        gateway = Stripe(StripeSettings(api_key=SecretStr(bank_town.API_KEY), api_url=town.url, timeout_s=20))
        made = services.make(pool, gateways=[gateway])
        backstage = DatabaseBackstage(made)
        call = SimpleNamespace(conversation_id=live.call, caller="+12025550100", variables={"payment_mode": "leave"})
        try:
            begun = await backstage.begin_payment(call, Money(2500, "USD"), text_announced=False)
            read = (await http.get(f"{live.path}/{answer.json()['id']}", headers=header)).json()
            assert (read["state"], read["reference"]) == ("PENDING", None)
            keyed = CardKeyed(await telephone_money.token(town), "visa", "4242")
            assert await backstage.charge(begun.id, keyed) == "taken"
            async with pool.acquire() as connection:
                await conversations.ended(connection, live.call, datetime.now(UTC), by="system", why="a dead node")
            read = (await http.get(f"{live.path}/{answer.json()['id']}", headers=header)).json()
            assert (read["state"], read["result"]) == ("PENDING", "system_problem")
            assert read["reference"] == begun.reference
            await telephone_money.hear(made, pool, town, "payment_intent.succeeded")
            read = (await http.get(f"{live.path}/{answer.json()['id']}", headers=header)).json()
            assert read["state"] == "COMPLETED"
        finally:
            await backstage.close()
            await gateway.close()


async def test_an_agent_is_not_told_of_a_charge_that_came_to_nothing(pool, live, orders, http, header):
    _, answer = await start(http, header, live, orders)
    async with pool.acquire() as connection:
        await secure_sessions.end(connection, UUID(answer.json()["id"]), datetime.now(UTC), "pending")
        (shown,) = (await secure.read(connection, await conversations.get(connection, live.call))).sessions
    assert shown.words == "Declined. Nothing was charged."


async def test_numbers_that_are_no_card_go_with_a_payment(http, header, live, orders):
    known = {"person_id": "01890000-0000-7000-8000-000000000123", "mobile": "+4915112345678", "order": 123456789012}
    order, answer = await start(http, header, live, orders, userData=known)
    assert answer.status_code == 200
    assert order.detail["values"] == known


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"amount": "0", "currency": "USD"}, "invalid_money"),
        ({"amount": "0.004", "currency": "USD"}, "invalid_money"),
        ({"amount": "1000000000000", "currency": "USD"}, "invalid_money"),
        ({"amount": "25", "currency": "XXZ"}, "invalid_money"),
        ({"amount": "25"}, "invalid_input"),
        ({"userData": {"note": CARD}}, "secure_session.card_number"),
        ({"userData": {"note": "4242 4242-4242 4242"}}, "secure_session.card_number"),
        ({"userData": {"note": "4242  4242\u00a04242 4242"}}, "secure_session.card_number"),
        ({"userData": {"note": f"{CARD}1225"}}, "secure_session.card_number"),
        ({"userData": {"note": int(CARD)}}, "secure_session.card_number"),
        ({"userData": {"payment_result": "success"}}, "invalid_input"),
        ({"mode": "listen"}, "invalid_request"),
        ({"flowId": "../x"}, "invalid_request"),
    ],
)
async def test_what_cannot_be_asked(http, header, live, orders, body, code):
    orders.open()
    answer = await http.post(live.path, json=body, headers=header)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] == code


async def test_a_stranger_on_the_call_and_a_call_that_is_over(http, header, live, orders, pool):
    orders.open()
    wrong = live.path.replace(str(live.caller), str(uuid7()))
    assert (await http.post(wrong, json={}, headers=header)).status_code == 404
    async with pool.acquire() as connection:
        await conversations.leave(connection, live.call, live.agent, datetime.now(UTC))
    answer = await http.post(live.path, json={}, headers=header)
    assert answer.json()["code"] == "secure_session.no_agent"
    async with pool.acquire() as connection:
        await conversations.ended(connection, live.call, datetime.now(UTC), by="caller", why="hung up")
    answer = await http.post(live.path, json={"disconnect": True}, headers=header)
    assert answer.json()["code"] == "call.not_live"


async def test_it_is_completed_by_the_gateways_word_whatever_a_flow_says(http, header, live, orders, pool):
    _, answer = await start(http, header, live, orders)
    session_id, capture_id, (person_id, _, _) = answer.json()["id"], uuid7(), await world.make_person(pool)
    await pool.execute(
        "INSERT INTO capture_session (id, person_id, conversation_id, mode, gateway, amount_minor, currency, reference,"
        " state) VALUES ($1, $2, $3, 'leave', 'stripe', 2500, 'USD', '12345678', 'charged')",
        capture_id, person_id, live.call,
    )  # fmt: skip
    await pool.execute(
        "INSERT INTO charge (id, session_id, gateway, transaction_id, token, brand, last_four, state)"
        " VALUES ($1, $1, 'stripe', 'pi_1', 'pm_1', 'visa', '4242', 'taken')",
        capture_id,
    )
    fact = PaymentFact(
        kind=FactKind.PROCESSING, transaction_id="pi_1", occurred_at_unix_s=1, event_id="e1", amount_minor=2500,
        currency="USD",
    )  # fmt: skip
    states = []
    async with pool.acquire() as connection:
        await secure_sessions.end(
            connection, session_id, datetime.now(UTC), "success", capture_session_id=capture_id, last_four="4242"
        )
    for kind in (FactKind.PROCESSING, FactKind.SUCCEEDED):
        async with pool.acquire() as connection, connection.transaction():
            session = await captures.get(connection, capture_id)
            told = msgspec.structs.replace(fact, kind=kind, event_id=kind.value, occurred_at_unix_s=len(states) + 1)
            await settle.apply(connection, "stripe", told, telephone._whose(connection, session))
        states.append((await http.get(f"{live.path}/{session_id}", headers=header)).json()["state"])
    assert states == ["PENDING", "COMPLETED"]


async def hung_up(pool, live, session_id):
    """A caller who hangs up while she keys gets a link: (her payment's session)."""
    made = services.make(pool, gateways=[Stripe(StripeSettings(api_key=SecretStr(bank_town.API_KEY)))])
    begun = await telephone_money.begin(made, pool, conversation_id=live.call)
    await telephone.leave(made, begun.id, "abandoned", "hung_up", hung_up=True)
    async with pool.acquire() as connection:
        await secure_sessions.end(connection, session_id, datetime.now(UTC), "abandoned", capture_session_id=begun.id)
        return await captures.get(connection, begun.id)


async def news(pool, session, kind, at):
    """The gateway tells of the payment that the link leads to."""
    fact = PaymentFact(
        kind=kind, transaction_id=session.link_transaction_id, occurred_at_unix_s=at, event_id=f"e{at}",
        amount_minor=2500, currency="USD",
    )  # fmt: skip
    async with pool.acquire() as connection, connection.transaction():
        await settle.apply(connection, session.gateway, fact, telephone._whose(connection, session))


async def test_who_hung_up_and_may_pay_by_a_link_is_pending_until_she_paid(http, header, live, orders, pool):
    _, answer = await start(http, header, live, orders)
    session_id, now = UUID(answer.json()["id"]), int(datetime.now(UTC).timestamp())

    async def state():
        read = (await http.get(f"{live.path}/{session_id}", headers=header)).json()
        assert (read["reference"], read["result"]) == (session.reference, "abandoned")
        return read["state"]

    session = await hung_up(pool, live, session_id)
    assert session.link_transaction_id is not None
    assert await state() == "PENDING"
    async with pool.acquire() as connection:
        (shown,) = (await secure.read(connection, await conversations.get(connection, live.call))).sessions
    assert "may still bring the money" in shown.words
    await news(pool, session, FactKind.FAILED, now + 10)
    assert await state() == "PENDING", "the link works on after a card that was declined"
    await pool.execute("UPDATE secure_session SET started_at = now() - interval '2 years'")
    assert await state() == "FAILED", "no link works so long"
    await news(pool, session, FactKind.SUCCEEDED, now + 20)
    assert await state() == "COMPLETED"


async def test_a_link_whose_payment_was_stopped_has_failed(http, header, live, orders, pool):
    _, answer = await start(http, header, live, orders)
    session_id = UUID(answer.json()["id"])
    session = await hung_up(pool, live, session_id)
    await news(pool, session, FactKind.STOPPED, int(datetime.now(UTC).timestamp()) + 10)
    (read,) = (await http.get(live.path, headers=header)).json()["entities"]
    assert (read["state"], read["reference"]) == ("FAILED", session.reference)


@pytest.mark.parametrize(("state", "told"), [("open", "PENDING"), ("failed", "FAILED"), ("abandoned", "FAILED")])
async def test_what_a_provider_takes_is_pending_until_it_is_given_up(http, header, live, orders, pool, state, told):
    _, answer = await start(http, header, live, orders)
    made = services.make(pool, gateways=[Stripe(StripeSettings(api_key=SecretStr(bank_town.API_KEY)))])
    begun = await telephone_money.begin(made, pool, conversation_id=live.call)
    async with pool.acquire() as connection, connection.transaction():
        await telephone.hand_over(connection, begun)
        await captures.set_state(connection, begun.id, state, None)
        await secure_sessions.end(
            connection, UUID(answer.json()["id"]), datetime.now(UTC), "system_problem", capture_session_id=begun.id
        )
    (read,) = (await http.get(live.path, headers=header)).json()["entities"]
    assert read["state"] == told


async def test_a_command_is_taken_once_by_its_own_node(pool, live):
    async with pool.acquire() as connection:
        made = await live_commands.ask(connection, live.call, "hold", {}, asked_by="test")
        assert await live_commands.take(connection, uuid7()) == []
        (found,) = await live_commands.take(connection, live.node)
        assert found.id == made
        assert await live_commands.take(connection, live.node) == []


async def test_an_agent_starts_it_on_the_page_and_a_viewer_cannot(pool, live, orders):
    app = services.make(pool)
    async with edge.client(app, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool, role="viewer"))
        assert "Start secure payment" not in (await http.get(f"/calls/{live.call}")).text
    async with edge.client(app, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool, role="agent"))
        shown = (await http.get(f"/calls/{live.call}")).text
        assert "Start secure payment" in shown
        token = edge.csrf_of(shown)
        orders.open()
        form = {"csrf_token": token, "mode": "attended", "amount": "", "fund": "<b>Well</b>"}
        asked = asyncio.create_task(http.post(f"/calls/{live.call}/secure", data=form))
        order = await taken(orders)
        assert (await asked).status_code == 303
        assert order.detail["mode"] == "attended"
        async with pool.acquire() as connection:
            (session,) = await secure_sessions.of_conversation(connection, live.call)
            so_far = secure_sessions.Progress(field="number", count=4, brand="visa", said="expired")
            await secure_sessions.progress(connection, session.id, so_far)
        text = (await http.get(f"/calls/{live.call}/live")).text
        assert "••••" in text
        assert "the card has expired; asked again" in text
        asked_again = []
        orders.at_once["secure_restart"] = lambda detail: asked_again.append(detail["field"]) or {}
        path = f"/calls/{live.call}/secure/{session.id}/restart"
        assert (await http.post(path, data={"csrf_token": token, "field": "expiry"})).status_code == 303
        assert asked_again == ["expiry"]
