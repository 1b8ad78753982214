"""The rows of people and of the addresses that reach them.

One address reaches one party: the unique (kind, value) makes a STOP from an address silence whoever is behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from tenderline.core.ids import uuid7
from tenderline.store.db import Connection, query

PHONE = "phone"
EMAIL = "email"


@dataclass(frozen=True, slots=True)
class Person:
    """A person's own row."""

    id: UUID
    name: str | None
    locale: str | None
    zone: str | None
    opted_out_at: datetime | None
    opted_out_by: str | None
    distress_until: datetime | None
    review_at: datetime | None
    paused_until: datetime | None
    declined_channels: list[str]


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """One address of a person, normalised: E.164 or an e-mail address in lower case."""

    id: UUID
    kind: str
    value: str
    state: str
    state_why: str | None

    @property
    def usable(self) -> bool:
        """Whether a message may be addressed to it at all."""
        return self.state == "usable"


@dataclass(frozen=True, slots=True)
class Addresses:
    """A payer's addresses in one form each, and why those that are missing could not be used."""

    phone: str | None = None
    email: str | None = None
    rejected: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resolved:
    """Who the payer is."""

    person_id: UUID
    addresses: Addresses
    conflict: bool
    """The evidence points at more than one person."""
    learnt_address: bool
    """An address became known that was not before."""


@dataclass(frozen=True, slots=True)
class Owners:
    """Who is already known by an address or a reference."""

    by_phone: UUID | None = None
    by_email: UUID | None = None
    by_reference: UUID | None = None

    @property
    def all(self) -> set[UUID]:
        """The distinct people found."""
        return {found for found in (self.by_phone, self.by_email, self.by_reference) if found is not None}


async def find_owners(
    connection: Connection, *, phone: str | None, email: str | None, source: str, reference: str | None
) -> Owners:
    """Who is known by these, holding off others who ask for the same until the caller's transaction ends."""
    keys = [f"phone:{phone}"] if phone else []
    keys += [f"email:{email}"] if email else []
    keys += [f"{source}:{reference}"] if reference else []
    await connection.execute(query("people", "serialise"), sorted(keys))
    found: dict[str, UUID] = {}
    for row in await connection.fetch(query("people", "owners"), phone, email, source, reference):
        found[row["kind"]] = row["person_id"]
    return Owners(found.get(PHONE), found.get(EMAIL), found.get("reference"))


async def create(connection: Connection, *, name: str | None, locale: str | None) -> UUID:
    """A new person."""
    person_id = uuid7()
    await connection.execute(query("people", "create"), person_id, name, locale)
    return person_id


async def learn(connection: Connection, person_id: UUID, *, name: str | None, locale: str | None) -> None:
    """Fills in what was not known; what is known stays."""
    await connection.execute(query("people", "learn"), person_id, name, locale)


async def add_contact_point(connection: Connection, person_id: UUID, kind: str, value: str) -> bool:
    """True when the address is new. An address that belongs to somebody stays theirs."""
    added = await connection.fetchval(query("people", "add_contact_point"), person_id, uuid7(), kind, value)
    if added is not None and kind == PHONE:
        await connection.execute(query("people", "forget_place"), person_id)
    return added is not None


async def add_reference(connection: Connection, person_id: UUID, source: str, reference: str) -> None:
    """How a gateway or a CRM names this person."""
    await connection.execute(query("people", "add_reference"), person_id, source, reference)


async def lock(connection: Connection, person_id: UUID) -> Person:
    """The person's row, locked until the transaction ends. Everybody who changes what the gate reads locks it first."""
    return _person(await connection.fetchrow(query("people", "lock"), person_id))


async def get(connection: Connection, person_id: UUID) -> Person:
    """The person's row as it stands."""
    return _person(await connection.fetchrow(query("people", "get"), person_id))


async def find(connection: Connection, person_id: UUID) -> Person | None:
    """The person of an id that came from outside."""
    row = await connection.fetchrow(query("people", "get"), person_id)
    return _person(row) if row else None


def _person(row: object) -> Person:
    assert row is not None, "a person is never deleted while rows name her"
    return Person(**dict(row))  # type: ignore[call-overload]  # a Record is a mapping


async def contact_points(connection: Connection, person_id: UUID) -> list[ContactPoint]:
    """The person's addresses, oldest first."""
    return [ContactPoint(**row) for row in await connection.fetch(query("people", "contact_points"), person_id)]


async def find_by_address(connection: Connection, kind: str, value: str) -> tuple[UUID, UUID] | None:
    """(person id, contact point id) of an address."""
    row = await connection.fetchrow(query("people", "by_address"), kind, value)
    return (row["person_id"], row["id"]) if row else None


async def of_number(connection: Connection, number: str) -> tuple[UUID, UUID]:
    """Whoever has this number (E.164), and its contact point. A number that nobody is known by becomes a person of its
    own: she is known by it from then on, whatever is imported later."""
    found = await find_by_address(connection, PHONE, number)
    if found is not None:
        return found
    person_id = await create(connection, name=None, locale=None)
    await lock(connection, person_id)
    await add_contact_point(connection, person_id, PHONE, number)
    found = await find_by_address(connection, PHONE, number)
    assert found is not None, "we, or somebody else just now, have added it"
    return found


async def get_contact_point(connection: Connection, contact_point_id: UUID) -> tuple[UUID, ContactPoint] | None:
    """(person id, the address) of a contact point."""
    row = await connection.fetchrow(query("people", "contact_point"), contact_point_id)
    if row is None:
        return None
    values = dict(row)
    return values.pop("person_id"), ContactPoint(**values)


async def is_in_distress(connection: Connection, person_id: UUID) -> bool:
    """Whether a hold for distress stands: nothing is asked of her, least of all money."""
    return bool(await connection.fetchval(query("people", "is_in_distress"), person_id))


async def ask_for_review(connection: Connection, person_id: UUID) -> None:
    """Nothing leaves for her until somebody has read what she wrote (`reviewed`)."""
    await connection.execute(query("people", "ask_for_review"), person_id)


async def reviewed(connection: Connection, person_id: UUID) -> None:
    """Somebody has read what she wrote and lets contacts go on."""
    await connection.execute(query("people", "reviewed"), person_id)


async def lock_all(connection: Connection, person_ids: Iterable[UUID]) -> None:
    """Locks several people in id order, so that nobody who does the same can be waiting for us."""
    await connection.execute(query("people", "lock_all"), sorted(person_ids))


async def mark_unusable(connection: Connection, person_id: UUID, contact_point_id: UUID, why: str) -> bool:
    """The address failed for good and is not tried again. True when it was usable before."""
    return await connection.fetchval(query("people", "mark_unusable"), person_id, contact_point_id, why) is not None


async def adopt(connection: Connection, *, from_person: UUID, into_person: UUID) -> None:
    """Moves all that is hers, of somebody without an address, to the person who she turned out to be."""
    for name in ("adopt_payments", "adopt_cases", "adopt_pay_pages", "adopt_accounts", "adopt_references"):
        await connection.execute(query("people", name), from_person, into_person)
