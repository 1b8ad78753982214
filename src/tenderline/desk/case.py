"""One case as plain data, for screen and API alike: what is owed, what was tried, what the gate said, and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from tenderline.compliance.ruleset import Ruleset
from tenderline.desk import attempts, words
from tenderline.desk.attempts import AttemptView
from tenderline.desk.board import EventLine, event_lines
from tenderline.store import board as rows
from tenderline.store import cases, people, places
from tenderline.store.cases import Case
from tenderline.store.db import Connection
from tenderline.store.people import ContactPoint
from tenderline.store.places import Defaults


@dataclass(frozen=True, slots=True)
class AddressView:
    """An address of the payer, masked."""

    kind: str
    masked: str
    usable: bool
    why_not: str | None


@dataclass(frozen=True, slots=True)
class CaseView:
    """A case with everything that belongs to it."""

    case: Case
    person_name: str
    amount: str
    reason: str
    transaction: str
    held_why: str | None
    zones: tuple[str, ...]
    """Every time zone the payer may be in; the gate wants a lawful hour in all of them."""
    zone_evidence: str
    """How these are known, in words."""
    addresses: tuple[AddressView, ...]
    attempts: tuple[AttemptView, ...]
    timeline: tuple[EventLine, ...]

    @property
    def heading(self) -> str:
        """The payer's name, cut to fit a heading."""
        return words.short_name(self.person_name)

    @property
    def is_open(self) -> bool:
        """Whether something may still happen to it."""
        return self.case.state in ("open", "held")

    def local_time(self, at: datetime) -> str | None:
        """An instant by the payer's wall clock, or a span of them when her zone is not certain."""
        return words.local_time(at, self.zones)


async def read_case(connection: Connection, rules: Ruleset, case_id: UUID, defaults: Defaults) -> CaseView | None:
    """The case of an id; None when there is none."""
    case = await cases.get(connection, case_id)
    if case is None:
        return None
    place = await places.of_person(connection, case.person_id, defaults)
    points = await people.contact_points(connection, case.person_id)
    tried = await rows.attempts_of_case(connection, case.person_id, case_id)
    told = await rows.events_of_case(connection, case_id, case.person_id, case.payment_id)
    return CaseView(
        case=case,
        person_name=case.person_name or words.UNKNOWN_PAYER,
        amount=words.amount(case.amount_minor, case.currency),
        reason=words.reason(case.reason),
        transaction=words.plain(case.transaction_id),
        held_why=words.plain(case.held_why) if case.held_why else None,
        zones=place.zones,
        zone_evidence=words.EVIDENCE[place.evidence],
        addresses=tuple(_address(point) for point in points),
        attempts=tuple(attempts.views(tried, rules)),
        timeline=event_lines(told),
    )


def _address(point: ContactPoint) -> AddressView:
    return AddressView(
        point.kind,
        words.mask_address(point.kind, point.value) or words.DOTS,
        point.usable,
        words.plain(point.state_why) if point.state_why else None,
    )
