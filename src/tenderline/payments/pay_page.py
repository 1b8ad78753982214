"""One live page for one debt, whoever opens which link how often: two pages would be two payments.

The gateway is asked outside of any transaction. What it is asked with is committed before (`store/pay_pages.py`), what
it answered is shown only once it is kept, and the next page is made only when nobody can pay on the one before it.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, ProviderError, TenderlineError
from tenderline.core.money import Money
from tenderline.gateways.base import (
    Gateway,
    GatewayRefusedError,
    GatewayUnavailableError,
    PayPage,
    PayPageState,
    PayRequest,
)
from tenderline.payments.settle import ASKED_FOR
from tenderline.store import cases, pay_pages, payments, people
from tenderline.store.cases import Case
from tenderline.store.pay_pages import StoredPage, Terms

ROUNDS_MAX: Final = 4
"""Finish what was begun, end the old page, make the new one; and one more for somebody else's doing meanwhile."""
LOOKS_MAX: Final = 5
LOOK_PAUSE_S: Final = 0.3


class NotPayableError(TenderlineError):
    """This debt is not asked for now; open the link again to see how it stands."""

    code = "payment.not_asked_for"
    status = 409


class UnderWayError(TenderlineError):
    """This payment was made, or is on its way; wait until the bank confirms it."""

    code = "payment.under_way"
    status = 409


@dataclass(frozen=True, slots=True)
class Offer:
    """How a page is to be made if it must be."""

    description: str
    return_url: str


async def url_of(services: Services, person_id: UUID, case_id: UUID, offer: Offer) -> str:
    """Where a case's debt can be paid now.

    Raises `NotPayableError`, `UnderWayError`, or a `ProviderError` when the gateway cannot do what is needed.
    """
    for _ in range(ROUNDS_MAX):
        case, terms, page = await _look(services, person_id, case_id, offer)
        gateway = services.gateways.get(case.gateway)
        if gateway is None:
            raise GatewayRefusedError(f"The gateway {case.gateway} is not configured; set its API key.")
        if page is None or (page.url is None and case.pay_url is not None):
            # The gateway's own page for this debt. A page of ours was at most begun: nobody knows its address.
            return (await gateway.pay_page(_request(case, terms, known_url=case.pay_url))).url
        if page.url is None:
            url = await _begin(services, gateway, case, page, terms)
        else:
            url = await _go_on(services, gateway, case, page, terms)
        if url is not None:
            return url
    raise GatewayUnavailableError(f"The pay page of {case.transaction_id} keeps changing; try again.")


async def _look(
    services: Services, person_id: UUID, case_id: UUID, offer: Offer
) -> tuple[Case, Terms, StoredPage | None]:
    """The debt and its page at one instant: under the person's lock, since an older amount must not undo a newer one.

    A number is taken where there is none yet, unless the gateway has a page of its own.
    """
    async with services.pool.acquire() as connection, connection.transaction():
        await people.lock(connection, person_id)
        case = await cases.get(connection, case_id)
        if case is None or case.person_id != person_id or not _is_asked_for(case):
            raise NotPayableError()
        try:
            terms = Terms(Money.parse(case.amount_minor, case.currency), offer.description, offer.return_url)
        except InvalidInputError:
            raise NotPayableError() from None
        page = await pay_pages.get(connection, person_id, case_id)
        if page is None and case.pay_url is None:
            page = await pay_pages.reserve(connection, person_id, case_id, terms)
    return case, terms, page


def _is_asked_for(case: Case) -> bool:
    return case.transaction_status != "COMPLETED" and case.payment_status in ASKED_FOR


def _request(case: Case, terms: Terms, *, key: str | None = None, known_url: str | None = None) -> PayRequest:
    return PayRequest(
        key=key or f"pay-{case.id}",
        transaction_id=case.transaction_id,
        money=terms.money,
        description=terms.description,
        return_url=terms.return_url,
        known_url=known_url,
    )


