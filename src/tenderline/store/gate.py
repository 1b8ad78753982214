"""What the gate is told, read from rows: where a person may be, what stands between us and her, what was tried before.

The same reading serves a claim (under the locks of the people), a plan, and an explanation of a decision long past.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import msgspec
import tzdata

from tenderline.compliance.facts import (
    Allow,
    Consent,
    ContactPointFacts,
    Decision,
    Defer,
    History,
    PastContact,
    PersonFacts,
)
from tenderline.compliance.ruleset import Ruleset
from tenderline.core.zones import Place
from tenderline.store.db import Connection, query

CONTACTS_MAX = 100_000
"""Of one batch: 1,000 people with 100 contacts each in a month, which no cap lets happen."""
Row = Any
"""A row of the driver's, read by name."""
TZDATA_VERSION: str = tzdata.IANA_VERSION
CONTACTS_SHOWN_MAX = 10
_OVER = frozenset({"refunded", "disputed", "stopped"})
_CHANNELS = {"voice": frozenset({"voice_live", "voice_artificial"})}


class DecisionRecord(msgspec.Struct, omit_defaults=True):
    """A decision as it is kept: what was asked, and the facts on which it rests."""

    answer: str
    rules: Sequence[str]
    at: datetime
    ruleset: str
    tzdata: str
    zones: Sequence[str]
    regions: Sequence[str] = ()
    evidence: str | None = None
    consents: Sequence[str] = ()
    contacts: Sequence[datetime] = ()
    """The newest contacts before it."""
    opted_out_at: datetime | None = None
    until: datetime | None = None
    why: str | None = None


def person_facts(person: Row, place: Place) -> PersonFacts:
    """The person of a locked row."""
    return PersonFacts(
        opted_out_at=person["opted_out_at"],
        opted_out_channels=_channels(tuple(person["opted_out_channels"])),
        distress_until=person["distress_until"],
        paused_until=person["paused_until"],
        declined_channels=_channels(tuple(person["declined_channels"])),
        zones=place.zones,
        regions=place.regions,
    )


@lru_cache(maxsize=64)
def _channels(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(names)


def point_facts(contact_point_id: UUID, fact: Row) -> ContactPointFacts:
    """The address of a row of the facts."""
    return ContactPointFacts(bool(fact["usable"]), fact["state_why"], contact_point_id, tuple(fact["lists"]))


def history_facts(
    person: Row,
    fact: Row,
    attempt: Row,
    contacts: tuple[PastContact, ...],
) -> History:
    """What happened in the matter of an attempt."""
    case_id = attempt["case_id"]
    return History(
        settled=fact["transaction_status"] == "COMPLETED" or fact["case_state"] == "recovered",
        # A case that cannot be found (its payments moved to another person) is no reason to contact anybody.
        closed=fact["case_state"] in ("stopped", "exhausted")
        or fact["payment_status"] in _OVER
        or (case_id is not None and fact["case_state"] is None),
        held=fact["case_state"] == "held" or person["review_at"] is not None,
        processing=fact["payment_status"] == "processing",
        unread_news=fact["unread_news"],
        contacts=contacts,
        debt=case_id,
        subject=attempt["subject"],
        own_act_at=attempt["own_act_at"],
    )


class _Standing(msgspec.Struct, frozen=True):
    consent_class: str = msgspec.field(name="class")
    channel: str
    purposes: list[str] = []
    expires_at: datetime | None = None


_decode_standing = msgspec.json.Decoder(list[_Standing]).decode


@lru_cache(maxsize=4_096)
def _standing(encoded: str) -> tuple[tuple[Consent, datetime | None], ...]:
    return tuple(
        (
            Consent(
                one.consent_class,
                _CHANNELS.get(one.channel) or frozenset({one.channel}),
                frozenset(one.purposes),
            ),
            one.expires_at,
        )
        for one in _decode_standing(encoded)
    )


def consents_of(encoded: str | None, now: datetime) -> tuple[Consent, ...]:
    """The agreements that stand beside an address and have not run out."""
    if not encoded or encoded == "[]":
        return ()
    return tuple(one for one, expires_at in _standing(encoded) if expires_at is None or now < expires_at)


def written(
    decision: Decision,
    at: datetime,
    rules: Ruleset,
    place: Place,
    *,
    consents: Sequence[Consent] = (),
    contacts: Sequence[PastContact] = (),
    opted_out_at: datetime | None = None,
) -> str:
    """A decision with the facts it rests on, as JSON."""
    record = DecisionRecord(
        answer=type(decision).__name__.lower(),
        rules=decision.rules,
        at=at,
        ruleset=rules.version,
        tzdata=TZDATA_VERSION,
        zones=place.zones,
        regions=place.regions,
        evidence=place.evidence,
        consents=sorted({one.consent_class for one in consents}),
        contacts=[one.at for one in contacts[:CONTACTS_SHOWN_MAX]],
        opted_out_at=opted_out_at,
    )
    if not isinstance(decision, Allow):
        record.why = decision.why
    if isinstance(decision, Defer):
        record.until = decision.until
    return msgspec.json.encode(record).decode()


async def contacts_of(
    connection: Connection, person_ids: Sequence[UUID], since: datetime, until: datetime | None = None
) -> dict[UUID, tuple[PastContact, ...]]:
    """What was let pass to each of these people from `since` on (and before `until`), and may have left."""
    found: dict[UUID, list[PastContact]] = {}
    rows = await connection.fetch(query("gate", "contacts"), list(person_ids), since, until, CONTACTS_MAX)
    assert len(rows) < CONTACTS_MAX, "a cap must not be decided on a part of what it counts"
    for row in rows:
        found.setdefault(row["person_id"], []).append(
            PastContact(
                at=row["at"],
                channel=row["channel"],
                purpose=row["purpose"],
                number=row["contact_point_id"],
                debt=row["case_id"],
                subject=row["subject"],
                connected=row["connected"],
                conversation=row["conversation"],
            )
        )
    return {person_id: tuple(contacts) for person_id, contacts in found.items()}
