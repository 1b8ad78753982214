"""What the gate is told about a contact, and what it answers: plain values, so that any decision can be made again."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec


class Purpose(StrEnum):
    """Why a contact is made. Most legal mistakes are a wrong purpose."""

    FIRST_PARTY_RECOVERY = "first_party_recovery"
    CHARITY_SOLICITATION = "charity_solicitation"
    TELEMARKETING = "telemarketing"
    THIRD_PARTY_COLLECTION = "third_party_collection"
    SERVICING = "servicing"
    OPT_OUT_CONFIRMATION = "opt_out_confirmation"


class PersonFacts(msgspec.Struct, frozen=True, gc=False):
    """The person, as her locked row says. Instants are aware UTC."""

    opted_out_at: datetime | None = None
    distress_until: datetime | None = None
    last_contacted_at: datetime | None = None
    zones: tuple[str, ...] = ()
    """Every zone not ruled out (`core.zones.candidates`); empty when nothing is known."""


class ContactPointFacts(msgspec.Struct, frozen=True, gc=False):
    """The address a contact would go to."""

    usable: bool = True
    why_not: str | None = None


class History(msgspec.Struct, frozen=True, gc=False):
    """What happened in the matter that the contact is about."""

    settled: bool = False
    """The money arrived, by any path."""
    closed: bool = False
    """The matter is over: stopped, refunded, disputed, taken back."""
    processing: bool = False
    """A payment is on its way and has not arrived: a bank debit takes days."""
    held: bool = False
    """A person is looking at the case."""
    unread_news: bool = False
    """Something about this person or debt was received and has not been read yet."""


class Consent(msgspec.Struct, frozen=True, gc=False):
    """One thing the person agreed to or took back. The list is append-only; the latest wins."""

    channel: str
    granted: bool
    at: datetime


class Allow(msgspec.Struct, frozen=True, gc=False):
    """The contact may leave now. `rules` are all that were asked."""

    rules: tuple[str, ...]


class Defer(msgspec.Struct, frozen=True, gc=False):
    """Not now: ask again at `until`. `rules` are those that said so."""

    until: datetime
    rules: tuple[str, ...]
    why: str


class Deny(msgspec.Struct, frozen=True, gc=False):
    """Never. `rules` are those that said so."""

    rules: tuple[str, ...]
    why: str


Decision = Allow | Defer | Deny
