"""What every payment gateway in the package promises, whoever is on the other side; a new one is tested by being there.

The other side here misbehaves: it is silent, broken, or refuses. What a gateway says to a server that behaves is in the
test of that gateway.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from pydantic import SecretStr

import tenderline.gateways
from tenderline.config import Settings
from tenderline.core.errors import ForgedWebhookError, MalformedWebhookError, StaleWebhookError
from tenderline.core.facts import Payer
from tenderline.core.money import Money
from tenderline.gateways.base import (
    ChargeRequest,
    ChargeState,
    Gateway,
    GatewayRefusedError,
    GatewayUnavailableError,
    PayPage,
    PayPageState,
    PayRequest,
    RefundRequest,
)
from tenderline.gateways.stripe import Stripe

KEY = "sk_test_contract_0123456789"
TIMEOUT_S = 0.4
MEMBERS = {name: member for name, member in vars(Gateway).items() if inspect.isfunction(member) and name[0] != "_"}
REQUEST = PayRequest(
    key="pay-page-0001",
    transaction_id="pi_1",
    money=Money(2500, "USD"),
    description="Monthly gift",
    return_url="https://pay.example.org/thanks",
)
CHARGE = ChargeRequest(
    key="charge-0001",
    token="tok_1",
    money=Money(2500, "USD"),
    description="Monthly gift",
    reference="10000001",
    transaction_id="pi_1",
)
REFUND = RefundRequest(key="refund-0001", transaction_id="pi_1", money=Money(2500, "USD"), reference="re_1")
CALLS: dict[str, Callable[[Gateway], Awaitable[Any]]] = {
    "read_payer": lambda gateway: gateway.read_payer("cus_1"),
    "read_transaction_id": lambda gateway: gateway.read_transaction_id("in_1"),
    "read_payment": lambda gateway: gateway.read_payment("pi_1"),
    "pay_page": lambda gateway: gateway.pay_page(REQUEST),
    "read_pay_page": lambda gateway: gateway.read_pay_page("page_1"),
    "close_pay_page": lambda gateway: gateway.close_pay_page("page_1"),
    "prepare_charge": lambda gateway: gateway.prepare_charge(CHARGE),
    "charge": lambda gateway: gateway.charge(CHARGE),
    "read_charge": lambda gateway: gateway.read_charge("pi_1"),
    "cancel_charge": lambda gateway: gateway.cancel_charge("pi_1"),
    "refund": lambda gateway: gateway.refund(REFUND),
    "read_refund": lambda gateway: gateway.read_refund(REFUND),
    "check": lambda gateway: gateway.check(),
}


def _found() -> list[type[Any]]:
    """Every class in the package that has all that a gateway has."""
    classes = []
    for module_info in pkgutil.iter_modules(tenderline.gateways.__path__):
        module = importlib.import_module(f"{tenderline.gateways.__name__}.{module_info.name}")
        classes += [
            member
            for _, member in inspect.getmembers(module, inspect.isclass)
            if member.__module__ == module.__name__
            and not getattr(member, "_is_protocol", False)
            and all(hasattr(member, name) for name in MEMBERS)
        ]
    return classes


def _open(kind: type[Any], api_url: str = "http://127.0.0.1:1") -> Gateway:
    """The gateway with its own section of the settings, as the package's wiring makes it."""
    section: Any = Settings.model_fields[kind.name].annotation
    values: dict[str, Any] = {"api_url": api_url, "timeout_s": TIMEOUT_S}
    for name, field in section.model_fields.items():
        if field.annotation == SecretStr | None:
            values[name] = KEY
        elif field.annotation == list[SecretStr]:
            values[name] = ["contract_secret"]
    gateway: Gateway = kind(section(**values))
    return gateway


GATEWAYS = _found()
every_gateway = pytest.mark.parametrize("kind", GATEWAYS, ids=lambda kind: str(kind.name))


def test_the_gateways_in_the_package_are_found_and_have_names_of_their_own() -> None:
    assert Stripe in GATEWAYS
    assert len({kind.name for kind in GATEWAYS}) == len(GATEWAYS)


