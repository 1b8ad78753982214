"""What a CRM knows of whoever calls: the few things that a flow, the routing and the agent's screen need."""

from __future__ import annotations

from datetime import date
from typing import Final

import msgspec

from tenderline.core.money import Money

TEXT_CHARACTERS_MAX: Final = 200
NOTES_MAX: Final = 10
TAGS_MAX: Final = 20


class Given(msgspec.Struct, frozen=True):
    """One gift. `amount` is None when the CRM tells only the day."""

    on: date
    amount: Money | None = None


class Donor(msgspec.Struct, frozen=True, kw_only=True):
    """A donor. What the CRM does not tell is None or empty, which is not the same as zero.

    Figures are in the currency that the CRM keeps them in; nothing is converted. `tier` and `segment` are the CRM's own
    words: ours are found by `routing/segments.py`.
    """

    crm_id: str
    name: str | None = None
    phone: str | None = None
    """The number, E.164, under which the CRM knows the donor."""
    email: str | None = None
    language: str | None = None
    """BCP 47, such as es or pt-BR."""
    tier: str | None = None
    segment: str | None = None
    urgency_score: int | None = None
    lifetime_value: Money | None = None
    """All gifts less all refunds."""
    last_gift: Given | None = None
    largest_gift: Money | None = None
    gift_count: int | None = None
    """0 is somebody who is known and never gave."""
    gifts_last_year: int | None = None
    """Gifts of the last twelve months, a refunded one not among them."""
    is_recurring: bool | None = None
    preferred_agent: str | None = None
    preferred_windows: tuple[str, ...] = ()
    """When the donor likes to be called, as the CRM writes it."""
    notes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
