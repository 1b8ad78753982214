"""What the gate is told about a contact, and what it answers: plain values, so that any decision can be made again."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec


class Purpose(StrEnum):
    """Why a contact is made. Most legal mistakes are a wrong purpose."""

    FIRST_PARTY_RECOVERY = "first_party_recovery"
    CHARITY_SOLICITATION = "charity_solicitation"
    TELEMARKETING = "telemarketing"
    THIRD_PARTY_COLLECTION = "third_party_collection"
    SERVICING = "servicing"
    OPT_OUT_CONFIRMATION = "opt_out_confirmation"


class ConsentClass(StrEnum):
    """How strong an agreement is: prior express consent (by giving a number for the matter, or by word), the same in
    writing, an electronic opt-in (ePrivacy, CASL), or an existing customer relationship (soft opt-in)."""

    PEC = "PEC"
    PEWC = "PEWC"
    OPT_IN_ELECTRONIC = "opt_in_electronic"
    SOFT_OPT_IN = "soft_opt_in"


NO_END: Final = 9999
"""A distress hold until this year has no end."""


class PersonFacts(msgspec.Struct, frozen=True, gc=False):
    """The person, as her locked row says. Instants are aware UTC."""

    opted_out_at: datetime | None = None
    """Of the oldest refusal that stands."""
    opted_out_channels: frozenset[str] = frozenset()
    """The channels by which the refusals that stand were said: `sms`, `email`, `push` or `voice`."""
    distress_until: datetime | None = None
    paused_until: datetime | None = None
    """Until when she asked not to be contacted by a machine."""
    declined_channels: frozenset[str] = frozenset()
    """The channels that she does not want, whatever it is about: `sms`, `email`, `push` or `voice`."""
    zones: tuple[str, ...] = ()
    """Every zone not ruled out; empty when nothing is known."""
    regions: tuple[str, ...] = ()
    """Every region not ruled out, whose law may bind: `US-FL`, `GB`; empty when nothing is known."""


class ContactPointFacts(msgspec.Struct, frozen=True, gc=False):
    """The address a contact would go to."""

    usable: bool = True
    why_not: str | None = None
    id: UUID | None = None
    lists: tuple[str, ...] = ()
    """The do-not-contact lists on which it stands now, for this channel."""


class PastContact(msgspec.Struct, frozen=True, gc=False):
    """One contact that was let pass and may have left."""

    at: datetime
    channel: str
    purpose: str
    number: UUID | None = None
    """Its contact point."""
    debt: UUID | None = None
    subject: str | None = None
    connected: bool = False
    conversation: bool = False
    refused: bool = False


class History(msgspec.Struct, frozen=True, gc=False):
    """What happened in the matter that the contact is about, and to the person in the last weeks."""

    settled: bool = False
    """The money arrived, by any path."""
    closed: bool = False
    """The matter is over: stopped, refunded, disputed, taken back."""
    processing: bool = False
    """A payment is on its way and has not arrived: a bank debit takes days."""
    held: bool = False
    """A person is looking at the case, or at what its payer wrote."""
    unread_news: bool = False
    """Something about this person or debt was received and has not been read yet."""
    contacts: tuple[PastContact, ...] = ()
    """Over all channels, in any order, as far back as the longest window of a cap."""
    debt: UUID | None = None
    subject: str | None = None
    own_act_at: datetime | None = None
    """The person's own act that this contact answers (she paid, asked, called)."""


class Consent(msgspec.Struct, frozen=True, gc=False):
    """An agreement that stands for the address: given, not taken back, not run out."""

    consent_class: str
    channels: frozenset[str] = frozenset()
    """Empty: every channel."""
    purposes: frozenset[str] = frozenset()
    """Empty: every purpose."""
    given_at: datetime | None = None


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