@every_gateway
def test_a_gateway_answers_the_contract_and_is_named_like_its_module(kind: type[Any]) -> None:
    assert kind.name == kind.__module__.rpartition(".")[2] == kind.name.lower()
    for name, promised in MEMBERS.items():
        own = getattr(kind, name)
        assert list(inspect.signature(own).parameters) == list(inspect.signature(promised).parameters), name
        assert inspect.iscoroutinefunction(own) == inspect.iscoroutinefunction(promised), name
        assert own.__doc__, name


@every_gateway
@settings(max_examples=40, deadline=None)
@given(signature=st.binary(max_size=80), body=st.binary(max_size=80))
def test_whatever_is_posted_unsigned_is_refused_with_one_of_three_errors(
    kind: type[Any], signature: bytes, body: bytes
) -> None:
    gateway = _open(kind)
    for headers in ({}, {f"{kind.name}-signature": signature, "content-type": signature}):
        with pytest.raises((ForgedWebhookError, StaleWebhookError, MalformedWebhookError)) as refusal:
            gateway.verify(headers, body, time.time())
        assert refusal.value.status == 400


@every_gateway
@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"null", b"[1]", b'{"id":{}}', b"[" * 50_000])
def test_a_stored_body_that_cannot_be_read_is_malformed(kind: type[Any], body: bytes) -> None:
    with pytest.raises(MalformedWebhookError):
        _open(kind).normalise(body)
    with pytest.raises(MalformedWebhookError):
        _open(kind).refunds_in(body)


async def _closed_port(_: web.Request) -> web.StreamResponse:
    raise AssertionError("nobody listens")


async def _silence(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(TIMEOUT_S * 5)
    return web.Response()


async def _half_an_answer(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "5000", "Content-Type": "application/json"})
    await response.prepare(request)
    await response.write(b'{"id": "')
    assert request.transport is not None
    request.transport.abort()
    return response


def _always(status: int, body: bytes) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, content_type="application/json")

    return answer


SPOKEN = b'{"error":{"type":"invalid_request_error","message":"No access with KEY for ann@example.org"}}'.replace(
    b"KEY", KEY.encode()
)
ABSENT = [
    pytest.param(_closed_port, id="nobody_listens"),
    pytest.param(_silence, id="it_never_answers"),
    pytest.param(_half_an_answer, id="it_hangs_up_in_the_middle"),
    pytest.param(_always(500, SPOKEN), id="500"),
    pytest.param(_always(503, b"<html>upstream ann@example.org</html>"), id="503_html"),
    pytest.param(_always(429, SPOKEN), id="429"),
    pytest.param(_always(200, b"<html>a captive portal</html>"), id="200_html"),
    pytest.param(_always(200, b"[1]"), id="200_list"),
    pytest.param(_always(200, b'"word"'), id="200_string"),
]


@asynccontextmanager
async def _served(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    if answer is _closed_port:
        yield f"http://127.0.0.1:{unused_port()}"
        return
    app = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        return await answer(request)

    app.router.add_route("*", "/{tail:.*}", handle)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("")).rstrip("/")


@every_gateway
@pytest.mark.parametrize("answer", ABSENT)
async def test_a_gateway_that_does_not_answer_is_unavailable_within_its_time_out(kind: type[Any], answer: Any) -> None:
    async with _served(answer) as api_url:
        gateway = _open(kind, api_url)
        began = time.monotonic()
        for name, call in CALLS.items():
            with pytest.raises(GatewayUnavailableError) as refusal:
                await call(gateway)
            assert "ann@example.org" not in refusal.value.detail, name
            assert KEY not in refusal.value.detail, name
        assert time.monotonic() - began < (TIMEOUT_S + 1.5) * len(CALLS)
        await gateway.close()


NOT_UNDERSTOOD = [
    pytest.param(200, b"{}", id="empty"),
    pytest.param(200, b'{"id":"x","status":7,"transaction_status":7,"refund_status":7}', id="no_text"),
    pytest.param(
        200,
        b'{"id":"x","status":"next_year","refund_id":"r","refund_status":"pending","transaction_status":"completed"}',
        id="a_word_of_next_year",
    ),
    pytest.param(302, b"{}", id="a_redirect"),
]


@every_gateway
@pytest.mark.parametrize(("status", "body"), NOT_UNDERSTOOD)
async def test_an_answer_that_nobody_understands_is_no_refusal_of_a_charge(
    kind: type[Any], status: int, body: bytes
) -> None:
    async with _served(_always(status, body)) as api_url:
        gateway = _open(kind, api_url)
        for name in ("charge", "read_charge", "cancel_charge"):
            with pytest.raises(GatewayUnavailableError):
                await CALLS[name](gateway)
        await gateway.close()


