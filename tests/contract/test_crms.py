"""What every CRM in the package promises, whoever it talks to; a new one is tested by being there.

The other side is a server that speaks the vendor's own interface (`support/crm_sides.py`), with moods.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from pydantic import SecretStr, ValidationError

import tenderline.crm
from support import postgres
from support.crm_cloud_sides import DynamicsSide, SalesforceSide
from support.crm_side import KNOWN, LIFETIME_MINOR, NAME, OTHER, SECRET, UNKNOWN, Side
from support.crm_sides import SIDES, RestSide, SqlSide
from tenderline.config import CrmRestSettings, CrmSqlSettings
from tenderline.core.errors import ConfigurationError, ProviderError, TenderlineError
from tenderline.core.money import Money
from tenderline.crm import sql
from tenderline.crm.base import (
    Crm,
    CrmRefusedError,
    CrmUnavailableError,
    Disposition,
    Failure,
    Gift,
    LookupFailed,
    OptOut,
    Whom,
)
from tenderline.crm.rest import Rest
from tenderline.crm.tokens import Tokens
from tenderline.crm.web import Web
from tenderline.store import db

REASONS = {
    "html": {Failure.NO_JSON},
    "huge": {Failure.TOO_LARGE},
    "wrong_types": {Failure.WRONG_SHAPE},
    "another": {Failure.ANOTHER_PERSON},
    "cut": {Failure.CUT_OFF},
    "down": {Failure.SERVER_ERROR},
    "redirect": {Failure.REDIRECTED},
    "no_token": {Failure.ACCESS_REFUSED},
}
AT = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)


@pytest.fixture(params=list(SIDES))
async def side(request: pytest.FixtureRequest) -> AsyncIterator[Side]:
    made = SIDES[request.param]()
    async with AsyncExitStack() as stack:
        if isinstance(made, SqlSide):
            url = request.getfixturevalue("server_url")
            made.database_url = await stack.enter_async_context(postgres.fresh_database(url, db.migrate))
        await made.start(stack)
        yield made


@pytest.fixture
async def crm(side: Side) -> AsyncIterator[Crm]:
    made = side.crm()
    yield made
    await made.close()


async def in_mood(side: Side, mood: str) -> None:
    if isinstance(side, SqlSide):
        await side.set_mood_there(mood)
    else:
        side.set_mood(mood)


def whom(number: str = KNOWN) -> Whom:
    return Whom(person_id=UUID(int=77), phones=(number,), name="Ada Example")


def silence(**about: Any) -> OptOut:
    return OptOut(key=uuid4(), whom=Whom(person_id=UUID(int=77), **about), at=AT, channel="sms")


def gift(key: UUID, **other: Any) -> Gift:
    given = {"key": key, "whom": whom(), "at": AT, "amount": Money(2500, "USD"), "reference": "K7-22"}
    return Gift(**{**given, **other})


def test_every_crm_of_the_package_has_another_side_here() -> None:
    found = set()
    for info in pkgutil.iter_modules(tenderline.crm.__path__):
        module = importlib.import_module(f"{tenderline.crm.__name__}.{info.name}")
        for _, member in inspect.getmembers(module, inspect.isclass):
            own = member.__module__ == module.__name__ and not getattr(member, "_is_protocol", False)
            if own and hasattr(member, "looks_up_by"):
                found.add(member.name)
    assert found == set(SIDES)


async def test_a_donor_is_known_by_the_number_however_the_crm_writes_it(crm: Crm) -> None:
    donor = await crm.find(KNOWN)
    assert donor is not None
    assert donor.name == NAME
    assert donor.crm_id
    assert donor.lifetime_value == Money(LIFETIME_MINOR, "USD")
    assert donor.gift_count == 2
    assert donor.last_gift is not None


async def test_a_number_of_nobody_is_nobody(crm: Crm) -> None:
    assert await crm.find(UNKNOWN) is None


async def test_whatever_the_other_side_does_is_a_failure_with_its_reason(side: Side) -> None:
    for mood in side.moods:
        crm = side.crm()
        await in_mood(side, mood)
        with pytest.raises(LookupFailed) as failed:
            await crm.find(KNOWN)
        assert failed.value.reason in REASONS[mood], (mood, failed.value.detail)
        assert SECRET not in failed.value.detail
        await crm.close()


async def test_a_crm_that_is_not_there_is_unreachable(side: Side) -> None:
    crm = side.crm(url=f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(LookupFailed) as failed:
        await crm.find(KNOWN)
    assert failed.value.reason is Failure.UNREACHABLE
    with pytest.raises(ProviderError):
        await crm.check()
    await crm.close()


async def test_a_crowd_of_callers_asks_for_one_token_and_a_refused_one_is_renewed_once(side: Side) -> None:
    if not side.has_tokens:
        return
    crm = side.crm()
    before = side.tokens_given
    found = await asyncio.gather(*(crm.find(KNOWN) for _ in range(30)))
    assert all(one is not None and one.name == NAME for one in found)
    assert side.tokens_given - before == 1
    side.set_mood("no_token")
    with pytest.raises(LookupFailed):
        await crm.find(KNOWN)
    side.set_mood("good")
    assert await crm.find(KNOWN) is not None
    await crm.close()


async def test_a_wrong_secret_is_said_to_be_one(side: Side) -> None:
    if isinstance(side, SqlSide):
        return
    crm = side.crm(secret="wrong-secret-wrong-secret")
    with pytest.raises(LookupFailed) as failed:
        await crm.find(KNOWN)
    assert failed.value.reason is Failure.ACCESS_REFUSED
    assert "wrong-secret" not in failed.value.detail
    assert "wrong-secret" not in repr(crm)
    await crm.close()


async def test_the_doctor_is_told_what_answers(crm: Crm) -> None:
    said = await crm.check()
    assert "answer" in said
    assert SECRET not in said


async def test_a_gift_that_is_written_twice_is_there_once(side: Side, crm: Crm) -> None:
    if not side.can_write:
        with pytest.raises(CrmRefusedError):
            await crm.write(gift(uuid4()))
        return
    key = uuid4()
    for _ in range(3):
        await crm.write(gift(key))
    gifts = [one for name, one in side.entries.items() if "amount" in one]
    assert [one["amount"] for one in gifts] == ["25.00"]
    await crm.write(gift(key, standing="refunded"))
    refunded = [one for one in side.entries.values() if one.get("refunded") or one.get("type") == "refund"]
    assert len(refunded) == 1


@pytest.mark.parametrize("standing", ["refunded", "disputed"])
async def test_money_that_was_not_kept_is_no_completed_gift_also_when_it_is_told_first(side, crm, standing):
    if not side.can_write:
        return
    await crm.write(gift(uuid4(), standing=standing))
    (entry,) = [one for one in side.entries.values() if "amount" in one]
    assert entry.get("refunded") or entry["transaction_status"] == standing.upper()


async def test_a_part_that_went_back_is_taken_off_the_gift(side: Side, crm: Crm) -> None:
    if not side.can_write:
        return
    key = uuid4()
    await crm.write(gift(key))
    await crm.write(gift(key, given_back=Money(600, "USD"), is_there=True))
    *_, entry = [one for one in side.entries.values() if "amount" in one]
    if isinstance(side, RestSide):
        assert (entry["type"], entry["gift_id"], entry["amount_refunded"]) == ("partial_refund", str(key), "6.00")
    else:
        assert entry["amount"] == "19.00"
        assert not entry["refunded"]
        assert "$6.00 of $25.00 given back" in str(entry)


async def test_a_gift_in_another_currency_is_booked_in_it_or_refused(side: Side, crm: Crm) -> None:
    if not side.can_write:
        return
    await crm.write(gift(uuid4(), amount=Money(5000, "EUR")))
    (entry,) = [one for one in side.entries.values() if "amount" in one]
    assert "EUR" in str(entry)
    if isinstance(side, SalesforceSide | DynamicsSide):
        side.currencies = ("USD",)
        with pytest.raises(CrmRefusedError, match="EUR"):
            await crm.write(gift(uuid4(), amount=Money(5000, "EUR")))
        await crm.write(gift(uuid4()))


async def test_what_is_there_stays_with_whom_it_is_whoever_has_the_number_now(side: Side, crm: Crm) -> None:
    if not side.can_write or isinstance(side, RestSide):
        return
    key, call = uuid4(), uuid4()
    said = Disposition(key=call, whom=whom(), at=AT, code="promise_to_pay", note="on Friday")
    await crm.write(gift(key))
    await crm.write(said)
    asked = side.asked
    await crm.write(gift(key, standing="refunded", whom=whom(OTHER), is_there=True))
    await crm.write(msgspec.structs.replace(said, code="wrong_number", whom=whom(OTHER), is_there=True))
    assert side.asked == asked + 2, "nobody is looked for"
    (entry,) = [one for one in side.entries.values() if "amount" in one]
    assert entry["refunded"]
    assert any(str(value) in str(entry) for value in ("'contact_id': 7", "003A", UUID(int=7)))
    (activity,) = [one for name, one in side.entries.items() if name.startswith("activity")]
    assert "wrong_number" in str(activity)
    assert "promise_to_pay" not in str(activity)


async def test_somebody_whom_the_crm_does_not_know_becomes_known_with_the_gift(side: Side, crm: Crm) -> None:
    if not side.can_write:
        return
    for _ in range(2):
        await crm.write(gift(UUID(int=5), whom=whom(UNKNOWN)))
    told = str(side.entries)
    assert "12025550199" in told
    assert sum("amount" in one for one in side.entries.values()) == 1


async def test_an_opt_out_and_a_disposition_arrive_once(side: Side, crm: Crm) -> None:
    if not side.can_write:
        return
    entries = [
        OptOut(key=uuid4(), whom=whom(), at=AT, channel="sms"),
        Disposition(key=uuid4(), whom=whom(), at=AT, code="promise_to_pay", note="on Friday"),
    ]
    for entry in entries * 2:
        assert await crm.write(entry)
    assert len(side.entries) == len(entries)
    assert "promise_to_pay" in str(side.entries)


async def test_the_word_of_one_silences_everybody_who_shares_the_number(side: Side, crm: Crm) -> None:
    if not side.can_write or not hasattr(side, "contacts"):
        return  # behind an interface of their own, the CRM's own people find them
    everybody = side.share_number()
    assert await crm.write(silence(phones=(KNOWN,)))
    assert set(side.silenced) == everybody
    side.silenced.clear()
    assert await crm.write(silence(phones=(UNKNOWN, OTHER)))
    assert len(set(side.silenced)) == 1, "a second number of hers counts too"


async def test_whom_the_crm_knows_by_email_only_is_silenced_by_it_and_nobody_else(side: Side, crm: Crm) -> None:
    if not side.can_write or not hasattr(side, "contacts"):
        return
    side.give_email("ruth.o@example.org")
    assert await crm.write(silence(email="Ruth.O@example.org"))
    assert len(side.silenced) == 1
    side.silenced.clear()
    assert not await crm.write(silence(email="h.o@example.org"))
    assert not await crm.write(silence(phones=(UNKNOWN,)))
    assert side.silenced == []


async def test_a_gift_of_somebody_without_a_telephone_is_written_by_her_email(side: Side, crm: Crm) -> None:
    if not side.can_write:
        return
    payer = Whom(person_id=UUID(int=78), email="new@example.org")
    assert await crm.write(gift(uuid4(), whom=payer))
    assert "new@example.org" in str(side.entries)


async def test_a_write_that_fails_may_be_tried_again(side: Side, crm: Crm) -> None:
    if not side.can_write:
        return
    key = uuid4()
    side.set_mood("down")
    with pytest.raises(CrmUnavailableError):
        await crm.write(gift(key))
    side.set_mood("good")
    await crm.write(gift(key))
    assert sum("amount" in one for one in side.entries.values()) == 1


@pytest.mark.parametrize("url", ["http://crm.example.org", "ftp://127.0.0.1", "https://a:b@crm.example.org", "crm"])
def test_donors_are_asked_for_over_https_only(url: str) -> None:
    with pytest.raises(ValidationError):
        CrmRestSettings(url=url)


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret-word@127.0.0.1/crm",
        "postgresql://u:secret-word@db.example.org/crm",
        "postgresql://u:secret-word@/crm?host=db.example.org",
        "postgresql://u:secret-word@127.0.0.1,db.example.org:5433/crm",
        "postgresql://u:secret-word@localhost/crm?host=127.0.0.1,db.example.org",
        "postgresql://u:secret-word@/crm?service=books",
        "postgresql://u:secret-word@db.example.org/crm?sslmode=require&%73slmode=disable",
        "postgresql://u:secret-word@db.example.org/crm?sslmode=prefer",
    ],
)
def test_a_database_elsewhere_needs_tls_and_must_be_postgresql(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CrmSqlSettings(url=SecretStr(url))
    assert "secret-word" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:w@127.0.0.1:5433/crm",
        "postgresql://u:w@[::1]:5433,localhost/crm",
        "postgresql:///crm?host=/run/postgresql",
        "postgresql://u:w@%2Frun%2Fpostgresql/crm",
        "postgresql://u:w@db.example.org,db2.example.org/crm?sslmode=verify-full",
    ],
)
def test_a_database_on_this_machine_or_behind_tls_is_taken(url: str) -> None:
    assert CrmSqlSettings(url=SecretStr(url)).url is not None


def test_a_database_that_only_the_environment_names_needs_tls_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example.org")
    with pytest.raises(ValidationError):
        CrmSqlSettings(url=SecretStr("postgresql:///crm"))
    assert CrmSqlSettings(url=SecretStr("postgresql:///crm?sslmode=require"))


def test_a_crm_without_its_settings_says_which_are_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"crm_rest\.client_secret"):
        Rest(CrmRestSettings(url="https://crm.example.org"), currency="USD", region="US")


def test_a_colon_in_a_text_a_cast_or_a_comment_is_no_parameter() -> None:
    asked = """SELECT ':digits', "a:digits", x::text -- :digits
        /* :nobody */ FROM t WHERE a = :digits AND b = :identifier_value AND c = :digits::bigint;"""
    text, names = sql.numbered(asked)
    assert names == ("digits", "identifier_value")
    assert text.endswith("a = $1::text AND b = $2::text AND c = $1::text::bigint")
    assert "':digits'" in text


@pytest.mark.parametrize("query", ["SELECT 1", "SELECT :name", "SELECT ':digits'"])
def test_a_query_that_asks_about_nobody_is_refused(query: str) -> None:
    with pytest.raises(ConfigurationError):
        sql.numbered(query)


async def test_a_query_can_change_nothing_and_takes_no_longer_than_its_time(database_url: str) -> None:
    for query, reason in (
        ("WITH x AS (SELECT set_config('a.b', :digits, false)) SELECT pg_sleep(60) FROM x", Failure.TIMED_OUT),
        ("SELECT nextval('s') AS name, :digits AS donor_id", Failure.WRONG_SHAPE),
        ("SELECT nowhere FROM t WHERE a = :digits", Failure.WRONG_SHAPE),
    ):
        crm = sql.Sql(CrmSqlSettings(url=SecretStr(database_url), query=query), currency="USD", region="US")
        with pytest.raises(LookupFailed) as failed:
            await crm.find(KNOWN)
        assert failed.value.reason is reason, failed.value.detail
        await crm.close()


async def test_an_error_is_never_anything_else_than_ours(side: Side) -> None:
    crm = side.crm(url=f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(TenderlineError):
        await crm.write(gift(uuid4()))
    await crm.close()


async def test_a_token_is_renewed_before_it_ends_and_also_when_nobody_waits_for_it_any_more() -> None:
    given, let_go, now = [], asyncio.Event(), 0.0
    let_go.set()

    async def give(request: web.Request) -> web.Response:
        given.append(await request.post())
        number = len(given)
        await let_go.wait()
        return web.json_response({"access_token": f"token-{number}", "expires_in": 100})

    app = web.Application()
    app.add_routes([web.post("/token", give)])
    async with TestServer(app) as server:
        crm_web = Web("The CRM")
        tokens = Tokens(
            crm_web,
            f"http://127.0.0.1:{server.port}/token",
            client_id="app",
            client_secret=SecretStr(SECRET),
            sent="form",
            clock=lambda: now,
        )
        assert await tokens.get() == "token-1"
        now = 79.0
        assert await tokens.get() == "token-1"
        assert len(given) == 1
        now = 81.0
        let_go.clear()
        assert await tokens.get() == "token-1", "it is good still; the next one is fetched beside"
        now = 101.0
        waiting = asyncio.create_task(tokens.get())
        async with asyncio.timeout(20):
            while len(given) < 2:
                await asyncio.sleep(0.01)
        waiting.cancel()
        let_go.set()
        assert await tokens.get() == "token-2", "who gave up waiting did not end the renewal"
        assert len(given) == 2
        await tokens.close()
        await crm_web.close()
