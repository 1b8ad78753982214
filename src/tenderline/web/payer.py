"""The payer's pages: a signed link leads to the gateway's payment page, or to silence. No account, no personal data.

Opening a link changes nothing: mail scanners open links too. Paying and stopping are posts.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.app import Services
from tenderline.core import links
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, ProviderError
from tenderline.core.events import PaymentLinkOpened
from tenderline.core.links import ExpiredLinkError, InvalidLinkError
from tenderline.core.money import Money
from tenderline.gateways.base import PayRequest
from tenderline.notify.delivery import PAY_LINK, STOP_LINK
from tenderline.people import consent
from tenderline.store import cases, events, outcomes
from tenderline.store.cases import Case
from tenderline.store.db import Connection
from tenderline.web.pages import SecurityHeaders, lead_to, page, services_of

BODY_BYTES_MAX: Final = 4096
_TITLES: Final = {
    "pay": "Complete your payment",
    "confirming": "Your payment is being confirmed",
    "paid": "Paid, thank you",
    "over": "Nothing to pay",
    "expired": "This link has ended",
    "invalid": "This link does not work",
    "unavailable": "Please try again in a minute",
    "stop": "Stop all messages",
    "stopped": "Messages are stopped",
}
_STATUS: Final = {"expired": 410, "invalid": 404, "unavailable": 503}

AnyRequest = Request[Any, Any, Any]


def _page(services: Services, kind: str, **values: Any) -> Response[str]:
    shown = {"organisation": services.settings.organisation, "amount": "", "token": "", **values}
    return page("payer.html", status=_STATUS.get(kind, 200), kind=kind, titles=_TITLES, **shown)


def _attempt_of(services: Services, purpose: str, token: FromPath[str]) -> UUID:
    return UUID(bytes=links.verify(services.key_for(purpose), purpose, token, utc_now().timestamp()))


async def _case_of(connection: Connection, attempt_id: UUID) -> Case | None:
    case_id = await outcomes.case_of(connection, attempt_id)
    return await cases.get(connection, case_id) if case_id else None


def _standing(case: Case | None) -> str:
    """Which page a case leads to. A debt that we gave up asking for may still be paid."""
    if case is None:
        return "invalid"
    if case.transaction_status == "COMPLETED":
        return "paid"
    if case.payment_status == "processing":
        return "confirming"  # a debit on its way: a second one would charge twice
    return "pay" if case.payment_status in ("failed", "action_required") else "over"


def _money(case: Case) -> Money | None:
    try:
        return Money.parse(case.amount_minor, case.currency)
    except InvalidInputError:
        return None


@get("/pay/{token:str}")
async def show_pay(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """What is asked, by whom, and a button."""
    services = services_of(request)
    try:
        attempt_id = _attempt_of(services, PAY_LINK, token)
    except ExpiredLinkError:
        return _page(services, "expired")
    except InvalidLinkError:
        return _page(services, "invalid")
    async with services.pool.acquire() as connection, connection.transaction():
        case = await _case_of(connection, attempt_id)
        kind = _standing(case)
        money = _money(case) if case else None
        if case is None or money is None or kind != "pay":
            amount = money.format(case.locale or "en_US") if case and money else ""
            return _page(services, "over" if kind == "pay" else kind, amount=amount, token=token)
        if "done" not in request.query_params:
            opened = PaymentLinkOpened(person_id=case.person_id, case_id=case.id, attempt_id=attempt_id)
            await events.append(connection, [opened])
    kind = "confirming" if "done" in request.query_params else "pay"
    return _page(services, kind, amount=money.format(case.locale or "en_US"), token=token)


@post("/pay/{token:str}")
async def start_pay(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """Leads to the gateway's own page: no card detail comes near us."""
    services = services_of(request)
    try:
        attempt_id = _attempt_of(services, PAY_LINK, token)
    except (ExpiredLinkError, InvalidLinkError):
        return Redirect(path=f"/pay/{token}", status_code=303)
    async with services.pool.acquire() as connection:
        case = await _case_of(connection, attempt_id)
    money = _money(case) if case else None
    if case is None or money is None or _standing(case) != "pay":
        return Redirect(path=f"/pay/{token}", status_code=303)
    wanted = PayRequest(
        # One page for one debt and day, whichever message was opened: two open tabs lead to the same payment.
        key=f"pay-{case.id}-{utc_now():%Y%m%d}-{money.minor}",
        transaction_id=case.transaction_id,
        money=money,
        description=f"Payment to {services.settings.organisation}",
        return_url=f"{services.settings.public_url}/pay/{token}?done=1",
        known_url=case.pay_url,
    )
    try:
        found = await services.gateways[case.gateway].pay_page(wanted)
    except (ProviderError, KeyError):
        return _page(services, "unavailable", token=token)
    return lead_to(found.url)


@get("/stop/{token:str}")
async def show_stop(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """Asks once, so that a mail scanner opening the link silences nobody."""
    services = services_of(request)
    try:
        _attempt_of(services, STOP_LINK, token)
    except (ExpiredLinkError, InvalidLinkError):
        return _page(services, "invalid")
    return _page(services, "stop", token=token)


@post("/stop/{token:str}", status_code=200)
async def stop(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """Silence on every channel, before the page says so. Mail providers post here too (RFC 8058)."""
    services = services_of(request)
    try:
        attempt_id = _attempt_of(services, STOP_LINK, token)
    except (ExpiredLinkError, InvalidLinkError):
        return _page(services, "invalid")
    async with services.pool.acquire() as connection, connection.transaction():
        address = await outcomes.address_of(connection, attempt_id)
        if address is None:
            return _page(services, "invalid")
        await consent.opt_out(
            connection,
            address.person_id,
            channel=address.channel,
            address=address.value,
            how="unsubscribe link",
            evidence="the link of a message was used to stop",
        )
    return _page(services, "stopped")


route_handlers = [
    Router(
        path="/",
        route_handlers=[show_pay, start_pay, show_stop, stop],
        middleware=[SecurityHeaders()],
        include_in_schema=False,
        request_max_body_size=BODY_BYTES_MAX,
    )
]