@every_gateway
@pytest.mark.parametrize(("status", "body"), NOT_UNDERSTOOD)
async def test_an_answer_that_nobody_understands_is_no_refusal_of_a_refund_nor_its_absence(
    kind: type[Any], status: int, body: bytes
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if "refunds" in request.path:
            return web.Response(status=status, body=body, content_type="application/json")
        return web.json_response({"id": "pi_1", "object": "payment_intent", "status": "succeeded"})

    async with _served(answer) as api_url:
        gateway = _open(kind, api_url)
        for request in (REFUND, structs.replace(REFUND, reference=None)):
            with pytest.raises(GatewayUnavailableError):
                await gateway.refund(request)
            with pytest.raises(GatewayUnavailableError):
                await gateway.read_refund(request)
        await gateway.close()


@every_gateway
async def test_a_refund_of_ours_whose_state_nobody_understands_did_arrive(kind: type[Any]) -> None:
    ours = {"client_reference": REFUND.key, "metadata": {"tenderline_refund": REFUND.key}, "id": "re_1", "status": "x"}

    async def answer(request: web.Request) -> web.StreamResponse:
        if "refunds" in request.path:
            return web.json_response({"object": "list", "data": [ours], "refunds": [ours]})
        return web.json_response({"id": "pi_1", "object": "payment_intent", "status": "succeeded"})

    async with _served(answer) as api_url:
        gateway = _open(kind, api_url)
        with pytest.raises(GatewayUnavailableError):
            await gateway.read_refund(structs.replace(REFUND, reference=None))
        await gateway.close()


@every_gateway
@pytest.mark.parametrize("status", [400, 401, 402, 403])
async def test_a_refusal_is_told_without_the_key_and_without_what_was_said(kind: type[Any], status: int) -> None:
    async with _served(_always(status, SPOKEN)) as api_url:
        gateway = _open(kind, api_url)
        for name, call in CALLS.items():
            with pytest.raises(GatewayRefusedError) as refusal:
                await call(gateway)
            assert str(status) in refusal.value.detail, name
            assert KEY not in refusal.value.detail, name
            assert "ann@example.org" not in refusal.value.detail, name
            assert refusal.value.__suppress_context__, name
        await gateway.close()


@every_gateway
async def test_what_the_gateway_does_not_know_is_nobody_and_nothing(kind: type[Any]) -> None:
    async with _served(_always(404, SPOKEN)) as api_url:
        gateway = _open(kind, api_url)
        assert await gateway.read_payer("cus_1") == Payer()
        assert await gateway.read_transaction_id("in_1") is None
        assert await gateway.read_payment("pi_1") is None
        assert await gateway.read_pay_page("page_1") is PayPageState.UNKNOWN
        assert await gateway.close_pay_page("page_1") is PayPageState.UNKNOWN
        assert await gateway.read_charge("pi_1") is None
        over = await gateway.cancel_charge("pi_1")
        assert over.state is ChargeState.OVER, "what is not there cannot be charged"
        await gateway.close()


@every_gateway
async def test_a_page_the_gateway_already_has_is_used_without_asking(kind: type[Any]) -> None:
    gateway = _open(kind)
    known = PayRequest(
        key="k",
        transaction_id="pi_1",
        money=Money(2500, "USD"),
        description="d",
        return_url="https://pay.example.org",
        known_url="https://invoice.example/in_1",
    )
    assert await gateway.pay_page(known) == PayPage(url="https://invoice.example/in_1")


@every_gateway
def test_where_cards_become_tokens_is_told_with_the_key_and_printed_without(kind: type[Any]) -> None:
    target = _open(kind).card_target()
    assert target is not None
    assert (target.kind, target.api_key) == (kind.name, KEY)
    assert KEY not in repr(target)


@every_gateway
async def test_closing_twice_or_unopened_is_harmless(kind: type[Any]) -> None:
    gateway = _open(kind)
    await gateway.close()
    with pytest.raises(GatewayUnavailableError):
        await gateway.read_payer("cus_1")
    await gateway.close()
    await gateway.close()
