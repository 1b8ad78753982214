"""The payer's pages: a signed link leads to the gateway's payment page, or to silence. No account, no personal data.

Opening a link changes nothing: mail scanners open links too. Paying and stopping are posts.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import structlog
from litestar import Request, Response, Router, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.app import Services
from tenderline.core import links
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, ProviderError, RateLimitedError
from tenderline.core.events import PaymentLinkOpened
from tenderline.core.links import ExpiredLinkError, InvalidLinkError
from tenderline.core.money import Money
from tenderline.notify.delivery import OWN_PAGE_LINK, PAY_LINK, STOP_LINK, link
from tenderline.payments import pay_page
from tenderline.payments.pay_page import NotPayableError, Offer, UnderWayError
from tenderline.people import consent
from tenderline.store import cases, events, limits, outcomes, people
from tenderline.store.cases import Case
from tenderline.store.db import Connection
from tenderline.web.pages import SecurityHeaders, address_of, lead_to, page, services_of

log = structlog.get_logger(__name__)

BODY_BYTES_MAX: Final = 4096
PAID_LINK: Final = "paid"
"""Where the gateway sends a payer back to. It names the case, whichever message she came by."""

# In a minute. A link that is true is counted by itself, never by address: many people share one.
VIEWS_PER_LINK_MAX: Final = 60
PAYS_PER_LINK_MAX: Final = 10
INVALID_LINKS_PER_ADDRESS_MAX: Final = 60
# In an hour.
TOLD_OPENINGS_MAX: Final = 1
KEPT_STOPS_PER_LINK_MAX: Final = 20
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
    "busy": "Please wait a minute",
    "stale": "Please open the page again",
}
_STATUS: Final = {"expired": 410, "invalid": 404, "unavailable": 503, "busy": 429, "stale": 403}

AnyRequest = Request[Any, Any, Any]


def notice_page(services: Services, kind: str, headers: dict[str, str] | None = None, **values: Any) -> Response[str]:
    shown = {"organisation": services.settings.organisation, "amount": "", "token": "", "again": ""}
    shown |= {"own_page": "", **values}
    return page("payer.html", status=_STATUS.get(kind, 200), headers=headers, kind=kind, titles=_TITLES, **shown)


def busy(request: AnyRequest, error: Exception) -> Response[str]:
    assert isinstance(error, RateLimitedError)
    return notice_page(services_of(request), "busy", {"Retry-After": str(error.retry_after_s)})


def _subject_of(services: Services, purpose: str, token: str) -> UUID:
    """The attempt (or, of a paid link, the case) that a link names."""
    return UUID(bytes=links.verify(services.key_for(purpose), purpose, token, utc_now().timestamp()))


async def invalid_link(request: AnyRequest) -> Response[str]:
    """For a link that is not ours. Whoever tries many is told to wait; whoever holds a true one is not held up."""
    services = services_of(request)
    async with services.pool.acquire() as connection:
        of = limits.subject("link-invalid", address_of(request))
        (await limits.take(connection, of, limit=INVALID_LINKS_PER_ADDRESS_MAX)).require_room()
    return notice_page(services, "invalid")


async def count_use(connection: Connection, what: str, subject: UUID, *, limit: int) -> None:
    (await limits.take(connection, limits.subject(what, str(subject)), limit=limit)).require_room()


async def _is_first_this_hour(connection: Connection, attempt_id: UUID) -> bool:
    of = limits.subject("link-opened", str(attempt_id))
    return not (await limits.take(connection, of, limit=TOLD_OPENINGS_MAX, window_s=limits.WINDOW_MAX_S)).is_exceeded


async def _case_of(connection: Connection, attempt_id: UUID) -> Case | None:
    case_id = await outcomes.case_of(connection, attempt_id)
    return await cases.get(connection, case_id) if case_id else None


async def _own_page(services: Services, connection: Connection, attempt_id: UUID) -> str:
    """The page of whoever an attempt went to, so that a text message need not carry a second link."""
    address = await outcomes.address_of(connection, attempt_id)
    return link(services, OWN_PAGE_LINK, address.person_id, address.contact_point_id) if address else ""


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


def _amount(case: Case | None) -> str:
    money = _money(case) if case else None
    return money.format(case.locale or "en_US") if case and money else ""


@get("/pay/{token:str}")
async def show_pay(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """What is asked, by whom, and a button."""
    services = services_of(request)
    try:
        attempt_id = _subject_of(services, PAY_LINK, token)
    except ExpiredLinkError:
        return notice_page(services, "expired")
    except InvalidLinkError:
        return await invalid_link(request)
    async with services.pool.acquire() as connection:
        await count_use(connection, "link-view", attempt_id, limit=VIEWS_PER_LINK_MAX)
        case = await _case_of(connection, attempt_id)
        own_page = await _own_page(services, connection, attempt_id)
        kind = _standing(case)
        if case is None or kind != "pay" or _money(case) is None:
            kind = "over" if kind == "pay" else kind
            return notice_page(services, kind, amount=_amount(case), again=f"/pay/{token}", own_page=own_page)
        if await _is_first_this_hour(connection, attempt_id):
            opened = PaymentLinkOpened(person_id=case.person_id, case_id=case.id, attempt_id=attempt_id)
            async with connection.transaction():
                await events.append(connection, [opened])
    return notice_page(services, kind, amount=_amount(case), token=token, own_page=own_page)


@post("/pay/{token:str}")
async def start_pay(request: AnyRequest, token: FromPath[str]) -> Response[Any]:
    """Leads to the gateway's own page: no card detail comes near us."""
    services = services_of(request)
    shown = Redirect(path=f"/pay/{token}", status_code=303)
    try:
        attempt_id = _subject_of(services, PAY_LINK, token)
    except (ExpiredLinkError, InvalidLinkError):
        return shown
    async with services.pool.acquire() as connection:
        await count_use(connection, "link-pay", attempt_id, limit=PAYS_PER_LINK_MAX)
        case = await _case_of(connection, attempt_id)
    if case is None or _standing(case) != "pay":
        return shown
    back = link(services, PAID_LINK, case.id)
    offer = Offer(description=f"Payment to {services.settings.organisation}", return_url=back)
    try:
        url = await pay_page.url_of(services, case.person_id, case.id, offer)
    except UnderWayError:
        return notice_page(services, "confirming", amount=_amount(case), again=back)
    except NotPayableError:
        return shown
    except ProviderError as error:
        log.warning("no pay page", gateway=case.gateway, case=str(case.id), why=error.detail)
        return notice_page(services, "unavailable", token=token)
    return lead_to(url)