async def _begin(services: Services, gateway: Gateway, case: Case, page: StoredPage, terms: Terms) -> str | None:
    """Asks for the page of a committed number, with what was committed beside it. None: look again."""
    try:
        made = await gateway.pay_page(_request(case, page.terms, key=page.key))
    except GatewayUnavailableError:
        if await _is_answered(services, page):
            return None
        raise
    except GatewayRefusedError:
        # What is refused under this number stays refused; nobody was led to it, so it can be left behind.
        async with services.pool.acquire() as connection:
            await pay_pages.renew(connection, page, terms)
        raise
    if made.reference is None:
        return made.url  # the gateway's own page for this debt
    if not await _keep(services, page, made, made.reference):
        # The page was renewed meanwhile. Nobody was led to this one; it is ended all the same.
        with contextlib.suppress(ProviderError):
            await gateway.close_pay_page(made.reference)
        return None
    async with services.pool.acquire() as connection:
        now = await cases.get(connection, case.id)
    if now is None or not _is_asked_for(now):  # settled while the gateway was asked: `end` did not know this page yet
        await gateway.close_pay_page(made.reference)
        raise NotPayableError()
    # Another amount, or the answer of long ago to a number that was never kept: not to be used as it is.
    return made.url if page.terms.money == terms.money and not _is_past(made) else None


def _is_past(made: PayPage) -> bool:
    return made.expires_at_unix_s is not None and made.expires_at_unix_s <= utc_now().timestamp()


async def _keep(services: Services, page: StoredPage, made: PayPage, reference: str) -> bool:
    async with services.pool.acquire() as connection:
        return await pay_pages.keep(
            connection, page, url=made.url, reference=reference, expires_at_unix_s=made.expires_at_unix_s
        )


async def _is_answered(services: Services, page: StoredPage) -> bool:
    """Whether somebody who asked at the same time gets an answer shortly: two presses of one button."""
    for _ in range(LOOKS_MAX):
        async with services.pool.acquire() as connection:
            now = await pay_pages.get(connection, page.person_id, page.case_id)
        if now is not None and (now.number != page.number or now.url is not None):
            return True
        await asyncio.sleep(LOOK_PAUSE_S)
    return False


async def _go_on(services: Services, gateway: Gateway, case: Case, page: StoredPage, terms: Terms) -> str | None:
    """The page that there is, when it is still the right one; otherwise its end, and None: look again."""
    assert page.url is not None
    assert page.reference is not None
    is_right = case.pay_url is None and page.terms.money == terms.money
    try:
        state = await (gateway.read_pay_page if is_right else gateway.close_pay_page)(page.reference)
    except ProviderError:
        if is_right and page.is_live:
            return page.url  # the one page there is: it cannot be paid twice
        raise
    if state is PayPageState.USED:
        raise UnderWayError()
    if state is PayPageState.OPEN:
        if is_right:
            return page.url
        raise GatewayUnavailableError(f"The pay page {page.reference} cannot be ended, so no other is made; try later.")
    if state is PayPageState.UNKNOWN and not page.is_surely_over:
        # Perhaps another account's key: where it was made, it may still be open.
        raise GatewayUnavailableError(f"The pay page {page.reference} is not known there; check the API key.")
    if case.pay_url is not None:
        return (await gateway.pay_page(_request(case, terms, known_url=case.pay_url))).url
    async with services.pool.acquire() as connection:
        await pay_pages.renew(connection, page, terms)
    return None


async def end(services: Services, payment_id: UUID) -> None:
    """Sees to it that nobody can pay a debt any more that is settled or not asked for. Raises `ProviderError`."""
    async with services.pool.acquire() as connection:
        payment = await payments.get(connection, payment_id)
        pages = await pay_pages.of_payment(connection, payment.person_id, payment_id)
    gateway = services.gateways.get(payment.gateway)
    for page in pages:
        if gateway is None or page.reference is None or page.is_surely_over:
            continue
        state = await gateway.close_pay_page(page.reference)
        if state is PayPageState.OPEN:
            raise GatewayUnavailableError(f"The pay page {page.reference} is still open; it is tried again.")
