"""From a failed payment to a case, and from a case to planned attempts. Every function here may run twice.

A case is held, never dropped, when something about it is not clear: the board shows it with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from tenderline.app import Services
from tenderline.compliance.facts import Purpose
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError
from tenderline.core.events import CaseClosed, CaseHeld, CaseOpened, CaseReleased
from tenderline.core.money import Money
from tenderline.core.reasons import FailureClass, FailureReason
from tenderline.core.zones import Place
from tenderline.recovery import policy
from tenderline.recovery.policy import CONTACT_KINDS, Policy, Step
from tenderline.store import attempts, audit, captures, events, payments, people, places, plans
from tenderline.store import cases as rows
from tenderline.store.attempts import Planned
from tenderline.store.db import Connection
from tenderline.store.payments import PaymentRow
from tenderline.store.people import ContactPoint, Person
from tenderline.store.places import Defaults
from tenderline.store.rules import RuleBook

CONTACT_VALID_DAYS = 7
HELD_NO_CONTACT = "no way to reach the payer is known"
HELD_CONFLICT = "the payer's addresses belong to two different people"
HELD_ZONE = "the payer's time zone is not known"
HELD_REVIEW = "the payer wrote something that must be read"
TEMPLATE = "recovery"
LINK_TEMPLATE = "call_link"
LINK_POLICY = Policy(name="call_link", version=1, patience_days=2, step=(Step(after_h=0, channels=("sms",)),))
REVIEW = "review"
"""Who holds a case that somebody must look at: only a person releases it."""


class UnreleasableCaseError(InvalidInputError):
    """The case cannot go on as it is; put right what it is held for, and it goes on by itself."""

    code = "case_not_releasable"
    status = 409

    def __init__(self, why: str) -> None:
        super().__init__(f"The case cannot go on: {why.rstrip('.')}. Put that right first.")
        self.why = why


@dataclass(frozen=True, slots=True)
class Practice:
    """How this installation recovers: what it needs to know to plan an attempt."""

    policy: Policy
    channels: frozenset[str]
    """The channels for which there is a provider."""
    merge_hold_s: float
    book: RuleBook
    defaults: Defaults
    purpose: Purpose = Purpose.FIRST_PARTY_RECOVERY
    template: str = TEMPLATE
    own_act_at: datetime | None = None
    """The payer's own act that the contacts answer."""

    def for_link(self, own_act_at: datetime) -> Practice:
        """For somebody who hung up before paying: one text with a link, at once, and no more."""
        return replace(
            self,
            policy=LINK_POLICY,
            merge_hold_s=0,
            purpose=Purpose.SERVICING,
            template=LINK_TEMPLATE,
            own_act_at=own_act_at,
        )


def practice_of(services: Services) -> Practice:
    """What this installation's settings make of it."""
    settings = services.settings
    channels = frozenset(channel.value for channel in services.messengers)
    return Practice(policy.default(), channels, settings.recovery.merge_hold_s, services.book, services.defaults)


async def on_payment_failed(connection: Connection, practice: Practice, payment_id: UUID) -> None:
    """Opens a case for a failed payment, or brings the open one up to date and releases it when it can go on."""
    person, payment = await payments.get_with_person(connection, payment_id)
    person_id = person.id
    if payment.status not in ("failed", "action_required"):
        return  # settled or stopped meanwhile
    session = await captures.of_transaction(connection, payment.gateway, payment.transaction_id)
    if session is not None:
        if session.link_transaction_id != payment.transaction_id:
            return  # a card that was declined on the telephone: the caller heard it, and owes nothing
        practice = practice.for_link(session.started_at)
    known = await rows.of_transaction(connection, payment.gateway, payment.transaction_id)
    points = await people.contact_points(connection, person_id)
    place = await places.of_person(connection, person_id, practice.defaults)
    held_why = _why_held(payment, person, place, points, practice)
    reason = payment.reason or FailureReason.UNKNOWN.value
    if known is None:
        case_id = await rows.open_case(
            connection,
            person_id=person_id,
            payment_id=payment_id,
            gateway=payment.gateway,
            transaction_id=payment.transaction_id,
            held_why=held_why,
            held_by=_holder(held_why),
            reason=reason,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            policy=practice.policy.label,
        )
        assert case_id is not None, "the payment's person is locked, so nobody else opens its case"
        about = {"person_id": person_id, "payment_id": payment_id, "case_id": case_id}
        await events.append(connection, [CaseOpened(**about, amount=payment.amount_text, reason=reason)])
        if held_why:
            await events.append(connection, [CaseHeld(**about, why=held_why)])
        else:
            await _plan(connection, practice, person, points, case_id, payment_id)
        return
    if known.state not in ("open", "held"):
        return  # given up or settled once: another event does not start it again
    await rows.refresh(
        connection, person_id, known.id, reason=reason, amount_minor=payment.amount_minor, currency=payment.currency
    )
    await _bring_up_to_date(connection, practice, person, points, known, held_why, payment_id)