@get("/paid/{token:str}")
async def show_paid(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """Where the gateway's page leads back to: the debt as it stands, or that the bank has yet to confirm it."""
    services = services_of(request)
    try:
        case_id = _subject_of(services, PAID_LINK, token)
    except ExpiredLinkError:
        return notice_page(services, "expired")
    except InvalidLinkError:
        return await invalid_link(request)
    async with services.pool.acquire() as connection:
        await count_use(connection, "link-paid", case_id, limit=VIEWS_PER_LINK_MAX)
        case = await cases.get(connection, case_id)
    kind = _standing(case)
    kind = "confirming" if kind == "pay" else kind
    return notice_page(services, kind, amount=_amount(case), again=f"/paid/{token}")


@get("/stop/{token:str}")
async def show_stop(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """Asks once, so that a mail scanner opening the link silences nobody."""
    services = services_of(request)
    try:
        attempt_id = _subject_of(services, STOP_LINK, token)
    except ExpiredLinkError:
        return notice_page(services, "invalid")
    except InvalidLinkError:
        return await invalid_link(request)
    async with services.pool.acquire() as connection:
        own_page = await _own_page(services, connection, attempt_id)
    return notice_page(services, "stop", token=token, own_page=own_page)


@post("/stop/{token:str}", status_code=200)
async def stop(request: AnyRequest, token: FromPath[str]) -> Response[str]:
    """Silence on every channel, before the page says so. Mail providers post here too (RFC 8058)."""
    services = services_of(request)
    try:
        attempt_id = _subject_of(services, STOP_LINK, token)
    except ExpiredLinkError:
        return notice_page(services, "invalid")
    except InvalidLinkError:
        return await invalid_link(request)
    async with services.pool.acquire() as connection:
        of = limits.subject("link-stop", str(attempt_id))
        window = await limits.take(connection, of, limit=KEPT_STOPS_PER_LINK_MAX, window_s=limits.WINDOW_MAX_S)
        async with connection.transaction():
            address = await outcomes.address_of(connection, attempt_id)
            if address is None:
                return notice_page(services, "invalid")
            own_page = link(services, OWN_PAGE_LINK, address.person_id, address.contact_point_id)
            # Nobody who wants silence is refused: past the limit it is only not written down once more.
            if window.is_exceeded and (await people.get(connection, address.person_id)).opted_out_at is not None:
                return notice_page(services, "stopped", own_page=own_page)
            await consent.opt_out(
                connection,
                address.person_id,
                channel=address.channel,
                address=address.value,
                how="unsubscribe link",
                evidence="the link of a message was used to stop",
            )
    return notice_page(services, "stopped", own_page=own_page)


route_handlers = [
    Router(
        path="/",
        route_handlers=[show_pay, start_pay, show_paid, show_stop, stop],
        middleware=[SecurityHeaders()],
        exception_handlers={RateLimitedError: busy},
        include_in_schema=False,
        request_max_body_size=BODY_BYTES_MAX,
    )
]
