"""Money that nobody here can explain: every charge ends COMPLETED, FAILED, or where somebody looks at it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import edge, services, world
from tenderline.core.events import PaymentSucceeded
from tenderline.core.facts import FactKind, PaymentFact
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.core.reasons import FailureReason
from tenderline.payments import settle, unmatched
from tenderline.store import captures
from tenderline.worker import reactions
from tenderline.worker.read import find_payer

_serial = itertools.count(1)


async def a_session(pool, minor=2500):
    person_id, point_id, _ = await world.make_person(pool)
    made = uuid7()
    async with pool.acquire() as connection, connection.transaction():
        await captures.open_session(
            connection, id=made, person_id=person_id, conversation_id=uuid7(), mode="automated", gateway="stripe",
            money=Money(minor, "USD"), campaign="spring", fund="roof", reference=f"{20_000_000 + next(_serial)}",
            contact_point_id=point_id,
        )  # fmt: skip
        return await captures.get(connection, made)


async def a_charge(pool, session, state="taken", age_s=0):
    """(charge id, transaction id) of a try whose end is this."""
    tried, transaction = uuid7(), f"pi_{next(_serial)}"
    async with pool.acquire() as connection, connection.transaction():
        await captures.intend(connection, id=tried, session=session, token="pm_1", brand="visa", last_four="4242")
        await captures.prepared(connection, tried, transaction)
        if state != "intended":
            await captures.answer(connection, tried, state)
        if state in ("taken", "unknown"):
            await captures.set_state(connection, session.id, "charged")
    await pool.execute(
        "UPDATE charge SET created_at = created_at - make_interval(secs => $2) WHERE id = $1", tried, float(age_s)
    )
    return tried, transaction


async def news(pool, transaction, kind, minor=2500, currency="usd", reason=None, **more):
    """The gateway tells of a transaction, and the reaction to an arrival runs (twice: it may)."""
    made = services.make(pool, **more)
    fact = PaymentFact(
        kind=kind, transaction_id=transaction, occurred_at_unix_s=int(datetime.now(UTC).timestamp()),
        event_id=f"evt_{next(_serial)}", amount_minor=minor, currency=currency, reason=reason,
    )  # fmt: skip
    async with pool.acquire() as connection, connection.transaction():
        await settle.apply(connection, "stripe", fact, find_payer(made, connection, "stripe"))
    row = await pool.fetchrow("SELECT * FROM payment WHERE transaction_id = $1", transaction)
    if row["transaction_status"] == "COMPLETED":
        for _ in range(2):
            await reactions.match_money(made, PaymentSucceeded(payment_id=row["id"], amount="$25.00"))


async def sweep(pool):
    async with pool.acquire() as connection, connection.transaction():
        await unmatched.look_at_late(connection)


async def on_page(pool):
    return sorted(row["kind"] for row in await pool.fetch("SELECT kind FROM unmatched_money WHERE settled_at IS NULL"))


async def test_what_was_asked_for_and_arrived_is_explained(pool):
    _, transaction = await a_charge(pool, await a_session(pool))
    await news(pool, transaction, FactKind.SUCCEEDED)
    await sweep(pool)
    assert await on_page(pool) == []


async def test_money_of_a_payment_that_nobody_began_waits_for_somebody(pool):
    await news(pool, "pi_stranger", FactKind.SUCCEEDED)
    assert await on_page(pool) == ["not_begun_here"]


async def test_where_others_charge_too_their_payments_are_theirs(pool):
    await news(pool, "pi_shop", FactKind.SUCCEEDED, capture__shared_account="true")
    assert await on_page(pool) == []


async def test_a_debt_that_failed_before_or_is_asked_for_by_a_case_is_explained(pool):
    debtor = await world.make_debtor(pool)
    await pool.execute("UPDATE payment SET reason = NULL")
    await news(pool, debtor.transaction_id, FactKind.SUCCEEDED)
    await news(pool, "pi_failed_first", FactKind.FAILED, reason=FailureReason.DO_NOT_HONOR)
    await news(pool, "pi_failed_first", FactKind.SUCCEEDED)
    assert await on_page(pool) == []


@pytest.mark.parametrize(("minor", "currency"), [(2501, "usd"), (2500, "eur")])
async def test_another_amount_or_currency_than_was_asked_for_waits(pool, minor, currency):
    _, transaction = await a_charge(pool, await a_session(pool))
    await news(pool, transaction, FactKind.SUCCEEDED, minor=minor, currency=currency)
    (row,) = await pool.fetch("SELECT * FROM unmatched_money")
    assert (row["kind"], row["amount_minor"], row["currency"]) == ("other_amount", minor, currency.upper())
    assert (row["expected_minor"], row["expected_currency"]) == (2500, "USD")


async def test_a_session_that_is_paid_by_card_and_by_link_is_paid_twice(pool):
    session = await a_session(pool)
    _, transaction = await a_charge(pool, session, "declined")
    async with pool.acquire() as connection:
        await captures.link(connection, session.id, f"tel_{session.reference}")
    await news(pool, f"tel_{session.reference}", FactKind.SUCCEEDED)
    assert await on_page(pool) == []
    await news(pool, transaction, FactKind.SUCCEEDED)
    assert await on_page(pool) == ["paid_twice", "refused_but_paid"]


async def test_money_of_a_try_that_was_said_to_be_refused_waits(pool):
    _, transaction = await a_charge(pool, await a_session(pool), "refused")
    await news(pool, transaction, FactKind.SUCCEEDED)
    assert await on_page(pool) == ["refused_but_paid"]


@pytest.mark.parametrize(("state", "kind"), [("unknown", "charge_unknown"), ("taken", "not_told")])
async def test_a_charge_without_an_end_waits_and_leaves_when_the_gateway_tells_it(pool, state, kind):
    _, young = await a_charge(pool, await a_session(pool), state)
    _, transaction = await a_charge(pool, await a_session(pool), state, age_s=unmatched.LATE_S + 1)
    for _ in range(2):
        await sweep(pool)
    (row,) = await pool.fetch("SELECT * FROM unmatched_money")
    assert (row["kind"], row["transaction_id"]) == (kind, transaction)
    assert young != transaction
    await news(pool, transaction, FactKind.SUCCEEDED)
    await sweep(pool)
    assert await on_page(pool) == []
    assert await pool.fetchval("SELECT settled_by FROM unmatched_money") == "system"


NEWS = [FactKind.PROCESSING, FactKind.SUCCEEDED, FactKind.FAILED, FactKind.REFUNDED, FactKind.STOPPED]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    state=st.sampled_from(["intended", "taken", "declined", "refused", "unknown"]),
    told=st.lists(st.tuples(st.sampled_from(NEWS), st.sampled_from([2500, 2400])), max_size=4),
)
async def test_every_charge_ends_completed_or_failed_or_on_the_page(pool, state, told):
    charge_id, transaction = await a_charge(pool, await a_session(pool), state, age_s=unmatched.LATE_S + 1)
    for kind, minor in told:
        await news(pool, transaction, kind, minor=minor)
    await sweep(pool)
    row = await pool.fetchrow("SELECT * FROM payment WHERE transaction_id = $1", transaction)
    ended = row["transaction_status"] if row else None
    waits = await pool.fetch(
        "SELECT kind FROM unmatched_money WHERE settled_at IS NULL AND (subject = $1 OR transaction_id = $2)",
        str(charge_id), transaction,
    )  # fmt: skip
    kinds = {one["kind"] for one in waits}
    if state in ("declined", "refused"):
        assert ("refused_but_paid" in kinds) == (ended == "COMPLETED")
    else:
        assert ended in ("COMPLETED", "FAILED") or kinds & {"charge_unknown", "not_told"}
    if ended == "COMPLETED" and row["amount_minor"] != 2500:
        assert "other_amount" in kinds


# --- on the screen ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def screen(pool):
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as opened:
        yield opened


async def test_a_row_says_what_is_known_and_is_settled_with_a_note(pool, screen):
    await news(pool, "pi_stranger", FactKind.SUCCEEDED)
    await edge.sign_in(screen, await edge.make_user(pool))
    assert "1 unmatched" in (await screen.get("/payments")).text
    assert "/payments/unmatched" in (await screen.get("/")).text, "the board counts it"
    page = (await screen.get("/payments/unmatched")).text
    assert "Money arrived for a payment that nobody began here" in page
    assert "pi_stranger" in page
    assert "capture.shared_account" in page
    row_id = await pool.fetchval("SELECT id FROM unmatched_money")
    data = {"csrf_token": edge.csrf_of(page), "note": "the <web> shop"}
    path = f"/payments/unmatched/{row_id}/settle"
    assert (await screen.post(path, data={**data, "note": " "})).status_code == 422
    assert (await screen.post(path, data={**data, "note": "4242" * 4})).status_code == 422
    assert (await screen.post(path, data=data)).status_code == 303
    assert (await screen.post(path, data=data)).status_code == 409
    assert (await screen.post(f"/payments/unmatched/{uuid7()}/settle", data=data)).status_code == 404
    page = (await screen.get("/payments/unmatched")).text
    assert "Everything is explained" in page
    assert "the &lt;web&gt; shop" in page
    audited = await pool.fetchrow("SELECT * FROM audit WHERE action = 'unmatched.settled'")
    assert (audited["actor"], audited["subject"]) == ("supervisor@example.org", f"unmatched:{row_id}")
    await news(pool, "pi_stranger", FactKind.SUCCEEDED)
    assert await on_page(pool) == [], "what is settled stays so"


@pytest.mark.parametrize("role", ["viewer", "agent"])
async def test_who_may_not_settle_may_look(pool, screen, role):
    await news(pool, "pi_stranger", FactKind.SUCCEEDED)
    await edge.sign_in(screen, await edge.make_user(pool, role))
    page = (await screen.get("/payments/unmatched")).text
    assert "Settling needs the role" in page
    assert "/settle" not in page
    row_id = await pool.fetchval("SELECT id FROM unmatched_money")
    data = {"csrf_token": edge.csrf_of((await screen.get("/")).text), "note": "x"}
    assert (await screen.post(f"/payments/unmatched/{row_id}/settle", data=data)).status_code == 403


async def test_the_api_lists_it(pool):
    await news(pool, "pi_stranger", FactKind.SUCCEEDED)
    async with edge.client(services.make(pool)) as http:
        may = await edge.token(http, pool, "payments:read")
        told = (await http.get("/api/v2/payments/unmatched", headers=may)).json()
    assert (told["total"], told["entities"][0]["kind"]) == (1, "not_begun_here")
