"""Who calls, proven: accounts read in from a file, tries that are counted, payments booked to whose account it is."""

from __future__ import annotations

import asyncio
import io
import logging
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from random import Random
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from support import services, world
from support.live_calls import make_call
from tenderline.config import StripeSettings
from tenderline.core.events import PaymentSucceeded
from tenderline.core.money import Money
from tenderline.flows import fitness, shipped
from tenderline.flows.check import checked
from tenderline.gateways.stripe import Stripe
from tenderline.people import accounts_import, identify
from tenderline.store import accounts, captures, credentials, lines
from tenderline.voice.backstage import DatabaseBackstage
from tenderline.worker import reactions

OWED = Money(12_550, "USD")
PIN = "4711"
HEAD = "account,pin,postal_code,name,phone,email,balance,currency\n"
ANN = f"12345,{PIN},60601,Ann Example,+12125550123,ann@example.org,125.50,USD\n"


@dataclass
class OnTheLine:
    caller: str | None = "+12125550123"
    called: str = "+18005550100"
    conversation_id: UUID = field(default_factory=uuid4)
    variables: dict = field(default_factory=dict)


async def read_in(pool, text):
    rejected = []
    report = await accounts_import.read_in(
        pool, io.StringIO(text), region="US", currency="USD", on_reject=lambda line, why: rejected.append((line, why))
    )
    return report, rejected


def backstage_of(pool, **settings):
    gateway = Stripe(StripeSettings(api_key=SecretStr("sk_1"), api_url="http://127.0.0.1:9"))  # nothing is charged here
    return DatabaseBackstage(
        services.make(pool, gateways=[gateway], messengers=[services.message_class("sms")], **settings)
    )


@asynccontextmanager
async def opened(pool, text=HEAD + ANN, **settings):
    await read_in(pool, text)
    one = backstage_of(pool, **settings)
    try:
        yield one
    finally:
        await one.close()


async def tried(backstage, account="12345", proof=PIN, by="pin", caller="+12125550123"):
    return await backstage.identify(OnTheLine(caller), account=account, by=by, proof=proof, timeout_s=20)


async def test_an_account_and_its_pin_tell_who_it_is_and_what_is_owed(pool):
    async with opened(pool) as backstage:
        found = await tried(backstage, caller=None)
        assert (found.account, found.name, found.balance) == ("12345", "Ann Example", OWED)
        assert await tried(backstage, by="postal_code", proof="60601")
        assert await tried(backstage, by="caller", proof="")
        assert not await tried(backstage, by="caller", proof="", caller="+12125550199")
        assert not await tried(backstage, by="postal_code", proof=PIN)
        assert await backstage.account_of("+12125550123", timeout_s=20) == ("12345", "Ann Example")
        assert await backstage.account_of("+12125550199", timeout_s=20) is None
        assert await backstage.account_of(None, timeout_s=20) is None


async def test_the_call_is_hers_who_was_identified_whoever_owns_the_number(pool):
    call = await make_call(pool, "+12025550190")
    async with opened(pool) as backstage:
        line = OnTheLine("+12025550190", conversation_id=call)
        assert not await backstage.identify(line, account="12345", by="pin", proof="0000", timeout_s=20)
        assert await pool.fetchval("SELECT person_id FROM conversation") is None
        found = await backstage.identify(line, account="12345", by="pin", proof=PIN, timeout_s=20)
    assert str(await pool.fetchval("SELECT person_id FROM conversation")) == found.person_id


async def test_two_accounts_of_one_number_are_not_offered(pool):
    async with opened(pool, HEAD + ANN + "777,1234,,Ann Example,+12125550123,,,\n") as backstage:
        assert await backstage.account_of("+12125550123", timeout_s=20) is None


async def test_after_five_wrong_tries_the_right_one_is_refused_too_also_after_a_restart(pool):
    async with opened(pool) as backstage:
        for n in range(5):
            assert await tried(backstage, proof="0000", caller=f"+1212555012{n}") is None
    again = backstage_of(pool)
    assert await tried(again, caller="+12125550150") is None
    async with pool.acquire() as connection:
        await accounts.forget_tries(connection, accounts.of_account("12345"))
    assert await tried(again, caller="+12125550150") is not None
    await again.close()


