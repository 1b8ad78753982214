"""From gateway facts to cases: one debt is one case, whatever the order and number of events."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import services as world_services
from tenderline.core.facts import FactKind, Payer, PaymentFact
from tenderline.core.reasons import FailureReason
from tenderline.payments import settle
from tenderline.store import cases, inbox
from tenderline.worker.read import find_payer

_serial = itertools.count()


def fact(kind, transaction, at=1000, event=None, **more):
    number = next(_serial)
    more.setdefault("payer", Payer(reference=f"cus_{transaction}", phone=None, email=f"{transaction}@example.org"))
    more.setdefault("amount_minor", 2500)
    more.setdefault("currency", "usd")
    return PaymentFact(
        kind=kind, transaction_id=transaction, occurred_at_unix_s=at, event_id=event or f"evt_{number}", **more
    )


def failure(transaction, **more):
    return fact(FactKind.FAILED, transaction, reason=FailureReason.INSUFFICIENT_FUNDS, **more)


@pytest.fixture
def services(pool):
    return world_services.make(
        pool,
        gateways=[world_services.KnowsNobody()],
        messengers=[world_services.message_class("sms"), world_services.message_class("email")],
        compliance__default_zone="Europe/London",
    )


async def play(services, facts, *, times=1):
    reactor = world_services.Reactor(services, times=times)
    for one in facts:
        async with services.pool.acquire() as connection, connection.transaction():
            await settle.apply(connection, "stripe", one, find_payer(services, connection, "stripe"))
        await reactor.settle()


async def outcome(services, transaction):
    payment = await services.pool.fetchrow("SELECT * FROM payment WHERE transaction_id = $1", transaction)
    found = await services.pool.fetch("SELECT * FROM recovery_case WHERE transaction_id = $1", transaction)
    planned = await services.pool.fetchval(
        "SELECT count(*) FROM attempt WHERE state = 'planned' AND case_id = ANY($1::uuid[])",
        [row["id"] for row in found],
    )
    return {
        "payment": payment and (payment["status"], payment["transaction_status"], payment["reason"],
                                payment["amount_minor"], payment["observed"].replace(transaction, "T")),
        "cases": len([row for row in found if row["state"] in ("open", "held")]),
        "may be asked": planned > 0,
    }  # fmt: skip


async def test_a_failed_payment_becomes_one_case_with_planned_contacts(services):
    await play(services, [failure("pi_a")])
    found = await outcome(services, "pi_a")
    assert (found["cases"], found["may be asked"]) == (1, True)


async def test_three_events_of_one_failure_make_one_case(services):
    await play(
        services, [failure("pi_b"), failure("pi_b", at=1001), failure("pi_b", at=1002, invoice_reference="in_b")]
    )
    assert (await outcome(services, "pi_b"))["cases"] == 1
    assert await services.pool.fetchval("SELECT count(*) FROM recovery_case") == 1


async def test_a_payment_ends_its_case_and_what_was_planned(services):
    await play(services, [failure("pi_c"), fact(FactKind.SUCCEEDED, "pi_c", at=2000)])
    row = await services.pool.fetchrow("SELECT state FROM recovery_case")
    states = {row["state"] for row in await services.pool.fetch("SELECT state FROM attempt")}
    assert row["state"] == "recovered"
    assert states == {"suppressed"}


async def test_a_case_that_was_given_up_is_not_started_again_by_another_event(services):
    await play(services, [failure("pi_d")])
    await services.pool.execute("UPDATE recovery_case SET state = 'exhausted'")
    await play(services, [failure("pi_d", at=9000)])
    assert await services.pool.fetchval("SELECT count(*) FROM recovery_case") == 1


def story(transaction):
    """Everything one renewal may tell, in the order in which it happened."""
    invoice, subscription = f"in_{transaction}", f"sub_{transaction}"
    return [
        failure(transaction, at=1000, event="evt_1"),
        fact(FactKind.FAILED, transaction, at=1000, event="evt_2", invoice_reference=invoice,
             subscription_reference=subscription),
        fact(FactKind.ACTION_REQUIRED, transaction, at=1005, event="evt_3"),
        failure(transaction, at=1500, event="evt_4"),
        fact(FactKind.SUCCEEDED, transaction, at=2000, event="evt_5", amount_minor=2600),
        PaymentFact(kind=FactKind.STOPPED, transaction_id=None, occurred_at_unix_s=1700, event_id="evt_6",
                    subscription_reference=subscription),
    ]  # fmt: skip


@pytest.mark.parametrize("kept", [(0, 1, 2, 3, 4, 5), (0, 1, 3), (0, 1, 5), (0, 4), (1, 2, 3, 5)])
async def test_any_order_and_number_of_events_ends_in_the_same_state(services, kept):
    expected = None
    seeds = itertools.count()

    @settings(max_examples=12, derandomize=True)
    @given(st.permutations(kept), st.lists(st.sampled_from(kept), max_size=4))
    def orders(order, repeats):
        found.append((list(order), repeats))

    found: list[tuple[list[int], list[int]]] = [(list(kept), [])]
    orders()
    for order, repeats in found:
        transaction = f"pi_{'_'.join(map(str, kept))}_{next(seeds)}"
        told = story(transaction)
        sequence = [told[at] for at in order]
        for repeat in repeats:
            sequence.insert(random.Random(repr(order)).randrange(len(sequence) + 1), told[repeat])
        await play(services, sequence)
        result = await outcome(services, transaction)
        expected = expected or result
        assert result == expected, (order, repeats)


async def test_every_reaction_may_run_twice(services):
    await play(services, [failure("pi_e"), fact(FactKind.SUCCEEDED, "pi_e", at=2000)], times=2)
    counts = await services.pool.fetch("SELECT data ->> 'kind' AS kind, count(*) FROM event GROUP BY 1")
    told = {row["kind"]: row["count"] for row in counts}
    assert told["CaseOpened"] == 1
    assert told["CaseClosed"] == 1
    assert await services.pool.fetchval("SELECT count(*) FROM recovery_case") == 1
    policy_steps = await services.pool.fetchval("SELECT count(*) FROM attempt")
    assert told["AttemptPlanned"] == policy_steps


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"currency": "zzz"}, "currency"),
        ({"currency": None}, "currency"),
        ({"amount_minor": -5}, "not between"),
        ({"amount_minor": 10**15}, "not between"),
        ({"amount_minor": None}, "whole number"),
        ({"payer": Payer()}, "no way to reach"),
        ({"payer": Payer(phone="not a number")}, "no way to reach"),
        ({"payer": Payer(email="not an address")}, "no way to reach"),
        ({"reason": FailureReason.FRAUD_SUSPECTED}, "a person decides"),
    ],
)
async def test_what_is_not_clear_is_held_with_its_reason_and_nothing_is_planned(services, changes, said):
    base = {"reason": FailureReason.INSUFFICIENT_FUNDS} | changes
    await play(services, [fact(FactKind.FAILED, f"pi_{next(_serial)}", **base)])
    row = await services.pool.fetchrow("SELECT state, held_why FROM recovery_case")
    assert row["state"] == "held"
    assert said in row["held_why"]
    assert await services.pool.fetchval("SELECT count(*) FROM attempt") == 0


async def test_a_case_held_for_a_missing_address_goes_on_when_one_becomes_known(services):
    await play(services, [failure("pi_f", payer=Payer(reference="cus_f"))])
    assert await services.pool.fetchval("SELECT state FROM recovery_case") == "held"
    await play(services, [failure("pi_f", at=1001, payer=Payer(reference="cus_f", email="f@example.org"))])
    assert await services.pool.fetchval("SELECT state FROM recovery_case") == "open"
    assert await services.pool.fetchval("SELECT count(*) FROM attempt WHERE state = 'planned'") > 0


async def test_a_payer_known_to_nobody_turns_into_the_person_with_the_address(services):
    await play(services, [failure("pi_g", payer=Payer(email="g@example.org"))])
    await play(services, [failure("pi_h", payer=Payer())])
    await play(services, [failure("pi_h", at=1001, payer=Payer(email="g@example.org"))])
    people = {row["person_id"] for row in await services.pool.fetch("SELECT person_id FROM recovery_case")}
    assert len(people) == 1


async def test_addresses_of_two_people_in_one_event_hold_the_case_instead_of_merging_them(services):
    await play(services, [failure("pi_i", payer=Payer(phone="+12025550101"))])
    await play(services, [failure("pi_j", payer=Payer(email="j@example.org"))])
    await play(services, [failure("pi_k", payer=Payer(phone="+12025550101", email="j@example.org"))])
    row = await services.pool.fetchrow("SELECT state, held_why FROM recovery_case WHERE transaction_id = 'pi_k'")
    assert (row["state"], "two different people" in row["held_why"]) == ("held", True)


async def test_the_database_itself_refuses_a_second_open_case_for_one_transaction(services):
    await play(services, [failure("pi_l")])
    row = await services.pool.fetchrow("SELECT person_id, payment_id FROM recovery_case")
    async with services.pool.acquire() as connection:
        second = await cases.open_case(
            connection, person_id=row["person_id"], payment_id=row["payment_id"], gateway="stripe",
            transaction_id="pi_l", held_why=None, held_by=None, reason="unknown", amount_minor=1, currency="USD",
            policy="p",
        )  # fmt: skip
    assert second is None


async def test_an_unreadable_webhook_ends_dead_with_its_reason_and_can_be_replayed(services):
    await services.pool.execute(
        "INSERT INTO inbox (source, event_id, event_type, urgency, body) VALUES ('nobody', 'e', 't', 3, 'x')"
    )

    async def handle(_, __):
        raise ValueError("cannot be read: 4242424242" + "424242")

    for _ in range(inbox.TRIES_MAX):
        await services.pool.execute("UPDATE inbox SET next_try_at = now()")
        (waiting,) = await inbox.unread_ids(services.pool, limit=10)
        await inbox.read_one(services.pool, waiting, handle)
    async with services.pool.acquire() as connection:
        (dead,) = await inbox.dead(connection)
        assert "card number removed" in dead.why
        assert await inbox.replay(connection, [dead.id]) == [dead.id]
    assert len(await inbox.unread_ids(services.pool, limit=10)) == 1


async def test_an_address_tells_where_a_payer_is_of_whom_only_an_email_is_known(services):
    """The fuller of two addresses of the gateway counts, and her own word counts before both."""
    from tenderline.core.facts import Payer
    from tenderline.core.places import Address
    from tenderline.people import person
    from tenderline.store import places

    async def told(**address):
        async with services.pool.acquire() as connection, connection.transaction():
            payer = Payer(email="ann@example.org", **address)
            found = await person.resolve(connection, "stripe", payer, default_region="US")
            return await places.of_person(connection, found.person_id, services.defaults), found

    place, found = await told(region="US", state="FL", postal_code="33101")
    assert (place.zones, place.evidence) == (("America/New_York",), "address")
    assert "US-FL" in place.regions
    place, again = await told(region="US")
    assert "US-FL" in place.regions
    assert not again.learnt_address
    async with services.pool.acquire() as connection, connection.transaction():
        await places.set_address(connection, found.person_id, Address("US", None, "97201"))
    place, _ = await told(region="US", state="FL", postal_code="33101")
    assert place.zones == ("America/Los_Angeles",)
