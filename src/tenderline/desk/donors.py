"""Who called, as the screen of a call says it; and how look-ups go."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Final
from uuid import UUID

from tenderline.core.clock import utc_now
from tenderline.core.donor import Donor
from tenderline.core.money import Money
from tenderline.store import donors
from tenderline.store.db import Connection
from tenderline.store.donors import Health, Snapshot

HEALTH_WITHIN_S: Final = 3_600.0
ASKING_MAX: Final = timedelta(seconds=120)
"""Longer than any look-up is waited for: whoever asked has ended without a word."""

STATES: Final = {
    "asking": "Looking up …",
    "late": "No answer in time; it may still come",
    "found": "Known",
    "nobody": "Unknown donor: nobody has this number",
    "failed": "The look-up failed",
    "skipped": "The CRM was not asked",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of what is known."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class DonorView:
    """Whoever called."""

    state: str
    said: str
    name: str | None
    segment: str | None
    segment_version: int | None
    segment_why: str | None
    facts: tuple[Fact, ...]
    notes: tuple[str, ...]
    failure: str | None
    """What went wrong; None when nothing did."""
    is_late: bool


@dataclass(frozen=True, slots=True)
class CrmHealth:
    """Look-ups of the last hour."""

    health: Health
    reasons: dict[str, int]


async def read(connection: Connection, conversation_id: UUID, zone: tzinfo) -> DonorView | None:
    """Of one call; None when nobody was looked up. `zone`: by whose days gifts are booked."""
    found = await donors.get(connection, conversation_id)
    return None if found is None else view(found, utc_now().astimezone(zone))


def view(found: Snapshot, now: datetime) -> DonorView:
    """A look-up in words; the day of `now` is that in its zone."""
    state = found.state
    if state in ("asking", "late") and now - found.asked_at > ASKING_MAX:
        state = "failed"
    donor = found.donor
    failure = None
    if found.reason is not None or found.is_late:
        came = "; the answer came late" if found.is_late and found.state == "found" else ""
        failure = f"Looking the donor up failed: {found.detail or 'no answer in time'}{came}"
    said = STATES[state]
    if state in ("failed", "skipped", "late") and donor is not None:
        said = f"{said}; what follows is from our own database"
    elif found.state == "late":
        said = f"Unknown donor: {said[0].lower()}{said[1:]}"
    return DonorView(
        state=state,
        said=said,
        name=donor.name if donor else None,
        segment=found.segment,
        segment_version=found.segment_version,
        segment_why=found.segment_why,
        facts=tuple(facts(donor, now.date())) if donor else (),
        notes=donor.notes if donor else (),
        failure=failure,
        is_late=found.is_late,
    )


def facts(donor: Donor, today: date) -> list[Fact]:
    """What there is to say of a donor, in the order of the agent's screen."""
    last = donor.last_gift
    regularly = None if donor.is_recurring is None else "regularly" if donor.is_recurring else "now and then"
    found = [
        ("Tier", donor.tier),
        ("Lifetime giving", amount(donor.lifetime_value)),
        ("Last gift", None if last is None else f"{amount(last.amount) or ''} {_ago(last.on, today)}".strip()),
        ("Largest gift", amount(donor.largest_gift)),
        ("Gifts", None if donor.gift_count is None else str(donor.gift_count)),
        ("Within a year", None if donor.gifts_last_year is None else str(donor.gifts_last_year)),
        ("Gives", regularly),
        ("Language", donor.language),
        ("Prefers to be called", ", ".join(donor.preferred_windows) or None),
        ("Prefers to speak to", donor.preferred_agent),
        ("Tags", ", ".join(donor.tags) or None),
        ("CRM's own segment", donor.segment),
        ("Urgency score", None if donor.urgency_score is None else str(donor.urgency_score)),
        ("Number in the CRM", donor.crm_id or None),
    ]
    return [Fact(name, text) for name, text in found if text]


def amount(money: Money | None) -> str | None:
    """For people; below zero with its sign."""
    if money is None:
        return None
    return money.format() if money.minor >= 0 else f"-{Money(-money.minor, money.currency).format()}"


def _ago(day: date, today: date) -> str:
    days = (today - day).days
    if days < 0:
        return f"on {day.isoformat()}"
    words = "today" if days == 0 else "yesterday" if days == 1 else f"{days} days ago"
    return f"{words} ({day.isoformat()})"


async def read_health(connection: Connection) -> CrmHealth:
    """Of all nodes."""
    return CrmHealth(
        await donors.health(connection, within_s=HEALTH_WITHIN_S),
        await donors.reasons(connection, within_s=HEALTH_WITHIN_S),
    )