async def test_a_window_that_is_over_is_over_and_tries_while_it_is_closed_do_not_prolong_it(pool):
    async with opened(pool) as backstage:
        for _ in range(7):
            await tried(backstage, proof="0000")
        await pool.execute("UPDATE identification_try SET since = since - interval '25 hours'")
        assert await tried(backstage) is not None


async def test_one_caller_has_a_number_of_tries_over_all_accounts(pool):
    async with opened(pool, identification__caller_tries_max="3") as backstage:
        for account in ("900001", "900002", "900003"):
            assert await tried(backstage, account) is None
        assert await tried(backstage) is None
        assert await tried(backstage, caller="+12125550150") is not None
        assert await tried(backstage, caller=None) is not None, "somebody else who withholds the number"


async def test_a_right_proof_forgets_the_accounts_tries_and_not_the_callers(pool):
    async with opened(pool, identification__caller_tries_max="4") as backstage:
        for account in ("900001", "900002", "900003"):
            await tried(backstage, account)
        for _ in range(3):
            assert await tried(backstage) is not None
        await tried(backstage, "900004")
        assert await tried(backstage) is None


async def test_tries_at_the_same_time_are_counted_each(pool):
    async with opened(pool) as backstage:
        pins = [PIN if n == 19 else f"{n:04}" for n in range(20)]
        found = await asyncio.gather(
            *(tried(backstage, proof=pin, caller=f"+121255501{n:02}") for n, pin in enumerate(pins))
        )
        assert sum(one is not None for one in found) <= 1
        async with pool.acquire() as connection:
            hashes = await accounts.tries(connection, accounts.of_account("12345"), window_s=3600)
        assert hashes == 0 if any(found) else hashes == 20


async def test_an_account_that_there_is_not_is_locked_and_answered_like_one_that_there_is(pool, monkeypatch):
    worked = []
    verify = credentials._verify
    monkeypatch.setattr(credentials, "_verify", lambda stored, given: worked.append(1) or verify(stored, given))
    async with opened(pool) as backstage:
        for account in ("12345", "99999"):
            for n in range(7):
                assert await tried(backstage, account, "0000", caller=f"+1212555013{n}") is None
            assert len(worked) == 7, "each try costs one look at a hash, locked or not, there or not"
            worked.clear()
    rows = await pool.fetch("SELECT tries, subject FROM identification_try WHERE subject LIKE 'account:%'")
    assert [row["tries"] for row in rows] == [7, 7]
    assert not any("12345" in row["subject"] or "99999" in row["subject"] for row in rows)


