"""A verified webhook on its way into the inbox, whoever posted it."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Urgency(IntEnum):
    """The order in which the inbox is worked off: what silences us goes before what makes us speak."""

    PERSON_SPOKE = 0
    MONEY_ARRIVED = 1
    PAYMENT_FAILED = 2
    OTHER = 3


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A verified webhook, ready for the inbox. `body` is what is kept: the raw bytes."""

    event_id: str
    event_type: str
    urgency: Urgency
    body: bytes
    subject: str | None = None
    """What the news is about (`stripe:pi_…`, `+1202…`): while it is unread, the gate lets nothing about it pass."""
