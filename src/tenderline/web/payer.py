"""The payer's pages: a signed link leads to the gateway's payment page, or to silence. No account, no personal data.

Opening a link changes nothing: mail scanners open links too. Paying and stopping are posts.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.response import Redirect, Template
from litestar.status_codes import HTTP_200_OK, HTTP_404_NOT_FOUND, HTTP_410_GONE, HTTP_503_SERVICE_UNAVAILABLE

from tenderline.app import Services
from tenderline.core import links
from tenderline.core.clock import utc_now
from tenderline.core.errors import ProviderError
from tenderline.core.events import PaymentLinkOpened
from tenderline.core.links import ExpiredLinkError, InvalidLinkError
from tenderline.core.money import Money
from tenderline.gateways.base import PayRequest
from tenderline.notify.delivery import PAY_LINK, STOP_LINK
from tenderline.people import consent
from tenderline.store import cases, events, outcomes
from tenderline.store.cases import Case
from tenderline.store.db import Connection

TEMPLATE = "payer.html"


def _page(services: Services, kind: str, *, status: int = HTTP_200_OK, **values: Any) -> Template:
    context = {"kind": kind, "organisation": services.settings.organisation, "amount": "", "token": "", **values}
    return Template(TEMPLATE, context=context, status_code=status)


def _subject(services: Services, purpose: str, token: str) -> UUID:
    raw = links.verify(services.key_for(purpose), purpose, token, int(utc_now().timestamp()))
    return UUID(bytes=raw)


async def _case_of(connection: Connection, attempt_id: UUID) -> Case | None:
    case_id = await outcomes.case_of(connection, attempt_id)
    return await cases.get(connection, case_id) if case_id else None


def _amount(case: Case) -> str:
    return Money.parse(case.amount_minor, case.currency).format(case.locale or "en_US")


@get("/pay/{token:str}", include_in_schema=False)
async def show_pay(request: Request[Any, Any, Any], token: str) -> Template:
    """What is asked, by whom, and a button."""
    services: Services = request.app.state.services
    try:
        attempt_id = _subject(services, PAY_LINK, token)
    except ExpiredLinkError:
        return _page(services, "expired", status=HTTP_410_GONE)
    except InvalidLinkError:
        return _page(services, "invalid", status=HTTP_404_NOT_FOUND)
    async with services.pool.acquire() as connection, connection.transaction():
        case = await _case_of(connection, attempt_id)
        if case is None:
            return _page(services, "invalid", status=HTTP_404_NOT_FOUND)
        if case.transaction_status == "COMPLETED":
            return _page(services, "paid")
        if case.state in ("stopped", "exhausted") and case.payment_status != "failed":
            return _page(services, "over")
        opened = PaymentLinkOpened(person_id=case.person_id, case_id=case.id, attempt_id=attempt_id)
        await events.append(connection, [opened])
    if "done" in request.query_params:
        return _page(services, "confirming", amount=_amount(case))
    return _page(services, "pay", amount=_amount(case), token=token)


@post("/pay/{token:str}", include_in_schema=False)
async def start_pay(request: Request[Any, Any, Any], token: str) -> Response[Any]:
    """Leads to the gateway's own page: no card detail comes near us."""
    services: Services = request.app.state.services
    try:
        attempt_id = _subject(services, PAY_LINK, token)
    except (ExpiredLinkError, InvalidLinkError):
        return Redirect(path=f"/pay/{token}", status_code=303)
    async with services.pool.acquire() as connection:
        case = await _case_of(connection, attempt_id)
    if case is None or case.transaction_status == "COMPLETED":
        return Redirect(path=f"/pay/{token}", status_code=303)
    money = Money.parse(case.amount_minor, case.currency)
    wanted = PayRequest(
        # One page for one debt and day, whichever message was opened: two open tabs cannot pay twice.
        key=f"pay-{case.id}-{utc_now():%Y%m%d}-{money.minor}",
        transaction_id=case.transaction_id,
        money=money,
        description=f"Payment to {services.settings.organisation}",
        return_url=f"{services.settings.public_url}/pay/{token}?done=1",
        known_url=case.pay_url,
    )
    try:
        page = await services.gateways[case.gateway].pay_page(wanted)
    except (ProviderError, KeyError):
        return _page(services, "unavailable", status=HTTP_503_SERVICE_UNAVAILABLE, token=token)
    return Redirect(path=page.url, status_code=303)


@get("/stop/{token:str}", include_in_schema=False)
async def show_stop(request: Request[Any, Any, Any], token: str) -> Template:
    """Asks once, so that a mail scanner opening the link silences nobody."""
    services: Services = request.app.state.services
    try:
        _subject(services, STOP_LINK, token)
    except (ExpiredLinkError, InvalidLinkError):
        return _page(services, "invalid", status=HTTP_404_NOT_FOUND)
    return _page(services, "stop", token=token)


@post("/stop/{token:str}", include_in_schema=False, status_code=HTTP_200_OK)
async def stop(request: Request[Any, Any, Any], token: str) -> Template:
    """Silence on every channel, before the page says so. Mail providers post here too (RFC 8058)."""
    services: Services = request.app.state.services
    try:
        attempt_id = _subject(services, STOP_LINK, token)
    except (ExpiredLinkError, InvalidLinkError):
        return _page(services, "invalid", status=HTTP_404_NOT_FOUND)
    async with services.pool.acquire() as connection, connection.transaction():
        address = await outcomes.address_of(connection, attempt_id)
        if address is None:
            return _page(services, "invalid", status=HTTP_404_NOT_FOUND)
        await consent.opt_out(
            connection,
            address.person_id,
            channel=address.channel,
            address=address.value,
            how="unsubscribe link",
            evidence="the link of a message was used to stop",
        )
    return _page(services, "stopped")


route_handlers = [show_pay, start_pay, show_stop, stop]