async def test_a_pin_is_kept_as_a_hash_and_nowhere_else(pool, caplog):
    caplog.set_level(logging.DEBUG)
    pin = "86420975"
    async with opened(pool, HEAD + f"12345,{pin},,,,,,\n") as backstage:
        assert await tried(backstage, proof=pin)
        assert not await tried(backstage, proof=pin + "1")
    assert pin not in caplog.text
    tables = [row[0] for row in await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    for table in tables:
        assert not await pool.fetchval(f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE $1', f"%{pin}%"), table
    assert (await pool.fetchval("SELECT pin_hash FROM account")).startswith("$argon2id$")


async def begin(backstage, call, amount=OWED):
    begun = await backstage.begin_payment(call, amount, text_announced=True)
    return begun and UUID(begun.id)


async def test_a_payment_is_booked_to_whose_account_it_is_and_not_to_whose_telephone(pool):
    phone_owner, _, number = await world.make_person(pool)
    async with opened(pool) as backstage:
        found = await tried(backstage)
        call = OnTheLine(number, variables={"person_id": found.person_id, "account": found.account})
        session_id = await begin(backstage, call)
        plain = await begin(backstage, OnTheLine(number))
        strange = {"person_id": str(phone_owner), "account": found.account}
        others = await begin(backstage, OnTheLine(number, variables=strange))
    async with pool.acquire() as connection:
        session = await captures.get(connection, session_id)
        assert (session.person_id, session.contact_point_id) == (UUID(found.person_id), None)
        assert (await captures.get(connection, plain)).person_id == phone_owner
    assert await pool.fetchval("SELECT account FROM capture_session WHERE id = $1", session_id) == "12345"
    for nobodys in (plain, others):
        assert await pool.fetchval("SELECT account FROM capture_session WHERE id = $1", nobodys) is None


async def test_a_number_that_nobody_has_becomes_hers_who_was_identified(pool):
    async with opened(pool) as backstage:
        found = await tried(backstage)
        await begin(backstage, OnTheLine("+12125550177", variables={"person_id": found.person_id}))
    owner = await pool.fetchval("SELECT person_id FROM contact_point WHERE value = '+12125550177'")
    assert str(owner) == found.person_id
    assert await pool.fetchval("SELECT count(*) FROM person") == 1


@pytest.mark.parametrize("wrong", ["", "nobody", "00000000-0000-0000-0000-000000000001", 7])
async def test_a_person_that_there_is_not_pays_nothing_in_anothers_name(pool, wrong):
    person, _, number = await world.make_person(pool)
    backstage = backstage_of(pool)
    session_id = await begin(backstage, OnTheLine(number, variables={"person_id": wrong, "account": "12345"}))
    row = await pool.fetchrow("SELECT person_id, account FROM capture_session WHERE id = $1", session_id)
    assert tuple(row) == (person, None)


@pytest.mark.parametrize("minor", [99, 1_000_001])
async def test_what_is_outside_of_the_settings_is_not_begun_whatever_a_flow_says(pool, minor):
    assert await begin(backstage_of(pool), OnTheLine(), Money(minor, "USD")) is None
    assert await pool.fetchval("SELECT count(*) FROM capture_session") == 0


async def test_money_that_arrived_is_owed_no_more_once(pool):
    async with opened(pool):
        pass
    person_id = await pool.fetchval("SELECT person_id FROM account")
    session_id = uuid4()
    async with pool.acquire() as connection, connection.transaction():
        await captures.open_session(
            connection,
            id=session_id,
            person_id=person_id,
            conversation_id=uuid4(),
            mode="automated",
            gateway="stripe",
            money=Money(2550, "USD"),
            campaign=None,
            fund=None,
            reference="12345678",
            contact_point_id=None,
        )
        await accounts.book(connection, session_id, "12345")
        charge_id = uuid4()
        session = await captures.get(connection, session_id)
        await captures.intend(connection, id=charge_id, session=session, token="tok", brand="visa", last_four="4242")
        await captures.prepared(connection, charge_id, "pi_1")
    payment_id = await pool.fetchval(
        "INSERT INTO payment (id, person_id, gateway, transaction_id, amount_minor, currency, status,"
        " transaction_status, observed)"
        " VALUES (gen_random_uuid(), $1, 'stripe', 'pi_1', 2550, 'USD', 'succeeded', 'COMPLETED', '{}')"
        " RETURNING id",
        person_id,
    )
    made = services.make(pool, messengers=[services.message_class("sms")])
    for _ in range(2):  # a reaction may run twice
        await reactions.thank_caller(made, PaymentSucceeded(payment_id=payment_id, amount="$25.50"))
    assert await pool.fetchval("SELECT balance_minor FROM account") == 10_000


async def test_a_file_is_read_again_without_a_change_and_a_pin_left_out_stays(pool):
    first, _ = await read_in(pool, HEAD + ANN)
    again, _ = await read_in(pool, "account,phone,balance\n12345,+12125550123,80\n")
    assert (first.new, again.new, again.changed) == (1, 0, 1)
    row = await pool.fetchrow("SELECT * FROM account")
    assert (row["balance_minor"], row["pin_hash"] is not None) == (8000, True)
    assert await pool.fetchval("SELECT count(*) FROM person") == 1
    assert await pool.fetchval("SELECT count(*) FROM consent") == 0, "a list is no agreement"


async def test_lines_that_are_wrong_are_told_by_number_and_reason_and_nothing_of_them(pool):
    await world.make_person(pool)
    wrong = [
        "12,1111,,,,,,", "12345,11,,,,,,", "12345,1111,K1A,,,,,", "12345,1111,,,12,,,", "12345,1111,,,,nobody,,",
        "12345,1111,,,,,1.005,USD", "12345,1111,,,,,-1,USD", "12345,1111,,,,,nan,USD", "12345,1111,,,,,1e99,USD",
        "12345,1111,,,,,5,XXQ", "12345,1111", "12345,1111,,,,,,,", "4242" * 4 + ",1111,,,,,,",
    ]  # fmt: skip
    report, rejected = await read_in(pool, HEAD + "\n".join(wrong) + "\n")
    assert (report.rejected, report.new) == (len(wrong), 0)
    assert [line for line, _ in rejected] == list(range(2, 2 + len(wrong)))
    assert not any("1111" in why or "4242" in why for _, why in rejected)
    assert await pool.fetchval("SELECT count(*) FROM account") == 0


async def test_an_account_does_not_change_hands_by_a_file(pool):
    bob = "54321,2222,,Bob,+12125550188,,,\n"
    _, rejected = await read_in(pool, HEAD + ANN + bob + "777,1234,,,+12125550188,ann@example.org,,\n")
    assert [line for line, _ in rejected] == [4]
    _, rejected = await read_in(pool, HEAD + "12345,9999,,,+12125550188,,,\n")
    assert [line for line, _ in rejected] == [2]
    async with opened(pool, HEAD) as backstage:
        assert await tried(backstage) is not None


@pytest.mark.parametrize("text", ["", "pin\n1\n", "account,secret\n1,2\n", "account,account\n1,2\n", 'account\n"1\n'])
async def test_what_is_no_table_of_accounts_is_refused(pool, text):
    with pytest.raises(accounts_import.UnreadableAccountsError):
        await read_in(pool, text)


@given(st.dictionaries(st.sampled_from(accounts_import.COLUMNS[1:]), st.text(max_size=20)), st.text(max_size=20))
def test_whatever_a_line_holds_it_is_read_or_refused(raw, account):
    try:
        line = accounts_import.line_of({"account": account, **raw}, region="US", currency="USD")
    except ValueError:
        return
    assert line.number.isdecimal()
    assert line.balance_minor is None or line.balance_minor >= 0
    assert "pin" not in repr(line)


async def test_a_line_leads_to_no_flow_that_returns(pool):
    async with pool.acquire() as connection:
        await fitness.require_for_line(connection, "pay_invoice")
        for refused in (
            fitness.require_for_line(connection, "secure_payment"),
            fitness.require(connection, "secure_payment", purpose="servicing"),
        ):
            with pytest.raises(fitness.ReturnsError):
                await refused
        with pytest.raises(fitness.UnknownFlowError):
            await fitness.require_for_line(connection, "nothing")


async def test_a_flow_that_a_line_leads_to_is_not_replaced_by_one_that_returns(pool):
    returns = checked("x.toml", shipped.text("secure_payment").replace('"secure_payment"', '"donation"', 1))
    async with pool.acquire() as connection, connection.transaction():
        await fitness.require_to_replace(connection, returns)
        await lines.put_line(
            connection,
            number="+18005550123",
            campaign="c",
            flow="donation",
            language="en",
            currency="USD",
            fund=None,
            record=False,
            by="test",
        )
        await fitness.require_to_replace(connection, shipped.flow("donation"))
        with pytest.raises(fitness.ReturnsError, match="18005550123"):
            await fitness.require_to_replace(connection, returns)
    fitness.require_to_be_called(returns)
    with pytest.raises(fitness.DoesNotReturnError):
        fitness.require_to_be_called(shipped.flow("donation"))


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_tried_by_whom_nobody_has_more_tries_than_allowed(pool, seed):
    """Against a model of counters: a try is judged only while both its account and its caller have tries left."""
    await read_in(pool, HEAD + "".join(f"{number},,60601,,,,,\n" for number in ("10001", "10002", "10003")))
    limits, chance = identify.Limits(of_account=3, of_caller=6, of_withheld=9, window_s=3600), Random(seed)
    by_account, by_caller = Counter(), Counter()
    judged = 0
    async with pool.acquire() as connection:
        for _ in range(150):
            account = chance.choice(["10001", "10002", "10003", "90001"])
            caller = chance.choice(["+12125550101", "+12125550102", "+12125550103", None])
            claim = await identify.claimed(connection, account, caller, limits)
            by_account[account] += 1
            by_caller[caller] += 1
            is_open = by_account[account] <= 3 and by_caller[caller] <= (6 if caller else 9)
            assert (claim.candidate is not None) == (is_open and account != "90001")
            judged += claim.candidate is not None
            if claim.candidate is not None and chance.random() < 0.3:
                await identify.proven(connection, claim)
                by_account[account] = 0
                by_caller[caller] -= 1
    assert 0 < judged < 150
