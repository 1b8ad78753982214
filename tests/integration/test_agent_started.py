"""What an agent asks of a live call, by the API and on its page; the node that answers is its real half of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import msgspec
import pytest

from support import edge, services, world
from tenderline.core.facts import FactKind, PaymentFact
from tenderline.core.ids import uuid7
from tenderline.payments import settle, telephone
from tenderline.store import captures, conversations, live_commands, secure_sessions, voice_nodes
from tenderline.voice.commands import Commands
from tenderline.voice.orders import Orders
from tenderline.voice.secure_payment import TooLateError

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
