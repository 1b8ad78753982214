"""Rows that tests start from, made through the product's own functions wherever it has one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from tenderline.compliance import ruleset
from tenderline.compliance.facts import Purpose
from tenderline.core.ids import uuid7
from tenderline.people import consent
from tenderline.store import attempts, cases, payments, people, places
from tenderline.store.attempts import Claim, Planned
from tenderline.store.payments import PaymentRow
from tenderline.store.rules import RuleBook

_ZONES = ("America/New_York", "Europe/London", "Australia/Sydney", "Asia/Kolkata", "Pacific/Auckland", "America/Denver")


def zone_by_day(now: datetime | None = None) -> str:
    """A zone in which it is broad day now, so that a test of something else does not meet the hours rule."""
    instant = now or datetime.now(UTC)
    return next(zone for zone in _ZONES if 9 <= instant.astimezone(ZoneInfo(zone)).hour < 20)


def zone_by_night(now: datetime | None = None) -> str:
    """A zone in which nobody may be contacted now, nor in the next hour."""
    instant = now or datetime.now(UTC)
    return next(zone for zone in _ZONES if not 6 <= instant.astimezone(ZoneInfo(zone)).hour < 22)


def ahead(days: int, hour: int, zone: str) -> datetime:
    """So many days from today, at this hour of the zone's clock: still to come, whenever the test runs."""
    there = ZoneInfo(zone)
    return datetime.combine(datetime.now(there).date() + timedelta(days=days), time(hour), there)


@dataclass(frozen=True)
class Debtor:
    """A person with one address, one failed payment, one open case and its attempts."""

    person_id: UUID
    contact_point_id: UUID
    address: str
    payment_id: UUID
    case_id: UUID
    transaction_id: str
    attempt_ids: list[UUID]


_serial = iter(range(10**9))


async def make_person(pool, *, kind: str = "phone", zone: str | None = None, address: str | None = None):
    """(person id, contact point id, address)."""
    number = next(_serial)
    address = address or (f"+1202555{number:04d}" if kind == "phone" else f"p{number}@example.org")
    async with pool.acquire() as connection, connection.transaction():
        person_id = await people.create(connection, name=f"Payer {number}", locale="en_US")
        await people.add_contact_point(connection, person_id, kind, address)
        await places.set_zone(connection, person_id, zone or zone_by_day())
        if kind == "phone":
            await consent.given_with_a_payment(connection, person_id, address, evidence="a test")
        found = await people.find_by_address(connection, kind, address)
    assert found is not None
    return person_id, found[1], address


async def make_debtor(pool, *, attempts_due: int = 1, due_in_s: float = -1, channel: str = "sms", **person) -> Debtor:
    """A debtor whose attempts are due `due_in_s` from now."""
    kind = "phone" if channel == "sms" else "email"
    person_id, point_id, address = await make_person(pool, kind=kind, **person)
    transaction_id, payment_id = f"pi_{next(_serial)}", uuid7()
    async with pool.acquire() as connection, connection.transaction():
        await payments.save(
            connection,
            PaymentRow(
                person_id=person_id, id=payment_id, gateway="stripe", transaction_id=transaction_id, status="failed",
                transaction_status="FAILED", amount_minor=2500, currency="USD", reason="insufficient_funds",
                invoice_reference=None, subscription_reference=None, payer_conflict=False, observed="{}",
            ),
        )  # fmt: skip
        case_id = await cases.open_case(
            connection, person_id=person_id, payment_id=payment_id, gateway="stripe", transaction_id=transaction_id,
            held_why=None, held_by=None, reason="insufficient_funds", amount_minor=2500, currency="USD",
            policy="default@1",
        )  # fmt: skip
        assert case_id is not None
        due_at = datetime.now(UTC) + timedelta(seconds=due_in_s)
        ids = await attempts.add(
            connection,
            [
                Planned(
                    person_id=person_id, case_id=case_id, channel=channel, purpose=Purpose.FIRST_PARTY_RECOVERY,
                    contact_point_id=point_id, template="recovery", due_at=due_at, not_after=due_at + timedelta(days=7),
                )
                for _ in range(attempts_due)
            ],
        )  # fmt: skip
    return Debtor(person_id, point_id, address, payment_id, case_id, transaction_id, ids)


async def claim(pool, *, batch_max: int = 500, lease_s: float = 60.0) -> Claim:
    """One turn of the gate with the shipped rules."""
    return await attempts.claim(pool, RuleBook(ruleset.shipped()), batch_max=batch_max, lease_s=lease_s)


async def attempt_state(pool, attempt_id: UUID):
    """The row of an attempt."""
    return await pool.fetchrow("SELECT * FROM attempt WHERE id = $1", attempt_id)
