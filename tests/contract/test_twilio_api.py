"""What the Twilio messenger makes of each answer of Twilio's, and how it asks what became of a message."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from tenderline.config import TwilioSettings
from tenderline.core.errors import ConfigurationError, ProviderError
from tenderline.core.ids import uuid7
from tenderline.messengers.base import (
    Accepted,
    Busy,
    OutgoingMessage,
    Receipt,
    ReceiptState,
    Refused,
    Throttle,
    Unknown,
)
from tenderline.messengers.twilio import PAGES_MAX, TRIAL_PREFIX, Twilio

ACCOUNT = "AC" + "0" * 32
TOKEN = "twilio-token-0123456789"
SID = "SM" + "a" * 32
LIST = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
MESSAGE = OutgoingMessage(
    reference=uuid7(),
    to="+12025550123",
    text="Hope House: pay é https://pay.example.org/pay/abc Reply STOP to opt out.",
    planned_at=datetime(2026, 3, 1, 0, 30, tzinfo=UTC),
)
Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def twilio(handler: Handler, **changed: Any) -> AsyncIterator[Twilio]:
    """A messenger in front of a server whose every answer is `handler`'s."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        values: dict[str, Any] = {"account_sid": ACCOUNT, "auth_token": SecretStr(TOKEN), "from_number": "+12025550100"}
        values |= {"api_url": f"http://127.0.0.1:{server.port}/", "timeout_s": 5.0, **changed}
        opened = Twilio(TwilioSettings(**values), "https://pay.example.org")
        yield opened
        await opened.close()


def always(status: int, body: Any = None, headers: dict[str, str] | None = None) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers=headers)

    return handler


def pages(*messages: list[dict[str, Any]], following: str | None = None) -> tuple[Handler, list[web.Request]]:
    """A list in pages; `following` is where the last one says that it goes on."""
    asked: list[web.Request] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request)
        page = int(request.query.get("Page", "0"))
        url = f"{LIST}?Page={page + 1}" if page + 1 < len(messages) else following
        return web.json_response({"messages": messages[page], "next_page_uri": url})

    return handler, asked


async def test_a_message_is_posted_with_its_attempt_in_the_callback() -> None:
    got: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        got.update(path=request.path, method=request.method, **await request.post())
        got["login"] = request.headers["Authorization"]
        return web.json_response({"sid": SID, "status": "queued"}, status=201)

    async with twilio(handler) as one:
        assert await one.send(MESSAGE, lambda: True) == Accepted(SID)
    assert got == {
        "path": LIST,
        "method": "POST",
        "login": "Basic " + base64.b64encode(f"{ACCOUNT}:{TOKEN}".encode()).decode(),
        "To": MESSAGE.to,
        "From": "+12025550100",
        "Body": MESSAGE.text,
        "StatusCallback": f"https://pay.example.org/webhooks/twilio?attempt={MESSAGE.reference}",
        "SmartEncoded": "false",
        "ValidityPeriod": "900",
    }


async def test_a_messaging_service_takes_the_place_of_the_number() -> None:
    got: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        got.update(await request.post())
        return web.json_response({"sid": SID}, status=201)

    async with twilio(handler, messaging_service_sid="MG" + "0" * 32) as one:
        assert await one.send(MESSAGE, lambda: True) == Accepted(SID)
    assert got["MessagingServiceSid"] == "MG" + "0" * 32
    assert "From" not in got


@pytest.mark.parametrize(
    ("status", "code", "kind", "unusable", "opted_out"),
    [
        (400, 21211, Refused, True, False),
        (400, 21614, Refused, True, False),
        (400, 21217, Refused, True, False),
        (400, 21401, Refused, True, False),
        (400, 21635, Refused, True, False),
        (400, 21610, Refused, False, True),
        (403, 21610, Refused, False, True),
        (400, 21617, Refused, False, False),
        (400, 21408, Refused, False, False),
        (400, None, Refused, False, False),
        (413, None, Refused, False, False),
        (401, 20003, Busy, False, False),
        (403, 20003, Busy, False, False),
        (404, 20404, Busy, False, False),
        (400, 21606, Busy, False, False),
        (400, 20003, Busy, False, False),
        (429, 20429, Busy, False, False),
        (400, 21611, Busy, False, False),
        (408, None, Unknown, False, False),
        (500, 20500, Unknown, False, False),
        (502, None, Unknown, False, False),
        (503, None, Unknown, False, False),
        (504, None, Unknown, False, False),
        (302, None, Unknown, False, False),
    ],
)
async def test_each_answer_means_taken_refused_busy_or_unknown(
    status: int, code: int | None, kind: type, unusable: bool, opted_out: bool
) -> None:
    body = {"code": code, "message": f"The 'To' number {MESSAGE.to} is not good", "status": status}
    async with twilio(always(status, body, {"Retry-After": "7"})) as one:
        outcome = await one.send(MESSAGE, lambda: True)
    assert isinstance(outcome, kind)
    assert MESSAGE.to not in repr(outcome)
    if isinstance(outcome, Refused):
        assert (outcome.address_unusable, outcome.opted_out) == (unusable, opted_out)
        assert outcome.code == (str(code) if code else f"http_{status}")


