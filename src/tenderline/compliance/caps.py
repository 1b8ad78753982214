"""How often: counting what was let pass, and the first instant at which a cap has room again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from tenderline.compliance.facts import History, PastContact
from tenderline.compliance.rule import Cap
from tenderline.core.hours import zone


def counted(cap: Cap, history: History, number: UUID | None) -> list[PastContact]:
    """The past contacts that a cap counts for a contact in this matter to this contact point, oldest first."""
    return sorted(
        (contact for contact in history.contacts if _counts(cap, contact) and _same(cap, contact, history, number)),
        key=lambda contact: contact.at,
    )


def _counts(cap: Cap, contact: PastContact) -> bool:
    if contact.channel not in cap.channels or (cap.purposes and contact.purpose not in cap.purposes):
        return False
    match cap.counts:
        case "attempt":
            return True
        case "connect":
            return contact.connected
        case "conversation":
            return contact.conversation
        case "refusal":
            return contact.refused


def _same(cap: Cap, contact: PastContact, history: History, number: UUID | None) -> bool:
    """Whether it was the same person, number, debt or subject; what is not known counts as the same."""
    match cap.key:
        case "person":
            return True
        case "number":
            return number is None or contact.number is None or contact.number == number
        case "debt":
            return history.debt is None or contact.debt is None or contact.debt == history.debt
        case "subject":
            return history.subject is None or contact.subject is None or contact.subject == history.subject


def free_at(cap: Cap, instant: datetime, history: History, number: UUID | None, zones: tuple[str, ...]) -> datetime:
    """The first instant from `instant` on at which one more contact is within the cap."""
    past = counted(cap, history, number)
    if len(past) < cap.count:
        return instant
    blocking = past[-cap.count]  # while it is inside the window, the window is full
    if not cap.by_local_date:
        return max(instant, blocking.at + timedelta(seconds=cap.window_s))
    return max([instant, *_date_ends(blocking.at, cap.days, zones or ("UTC",))])


def inside(cap: Cap, now: datetime, history: History, number: UUID | None, zones: tuple[str, ...]) -> int:
    """How many contacts lie in the window that ends now (of local dates: in any zone)."""
    past = counted(cap, history, number)
    if not cap.by_local_date:
        return sum(now < contact.at + timedelta(seconds=cap.window_s) for contact in past)
    return sum(now < max(_date_ends(contact.at, cap.days, zones or ("UTC",))) for contact in past)


def _date_ends(at: datetime, days: int, zones: Iterable[str]) -> list[datetime]:
    """For each zone, when the window of local dates that begins with the date of `at` is over."""
    ends = []
    for name in zones:
        clock = zone(name)
        over: date = at.astimezone(clock).date() + timedelta(days=days)
        # A midnight that happens twice counts at its later reading: stricter.
        ends.append(datetime.combine(over, time.min, tzinfo=clock).replace(fold=1).astimezone(UTC))
    return ends
