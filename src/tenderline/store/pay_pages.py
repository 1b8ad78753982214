"""The rows of pay pages: for each case the one page at its gateway, and what the gateway is asked with to get it.

The number is committed before the gateway is asked, and what it is asked with stands beside it. So whoever asks again,
after a crash or at the same time, asks under the same key for the same page.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tenderline.core.money import Money
from tenderline.store.db import Connection, query

CLOCKS_DIFFER_S_MAX = 3600.0
"""An end by the gateway's clock is sure by ours only so much later."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a page is asked for with."""

    money: Money
    description: str
    return_url: str


@dataclass(frozen=True, slots=True)
class StoredPage:
    """A case's page as it stands; without an address while the gateway has not answered."""

    person_id: UUID
    case_id: UUID
    number: int
    terms: Terms
    url: str | None
    reference: str | None
    expires_in_s: float | None

    @property
    def key(self) -> str:
        """The idempotency key: one for each page, the same whoever asks and whenever."""
        return f"pay-{self.case_id}-{self.number}"

    @property
    def is_live(self) -> bool:
        """Whether it could still be paid on, as far as its time goes."""
        return self.expires_in_s is None or self.expires_in_s > 0

    @property
    def is_surely_over(self) -> bool:
        """Whether its time is over by any clock."""
        return self.expires_in_s is not None and self.expires_in_s < -CLOCKS_DIFFER_S_MAX


async def get(connection: Connection, person_id: UUID, case_id: UUID) -> StoredPage | None:
    """A case's page, if one was ever asked for."""
    row = await connection.fetchrow(query("pay_pages", "get"), person_id, case_id)
    return _page(row) if row else None


async def of_payment(connection: Connection, person_id: UUID, payment_id: UUID) -> list[StoredPage]:
    """The pages of the cases of a payment."""
    return [_page(row) for row in await connection.fetch(query("pay_pages", "of_payment"), person_id, payment_id)]


def _page(row: Any) -> StoredPage:
    return StoredPage(
        person_id=row["person_id"],
        case_id=row["case_id"],
        number=row["number"],
        terms=Terms(Money(row["amount_minor"], row["currency"]), row["description"], row["return_url"]),
        url=row["url"],
        reference=row["reference"],
        expires_in_s=row["expires_in_s"],
    )


async def reserve(connection: Connection, person_id: UUID, case_id: UUID, terms: Terms) -> StoredPage:
    """A case's page; its first number, with these terms, when there is none yet."""
    await connection.execute(
        query("pay_pages", "reserve"),
        person_id,
        case_id,
        terms.money.minor,
        terms.money.currency,
        terms.description,
        terms.return_url,
    )
    page = await get(connection, person_id, case_id)
    assert page is not None, "pay pages are never deleted"
    return page


async def keep(
    connection: Connection, page: StoredPage, *, url: str, reference: str, expires_at_unix_s: int | None
) -> bool:
    """Keeps what the gateway answered. False when the page was renewed meanwhile: nobody may be led there."""
    row = await connection.fetchrow(
        query("pay_pages", "keep"), page.person_id, page.case_id, page.number, url, reference, expires_at_unix_s
    )
    return row is not None


async def renew(connection: Connection, page: StoredPage, terms: Terms) -> None:
    """The next number, with these terms, unless somebody else has taken it. Only once nobody can pay on this one."""
    await connection.execute(
        query("pay_pages", "renew"),
        page.person_id,
        page.case_id,
        page.number,
        page.reference,
        terms.money.minor,
        terms.money.currency,
        terms.description,
        terms.return_url,
    )