@pytest.mark.parametrize("body", [None, [], {}, {"sid": None}, {"sid": "a/../b"}, {"sid": 4}, {"sid": ""}])
async def test_a_taken_message_without_a_name_is_in_doubt(body: Any) -> None:
    async with twilio(always(201, body)) as one:
        assert isinstance(await one.send(MESSAGE, lambda: True), Unknown)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("86400", 3600, 3600),
        ("in 90 s", 30, 90),
        ("in 900000 s", 3600, 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 0),
        ("-5", None, None),
        ("soon", None, None),
        ("", None, None),
        ("٣", None, None),
    ],
)
async def test_we_wait_as_long_as_we_are_told_and_never_longer_than_an_hour(
    header: str, least: int | None, most: int | None
) -> None:
    if header.startswith("in "):
        header = format_datetime(datetime.now(UTC) + timedelta(seconds=int(header.split()[1])), usegmt=True)
    async with twilio(always(429, {"code": 20429}, {"Retry-After": header})) as one:
        outcome = await one.send(MESSAGE, lambda: True)
    assert isinstance(outcome, Busy)
    if least is None or most is None:
        assert outcome.retry_after_s is None
    else:
        assert outcome.retry_after_s is not None
        assert least <= outcome.retry_after_s <= most


async def test_what_is_left_of_the_rate_limit_is_kept_for_whoever_paces_us() -> None:
    limits = {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "5"}
    async with twilio(always(201, {"sid": SID}, limits)) as one:
        assert one.throttle is None
        await one.send(MESSAGE, lambda: True)
        assert one.throttle == Throttle(remaining_share=0.1)
    for odd in ({"X-RateLimit-Limit": "50"}, {"X-RateLimit-Limit": "0", "X-RateLimit-Remaining": "0"}):
        async with twilio(always(201, {"sid": SID}, odd)) as one:
            await one.send(MESSAGE, lambda: True)
            assert one.throttle is None


async def test_a_message_in_doubt_is_found_by_its_text_on_any_page() -> None:
    other = {"sid": "SM" + "b" * 32, "body": "another text", "status": "sent"}
    found = {"sid": SID, "body": MESSAGE.text, "status": "sent"}
    handler, asked = pages([other] * 3, [other], [other, found])
    async with twilio(handler) as one:
        assert await one.find(MESSAGE) == Accepted(SID)
    assert [request.path for request in asked] == [LIST] * 3
    assert asked[0].query["To"] == MESSAGE.to
    assert asked[0].query["DateSent>"] == "2026-02-28"


@pytest.mark.parametrize("status", ["failed", "undelivered", "queued"])
async def test_a_message_that_failed_later_was_still_taken(status: str) -> None:
    handler, _ = pages([{"sid": SID, "body": MESSAGE.text, "status": status, "error_code": 30003}])
    async with twilio(handler) as one:
        assert await one.find(MESSAGE) == Accepted(SID)


async def test_a_trial_account_s_prefix_does_not_hide_a_message() -> None:
    handler, _ = pages([{"sid": SID, "body": TRIAL_PREFIX + MESSAGE.text}])
    async with twilio(handler) as one:
        assert await one.find(MESSAGE) == Accepted(SID)


async def test_a_message_that_still_waits_at_twilio_has_no_date_and_is_found_all_the_same() -> None:
    async def handler(request: web.Request) -> web.Response:
        queued = [] if "DateSent>" in request.query else [{"sid": SID, "body": MESSAGE.text, "status": "queued"}]
        return web.json_response({"messages": queued, "next_page_uri": None})

    async with twilio(handler) as one:
        assert await one.find(MESSAGE) == Accepted(SID)


@pytest.mark.parametrize("body", ["", MESSAGE.text + " ", MESSAGE.text[:-1], "x" + MESSAGE.text, None])
async def test_another_text_is_another_message(body: str | None) -> None:
    handler, _ = pages([{"sid": SID, "body": body}])
    async with twilio(handler) as one:
        assert await one.find(MESSAGE) is None


