"""Contact status and the dry run of the gate over the API: what is told, to whom, and what never is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from support import edge, services, world
from tenderline.people import consent
from tenderline.store import explanations

STATUS = "/api/v1/contact/status"
CHECK = "/api/v2/compliance/check"
UNKNOWN = "+12125550123"


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool)) as made:
        made.headers.update(await edge.token(made, pool, "contactcenter:read", "outbound:read"))
        yield made


async def stop(pool: Any, debtor: world.Debtor, at: datetime) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await consent.opt_out(
            connection, debtor.person_id, channel="sms", address=debtor.address, how="reply", evidence="STOP", at=at
        )


async def status(http: httpx.AsyncClient, **params: str) -> dict[str, Any]:
    answer = await http.get(STATUS, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def check(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await http.post(CHECK, json={"channel": "sms", **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_who_did_not_opt_out_may_be_contacted_and_each_channel_says_from_when(http, pool):
    debtor = await world.make_debtor(pool)
    told = await status(http, phoneNumber=debtor.address)
    assert (told["globalOptOutStatus"], told["known"], told["optOut"]) == ("FALSE", True, None)
    channels = {one["channel"]: one for one in told["channels"]}
    assert set(channels) == {"sms", "voice_live", "voice_artificial"}
    assert channels["sms"]["decision"] == "allow"
    assert channels["sms"]["nextAllowedAt"] == told["at"]
    assert channels["sms"]["rules"] == []


async def test_an_opt_out_is_told_with_its_instant_its_channel_and_the_ten_business_days(http, pool):
    debtor = await world.make_debtor(pool, zone="America/New_York")
    await stop(pool, debtor, datetime(2026, 6, 30, 15, 0, tzinfo=UTC))
    told = await status(http, phoneNumber=debtor.address)
    assert told["globalOptOutStatus"] == "TRUE"
    assert told["optOut"] == {
        "since": "2026-06-30T15:00:00Z",
        "channel": "sms",
        "how": "reply",
        "dueOn": "2026-07-15",
        "dueAt": "2026-07-16T04:00:00Z",
    }
    for one in told["channels"]:
        assert (one["decision"], one["nextAllowedAt"], one["reason"]) == ("deny", None, "opted_out")
        assert one["rules"][0]["id"] == "OWN-OPT-OUT"


async def test_an_opt_out_by_text_is_the_status_of_her_mail_too(http, pool):
    debtor = await world.make_debtor(pool)
    await stop(pool, debtor, datetime.now(UTC))
    await pool.execute(
        "INSERT INTO contact_point (person_id, id, kind, value) VALUES ($1, gen_random_uuid(), 'email', $2)",
        debtor.person_id,
        "pat@example.org",
    )
    told = await status(http, email="Pat@Example.org")
    assert told["globalOptOutStatus"] == "TRUE"
    assert [one["channel"] for one in told["channels"]] == ["email"]


async def test_at_night_the_next_allowed_instant_is_the_morning_there(http, pool):
    debtor = await world.make_debtor(pool, zone=world.zone_by_night())
    (sms, *_) = (await status(http, phoneNumber=debtor.address))["channels"]
    assert (sms["decision"], sms["reason"]) == ("defer", "outside_jurisdiction_hours")
    assert datetime.fromisoformat(sms["nextAllowedAt"]) > datetime.now(UTC)


async def test_an_unknown_number_is_answered_clearly_by_what_the_number_itself_tells(http):
    told = await status(http, phoneNumber=UNKNOWN)
    assert (told["globalOptOutStatus"], told["known"], told["address"]) == ("FALSE", False, UNKNOWN)
    assert next(one for one in told["channels"] if one["channel"] == "sms")["reason"] == "consent_missing"
    mail = await status(http, email="nobody@example.org")
    assert (mail["globalOptOutStatus"], mail["known"]) == ("FALSE", False)
    assert mail["channels"][0]["reason"] == "unknown_time_zone"


async def test_a_plus_that_came_unescaped_is_read_as_one(http, pool):
    debtor = await world.make_debtor(pool)
    answer = await http.get(f"{STATUS}?phoneNumber={debtor.address}")
    assert answer.json()["known"] is True


async def test_of_the_person_behind_an_address_nothing_is_told_but_her_refusal(http, pool):
    debtor = await world.make_debtor(pool)
    await pool.execute(
        "INSERT INTO contact_point (person_id, id, kind, value) VALUES ($1, gen_random_uuid(), 'email', 'x@y.example')",
        debtor.person_id,
    )
    await stop(pool, debtor, datetime.now(UTC))
    told = str(await status(http, phoneNumber=debtor.address)) + str(await check(http, phoneNumber=debtor.address))
    for secret in (str(debtor.person_id), "Payer", "x@y.example", "STOP", str(debtor.case_id)):
        assert secret not in told


async def test_a_contact_outside_the_hours_is_refused_in_the_words_of_the_integrations(http, pool):
    debtor = await world.make_debtor(pool, zone="America/New_York")
    late, morning = world.ahead(2, 21, "America/New_York"), world.ahead(3, 8, "America/New_York")
    asked = {"phoneNumber": debtor.address, "at": late.isoformat(), "caseId": str(debtor.case_id)}
    told = await check(http, **asked)
    assert {"allowCall": False, "reason": "outside_jurisdiction_hours"}.items() <= told.items()
    assert (told["decision"], told["nextAllowedAt"]) == ("defer", f"{morning.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    assert told["zones"] == {"America/New_York": late.isoformat()}
    assert told["rules"][0]["source"].startswith("47 CFR")
    before = await check(http, **{**asked, "at": (late - timedelta(seconds=1)).isoformat()})
    assert (before["allowCall"], before["reason"]) == (True, None)


async def test_a_person_is_asked_about_by_her_id_as_well(http, pool):
    debtor = await world.make_debtor(pool)
    assert (await check(http, personId=str(debtor.person_id)))["allowCall"] is True
    told = await check(http, personId=str(debtor.person_id), at="2026-01-05T12:00:00Z")
    assert explanations.PLACE in told["knownOnlyAsOfNow"]


async def test_asking_changes_nothing_and_counts_as_no_contact(http, pool):
    debtor = await world.make_debtor(pool)
    for _ in range(3):
        assert (await check(http, personId=str(debtor.person_id)))["allowCall"] is True
    assert len((await world.claim(pool)).leased) == 1
    assert (await check(http, personId=str(debtor.person_id)))["reason"] == "contact_cap_reached"


@pytest.mark.parametrize(
    ("params", "status_code", "code"),
    [
        ({}, 400, "one_address"),
        ({"phoneNumber": UNKNOWN, "email": "a@example.org"}, 400, "one_address"),
        ({"phoneNumber": ""}, 400, "one_address"),
        ({"phoneNumber": "12"}, 422, "invalid_phone"),
        ({"phoneNumber": "+1" + "5" * 200}, 422, "invalid_phone"),
        ({"phoneNumber": "5" * 300}, 400, "invalid_request"),
        ({"email": "nobody"}, 422, "invalid_mailbox"),
        ({"email": "\u0000@example.org"}, 422, "invalid_mailbox"),
        ({"phoneNumber": UNKNOWN, "purpose": "fun"}, 400, "invalid_request"),
    ],
)
async def test_a_status_that_cannot_be_asked_for_says_why(http, params, status_code, code):
    answer = await http.get(STATUS, params=params)
    assert (answer.status_code, answer.json()["code"]) == (status_code, code), answer.text


@pytest.mark.parametrize(
    ("body", "status_code", "code"),
    [
        ({}, 400, "one_target"),
        ({"phoneNumber": UNKNOWN, "email": "a@example.org"}, 400, "one_target"),
        ({"phoneNumber": UNKNOWN, "channel": "fax"}, 400, "invalid_request"),
        ({"phoneNumber": UNKNOWN, "channel": "email"}, 422, "invalid_question"),
        ({"phoneNumber": UNKNOWN, "at": "2026-11-21T20:55:00"}, 422, "invalid_question"),
        ({"phoneNumber": UNKNOWN, "at": "yesterday"}, 400, "invalid_request"),
        ({"phoneNumber": UNKNOWN, "at": "1066-11-21T20:55:00Z"}, 422, "invalid_question"),
        ({"phoneNumber": UNKNOWN, "odd": 1}, 400, "invalid_request"),
        ({"personId": "00000000-0000-7000-8000-000000000000"}, 404, "not_found"),
        ({"phoneNumber": UNKNOWN, "caseId": "00000000-0000-7000-8000-000000000000"}, 404, "not_found"),
    ],
)
async def test_a_check_that_cannot_be_made_says_why(http, body, status_code, code):
    answer = await http.post(CHECK, json={"channel": "sms", **body})
    assert (answer.status_code, answer.json()["code"]) == (status_code, code), answer.text


async def test_a_case_of_somebody_else_is_none_of_hers(http, pool):
    debtor, other = await world.make_debtor(pool), await world.make_debtor(pool)
    body = {"channel": "sms", "personId": str(debtor.person_id), "caseId": str(other.case_id)}
    assert (await http.post(CHECK, json=body)).status_code == 404


async def test_each_route_needs_its_own_scope_and_counts_against_the_limit(pool):
    async with edge.client(services.make(pool, api__requests_per_minute_max=2)) as http:
        only_cases = await edge.token(http, pool, "outbound:read")
        refused = await http.get(STATUS, params={"phoneNumber": UNKNOWN}, headers=only_cases)
        assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
        assert (await http.get(STATUS, params={"phoneNumber": UNKNOWN})).status_code == 401
        only_status = await edge.token(http, pool, "contactcenter:read")
        assert (await http.post(CHECK, json={"channel": "sms"}, headers=only_status)).status_code == 403
        assert (await http.get(STATUS, params={"phoneNumber": UNKNOWN}, headers=only_status)).status_code == 200
        limited = await http.get(STATUS, params={"phoneNumber": UNKNOWN}, headers=only_status)
        assert limited.status_code == 429
        assert limited.headers["retry-after"]


async def test_a_past_agreement_or_refusal_counts_for_a_past_instant(http, pool):
    debtor = await world.make_debtor(pool)
    await stop(pool, debtor, datetime.now(UTC) - timedelta(days=1))
    then = (datetime.now(UTC) - timedelta(days=2)).isoformat()
    told = await check(http, personId=str(debtor.person_id), at=then)
    assert "OWN-OPT-OUT" not in {one["id"] for one in told["rules"]}
    assert (await check(http, personId=str(debtor.person_id)))["reason"] == "opted_out"