async def _bring_up_to_date(
    connection: Connection,
    practice: Practice,
    person: Person,
    points: Sequence[ContactPoint],
    known: rows.CaseState,
    held_why: str | None,
    payment_id: UUID,
) -> None:
    about = {"person_id": person.id, "payment_id": payment_id, "case_id": known.id}
    if held_why is None:
        # What a person held by hand, a person releases.
        if known.held_by == rows.SYSTEM and await rows.release(connection, person.id, known.id):
            await events.append(connection, [CaseReleased(**about, why="what was missing is now known")])
            await _plan(connection, practice, person, points, known.id, payment_id)
    elif known.held_by in (None, rows.SYSTEM) and await rows.hold(
        connection, person.id, known.id, held_why, by=_holder(held_why) or rows.SYSTEM
    ):
        await events.append(connection, [CaseHeld(**about, why=held_why)])


def _why_held(
    payment: PaymentRow, person: Person, place: Place, points: Sequence[ContactPoint], practice: Practice
) -> str | None:
    if impossible := _why_impossible(payment, place, points, practice):
        return impossible
    if payment.payer_conflict:
        return HELD_CONFLICT
    if FailureReason(payment.reason or FailureReason.UNKNOWN).failure_class is FailureClass.HUMAN_REVIEW:
        return f"the payment failed as {payment.reason}: a person decides"
    return HELD_REVIEW if person.review_at else None


def _holder(held_why: str | None) -> str | None:
    """What must be read a person lets go; everything else goes on by itself once it is put right."""
    if held_why is None:
        return None
    return REVIEW if held_why == HELD_REVIEW else rows.SYSTEM


def _why_impossible(
    payment: PaymentRow, place: Place, points: Sequence[ContactPoint], practice: Practice
) -> str | None:
    """What no person's decision can put right: without it there is nothing to send, or nowhere to send it."""
    try:
        Money.parse(payment.amount_minor, payment.currency)
    except InvalidInputError as error:
        return error.detail
    kinds = {CONTACT_KINDS[channel] for channel in practice.channels if channel in CONTACT_KINDS}
    if not any(point.usable and point.kind in kinds for point in points):
        return HELD_NO_CONTACT
    if not place.zones:
        return HELD_ZONE
    return None


async def _plan(
    connection: Connection,
    practice: Practice,
    person: Person,
    points: Sequence[ContactPoint],
    case_id: UUID,
    payment_id: UUID,
) -> None:
    """Plans the policy's steps, once in the life of a case."""
    if await attempts.of_case(connection, person.id, case_id):
        return
    first_due = utc_now() + timedelta(seconds=practice.merge_hold_s)
    if person.paused_until is not None:  # the steps begin after her pause, and keep their distances
        first_due = max(first_due, person.paused_until)
    # For somebody who wants silence one contact is planned, for the gate to refuse it with its rule; no more.
    steps = practice.policy.step[: 1 if person.opted_out_at else None]
    await plans.plan(
        connection,
        practice.book,
        practice.defaults,
        person.id,
        [_choices(practice, step, person.id, case_id, points, first_due) for step in steps],
        payment_id=payment_id,
    )


def _choices(
    practice: Practice,
    step: Step,
    person_id: UUID,
    case_id: UUID,
    points: Sequence[ContactPoint],
    first_due: datetime,
) -> list[Planned]:
    """The ways in which a step could reach her, the preferred first."""
    due_at = first_due + timedelta(hours=step.after_h)
    return [
        Planned(
            person_id=person_id,
            case_id=case_id,
            channel=channel,
            purpose=practice.purpose,
            contact_point_id=point.id,
            template=practice.template,
            own_act_at=practice.own_act_at,
            due_at=due_at,
            not_after=due_at + timedelta(days=CONTACT_VALID_DAYS),
            subject=str(case_id),
        )
        for channel in step.channels
        if channel in practice.channels
        for point in points
        if point.usable and point.kind == CONTACT_KINDS[channel]
    ]