@pytest.mark.parametrize(
    "following",
    [
        "http://127.0.0.1:1/2010-04-01/Accounts/x/Messages.json",
        "//evil.example.org" + LIST,
        "https://api.twilio.com" + LIST,
        "/2010-04-01/Accounts/another/Messages.json",
        "http://[",
    ],
)
async def test_a_list_that_goes_on_elsewhere_is_not_followed(following: str) -> None:
    handler, asked = pages([], following=following)
    async with twilio(handler) as one:
        with pytest.raises(ProviderError):
            await one.find(MESSAGE)
    assert len(asked) == 1


async def test_a_list_that_goes_on_at_another_server_is_not_followed_there() -> None:
    elsewhere, asked_elsewhere = pages([{"sid": SID, "body": MESSAGE.text}])
    async with twilio(elsewhere) as other:
        handler, _ = pages([], following=f"{other._account}/Messages.json")
        async with twilio(handler) as one:
            with pytest.raises(ProviderError):
                await one.find(MESSAGE)
    assert asked_elsewhere == []


async def test_a_redirected_message_is_not_posted_again() -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        raise web.HTTPTemporaryRedirect("/there") if request.path != "/there" else web.HTTPCreated()

    async with twilio(handler) as one:
        assert isinstance(await one.send(MESSAGE, lambda: True), Unknown)
    assert asked == [LIST]


async def test_a_list_without_an_end_never_says_that_a_message_is_unknown() -> None:
    asked = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"messages": [], "next_page_uri": LIST})

    async with twilio(handler) as one:
        with pytest.raises(ProviderError):
            await one.find(MESSAGE)
    assert asked == PAGES_MAX


@pytest.mark.parametrize(
    "handler",
    [
        *(always(status, {"message": MESSAGE.to}) for status in (401, 403, 404, 429, 500, 503, 302)),
        *(always(200, body) for body in (None, [], {}, {"messages": 4}, {"messages": [4]}, {"messages": ["x"]})),
        always(200, {"messages": [{"body": "x" * 1000}] * 5000}),
    ],
)
async def test_when_twilio_cannot_tell_nothing_is_concluded(handler: Handler) -> None:
    async with twilio(handler) as one:
        with pytest.raises(ProviderError) as told:
            await one.find(MESSAGE)
    assert told.value.__cause__ is None
    for secret in (TOKEN, MESSAGE.to, MESSAGE.text):
        assert secret not in str(told.value)


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        ({"status": "queued"}, ReceiptState.ACCEPTED),
        ({"status": "accepted"}, ReceiptState.ACCEPTED),
        ({"status": "sending"}, ReceiptState.ACCEPTED),
        ({"status": "sent"}, ReceiptState.ACCEPTED),
        ({"status": "delivered", "error_code": None}, ReceiptState.DELIVERED),
        ({"status": "read"}, ReceiptState.DELIVERED),
        ({"status": "undelivered", "error_code": 30003}, ReceiptState.FAILED),
        ({"status": "failed", "error_code": 30006}, ReceiptState.FAILED),
        ({"status": "canceled"}, ReceiptState.FAILED),
    ],
)
async def test_how_far_a_message_got_is_asked_by_its_name(answer: dict[str, Any], state: ReceiptState) -> None:
    async with twilio(always(200, {"sid": SID, **answer})) as one:
        receipt = await one.status(SID)
    assert isinstance(receipt, Receipt)
    assert (receipt.reference, receipt.provider_reference, receipt.state) == (None, SID, state)
    assert receipt.address_unusable is (answer.get("error_code") == 30006)


@pytest.mark.parametrize("status", ["received", "brand_new", None, 7])
async def test_a_status_that_says_nothing_teaches_nothing(status: Any) -> None:
    async with twilio(always(200, {"sid": SID, "status": status})) as one:
        assert await one.status(SID) is None


async def test_the_doctor_is_told_of_an_account_that_cannot_send() -> None:
    async with twilio(always(200, {"status": "active"})) as one:
        assert "active" in await one.check()
    for handler in (always(200, {"status": "suspended"}), always(404, {})):
        async with twilio(handler) as one:
            with pytest.raises(ConfigurationError):
                await one.check()
    async with twilio(always(401, {"code": 20003})) as one:
        with pytest.raises(ProviderError, match=r"twilio\.auth_token"):
            await one.check()


@pytest.mark.parametrize(
    "changed",
    [{"account_sid": None}, {"account_sid": "AC/../x"}, {"auth_token": None}, {"from_number": None}],
)
def test_settings_that_cannot_work_are_named(changed: dict[str, Any]) -> None:
    good: dict[str, Any] = {"account_sid": ACCOUNT, "auth_token": SecretStr(TOKEN), "from_number": "+12025550100"}
    with pytest.raises(ConfigurationError, match=r"twilio\."):
        Twilio(TwilioSettings(**{**good, **changed}), "https://pay.example.org")