async def on_payment_settled(connection: Connection, payment_id: UUID, outcome: str) -> None:
    """Ends the case of a payment that was paid (`recovered`) or is not to be asked for any more (`stopped`)."""
    person, payment = await payments.get_with_person(connection, payment_id)
    person_id = person.id
    known = await rows.of_transaction(connection, payment.gateway, payment.transaction_id)
    if known is None or not await rows.close(connection, person_id, known.id, outcome):
        return
    why = "it is paid" if outcome == "recovered" else "it is not to be asked for any more"
    await attempts.cancel_planned(connection, known.id, why)
    await events.append(
        connection, [CaseClosed(person_id=person_id, payment_id=payment_id, case_id=known.id, outcome=outcome)]
    )


async def on_opt_out(connection: Connection, person_id: UUID) -> None:
    """What is planned for somebody who wants silence is taken back at once; the gate would refuse it anyway."""
    await people.lock(connection, person_id)
    for case_id in await rows.open_of_person(connection, person_id):
        await attempts.cancel_planned(connection, case_id, "the person asked not to be contacted")


async def hold_for_review(connection: Connection, person_id: UUID) -> None:
    """Shows every open case of a person as held until somebody has read what she wrote; the gate holds her already."""
    person = await people.lock(connection, person_id)
    if person.review_at is None:
        return  # it was read meanwhile
    for case_id in await rows.open_of_person(connection, person_id):
        if await rows.hold(connection, person_id, case_id, HELD_REVIEW, by=REVIEW):
            await events.append(connection, [CaseHeld(person_id=person_id, case_id=case_id, why=HELD_REVIEW)])


async def on_place_told(connection: Connection, practice: Practice, person_id: UUID) -> None:
    """Cases that waited for a place where she may be go on, now that she told hers."""
    await people.lock(connection, person_id)
    for case_id in await rows.held_by(connection, person_id, rows.SYSTEM):
        case = await rows.get(connection, case_id)
        assert case is not None, "her lock is held"
        await on_payment_failed(connection, practice, case.payment_id)


async def hold_by_hand(connection: Connection, person_id: UUID, case_id: UUID, *, by: str, why: str) -> bool:
    """A person holds a case: nothing is sent until a person releases it."""
    await people.lock(connection, person_id)
    if not await rows.hold(connection, person_id, case_id, why, by=by):
        return False
    await events.append(connection, [CaseHeld(person_id=person_id, case_id=case_id, why=why)])
    await audit.append(connection, actor=by, action="case.hold", subject=f"case:{case_id}", data={"why": why})
    return True


async def release_by_hand(
    connection: Connection, practice: Practice, person_id: UUID, case_id: UUID, *, by: str
) -> bool:
    """A person lets a case go on; its attempts are planned when they were not."""
    person = await people.lock(connection, person_id)
    case = await rows.get(connection, case_id)
    if case is None or case.state != "held":
        return False
    points = await people.contact_points(connection, person_id)
    payment = await payments.get(connection, case.payment_id)
    place = await places.of_person(connection, person_id, practice.defaults)
    if blocked := _why_impossible(payment, place, points, practice):
        raise UnreleasableCaseError(blocked)
    await rows.release(connection, person_id, case_id)
    if person.review_at is not None:  # who lets a case of hers go on has read what she wrote
        await people.reviewed(connection, person_id)
    await events.append(connection, [CaseReleased(person_id=person_id, case_id=case_id, why=f"released by {by}")])
    await _plan(connection, practice, person, points, case_id, case.payment_id)
    await audit.append(connection, actor=by, action="case.release", subject=f"case:{case_id}", data={})
    return True


async def give_up_spent(connection: Connection, practice: Practice) -> int:
    """Ends the cases that have nothing left to do; returns how many."""
    closed = 0
    for person_id, case_id in await rows.spent(connection, patience_days=practice.policy.patience_days):
        if await rows.close(connection, person_id, case_id, "exhausted"):
            await events.append(connection, [CaseClosed(person_id=person_id, case_id=case_id, outcome="exhausted")])
            closed += 1
    return closed
