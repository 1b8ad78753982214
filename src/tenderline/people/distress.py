"""A caller in distress: one act, in one transaction, whoever noticed it and however often.

A supervisor is told, nothing is charged on this call any more, nothing automatic reaches the person on any channel,
she is put to the queue of the supervisors, and somebody calls her within a day. Only a supervisor lifts the hold.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

import structlog

from tenderline.app import Services
from tenderline.compliance.facts import Purpose
from tenderline.core import preferred_windows
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.events import DistressLifted, DistressReported
from tenderline.core.pan import mask_card_numbers
from tenderline.core.phone import InvalidPhoneError, normalise
from tenderline.store import (
    alerts,
    audit,
    callbacks,
    calling_campaigns,
    donors,
    events,
    holds,
    live_commands,
    people,
    places,
    plans,
)
from tenderline.store.attempts import Planned
from tenderline.store.db import Connection
from tenderline.store.holds import HeldCall

log: structlog.stdlib.BoundLogger = structlog.get_logger()

CALLBACK_WITHIN: Final = timedelta(hours=24)
REASON_LENGTH_MAX: Final = 300
BY_HAND: Final = "no calling campaign of supervisors is set in distress.callback_campaign: call by hand"
NOT_HERS: Final = "the number she called from is somebody else's: call by hand"
TEMPLATE: Final = "distress_callback"
SUPERVISORS: Final = "supervisor"
LED_AGAIN_S: Final = 30.0
LED_TIMES_MAX: Final = 20
Source = Literal["transcript", "agent_words", "button", "key", "speech"]


class NotHeldError(InvalidInputError):
    """This person is not held; somebody has lifted it already."""

    code = "distress.not_held"
    status = 409


@dataclass(frozen=True, slots=True)
class Reported:
    """What was done. `is_new`: False when an alert about this call was open already."""

    alert_id: UUID
    is_new: bool
    person_id: UUID | None
    callback_id: UUID | None


async def read_words(
    services: Services, connection: Connection, conversation_id: UUID, text: str, *, source: Source, by: str
) -> Reported | None:
    """Reads what was said or typed on a call, in the caller's transaction; None when no word of it is one of distress.

    This is what the desk calls with an agent's notes (`source="agent_words"`), before it keeps them.
    """
    found = services.phrases.find(text)
    if found is None:
        return None
    return await report(
        services, connection, conversation_id, source=source, reason=f"{found.phrase} ({found.kind})", by=by
    )


async def report(
    services: Services, connection: Connection, conversation_id: UUID, *, source: Source, reason: str, by: str
) -> Reported:
    """The act, in the caller's transaction. Raises `NotFoundError`. Once more changes nothing while its alert is open.

    The node that carries the call, and every screen, hears of it with the commit.
    """
    call = await holds.call(connection, conversation_id)
    if call is None:
        raise NotFoundError("There is no conversation of this id; list them to find it.")
    why = mask_card_numbers(" ".join(reason.split()))[:REASON_LENGTH_MAX]
    person_id, point_id, held = await _people_of(services, connection, call)
    await holds.turn_payment_off(connection, conversation_id, person_id, why)
    # Who was identified, or began to pay, before we had the call's row is read now; whoever is later is held by that.
    held |= await holds.people_of_call(connection, conversation_id)
    newly_held = False
    for one in sorted(held, key=lambda one: (one != person_id, one)):
        is_new = await _hold(connection, one, conversation_id, why, source=source, by=by)
        newly_held |= is_new and one == person_id
    open_before = [one for one in await alerts.of_conversation(connection, conversation_id) if one.kind == "distress"]
    if open_before:
        return Reported(open_before[0].id, False, person_id, await callbacks.of_distress(connection, conversation_id))
    callback_id, due_at = await _call_back(services, connection, call, person_id, point_id, by=by)
    detail = {"source": source, "reason": why, "by": by, "callback_id": str(callback_id) if callback_id else None}
    detail["callback_at"] = due_at.isoformat(timespec="seconds") if due_at is not None else None
    alert_id = await alerts.raise_one(connection, "distress", conversation_id, person_id, detail)
    await _tell_the_call(connection, call, why, by=by, is_led=source == "key")
    if not newly_held:  # the hold tells it otherwise
        await events.append(connection, [_reported(person_id, conversation_id, source, why)])
    log.warning("distress", conversation=str(conversation_id), source=source, alert=str(alert_id))
    data = {"source": source, "reason": why, "alert": str(alert_id), "held": newly_held, "callback": str(callback_id)}
    await audit.append(
        connection, actor=by, action="distress_reported", subject=f"conversation:{conversation_id}", data=data
    )
    return Reported(alert_id, True, person_id, callback_id)


async def lead_again(connection: Connection) -> int:
    """Asks supervisors once more, in the caller's transaction, about calls in distress for which none was there: one
    has become free, and nobody has taken the alert. How many calls."""
    waiting = await holds.unled(connection, SUPERVISORS, every_s=LED_AGAIN_S, times_max=LED_TIMES_MAX)
    for conversation_id, why in waiting:
        with suppress(live_commands.NotLiveError):
            await _to_supervisors(connection, conversation_id, why, by="worker")
    return len(waiting)


async def _to_supervisors(connection: Connection, conversation_id: UUID, why: str, *, by: str) -> None:
    await live_commands.ask(connection, conversation_id, "escalate", {"reason": why, "waits": True}, asked_by=by)


async def identified(connection: Connection, conversation_id: UUID, person_id: UUID, *, by: str) -> None:
    """The flow has found out who calls, in the caller's transaction: a word of distress on this call is about her,
    whoever the number belongs to; also one that was said before."""
    await people.lock(connection, person_id)
    why = await holds.set_person(connection, conversation_id, person_id)
    if why is not None:
        await _hold(connection, person_id, conversation_id, why, source="before she was identified", by=by)


async def _hold(
    connection: Connection, person_id: UUID, conversation_id: UUID, why: str, *, source: str, by: str
) -> bool:
    """Nothing automatic reaches her from the commit on; told and audited when that is new."""
    await people.lock(connection, person_id)
    if not await holds.hold(connection, person_id, why):
        return False
    await events.append(connection, [_reported(person_id, conversation_id, source, why)])
    data = {"conversation": str(conversation_id), "reason": why}
    await audit.append(connection, actor=by, action="distress_held", subject=f"person:{person_id}", data=data)
    return True


def _reported(person_id: UUID | None, conversation_id: UUID, source: str, why: str) -> DistressReported:
    return DistressReported(person_id=person_id, conversation_id=str(conversation_id), source=source, reason=why)


async def _people_of(
    services: Services, connection: Connection, call: HeldCall
) -> tuple[UUID | None, UUID | None, set[UUID]]:
    """Who it is about, the contact point of the number as far as it is hers, and all who are held: whoever the flow
    identified, who pays on this call, and whose number it is; their rows locked. Nobody, when the number is withheld
    and nothing else is known."""
    owner: UUID | None = None
    point_id: UUID | None = None
    try:
        number = normalise(call.number or "", services.settings.compliance.default_region)
    except InvalidPhoneError:
        number = None
    if number is not None:
        owner, point_id = await people.of_number(connection, number)
    payers = await holds.people_of_call(connection, call.id) - {call.person_id}
    person_id = call.person_id or (min(payers) if owner is None and payers else owner)
    held = {one for one in (person_id, owner, *payers) if one is not None}
    await people.lock_all(connection, held)
    return person_id, point_id if person_id == owner else None, held


async def _tell_the_call(connection: Connection, call: HeldCall, why: str, *, by: str, is_led: bool) -> None:
    """The node ends a payment and puts the caller to the supervisors, as soon as it can (`waits`). A call that
    is over needs neither; one that `is_led` by its flow goes where that leads."""
    if call.ended_at is not None:
        return
    try:
        await live_commands.ask(connection, call.id, "distress", {"reason": why}, asked_by=by)
        if not is_led:
            await _to_supervisors(connection, call.id, why, by=by)
    except live_commands.NotLiveError:
        log.info("distress_after_the_call", conversation=str(call.id))


async def _call_back(
    services: Services,
    connection: Connection,
    call: HeldCall,
    person_id: UUID | None,
    point_id: UUID | None,
    *,
    by: str,
) -> tuple[UUID | None, datetime | None]:
    """A person calls her within a day, at an hour of hers: by the calling campaign of supervisors, through the gate; by
    hand, when there is none or the gate refuses. Nobody can call a number that is withheld."""
    if call.number is None:
        return None, None
    now = utc_now()
    end = now + CALLBACK_WITHIN
    zone, due_at = await _her_hour(services, connection, call, person_id, now, end)
    planned: UUID | None = None
    why: str | None = BY_HAND if person_id is None or point_id is not None else NOT_HERS
    campaign = await _campaign(services, connection)
    if person_id is not None and point_id is not None:
        wanted = Planned(
            person_id=person_id,
            case_id=None,
            channel="voice_live",
            purpose=Purpose.SERVICING,
            contact_point_id=point_id,
            template=campaign or TEMPLATE,
            due_at=due_at,
            not_after=end,
            own_act_at=now,
        )
        planned, due_at, why = await _asked(services, connection, wanted, is_planned=campaign is not None)
    wish = callbacks.Wanted(
        person_id=person_id,
        conversation_id=call.id,
        number=call.number,
        due_at=due_at,
        not_after=end,
        attempt_id=planned,
        kind="distress",
        campaign=campaign,
        zone=zone,
        why=why,
        asked_by=by,
    )
    made = await callbacks.add(connection, wish)
    return made or await callbacks.of_distress(connection, call.id), due_at


async def _her_hour(
    services: Services,
    connection: Connection,
    call: HeldCall,
    person_id: UUID | None,
    now: datetime,
    end: datetime,
) -> tuple[str | None, datetime]:
    """Her zone, and when she likes to be called, as the CRM says; the gate may put it off."""
    begin = now + timedelta(seconds=services.settings.distress.callback_after_s)
    zone = services.defaults.zone
    if person_id is not None:
        zone = next(iter((await places.of_person(connection, person_id, services.defaults)).zones), zone)
    snapshot = await donors.get(connection, call.id)
    if snapshot is not None and snapshot.donor is not None and zone is not None:
        begin = preferred_windows.first_in(snapshot.donor.preferred_windows, zone, begin, end) or begin
    return zone, begin


async def _asked(
    services: Services, connection: Connection, wanted: Planned, *, is_planned: bool
) -> tuple[UUID | None, datetime, str | None]:
    """The gate's answer: the call that is planned, when it is due, and why a person has to see to it."""
    if not is_planned:
        answer = await plans.ask(connection, services.book, services.defaults, wanted)
    else:
        planned = await plans.plan(connection, services.book, services.defaults, wanted.person_id, [[wanted]])
        answer = planned[0]
    if answer.why is not None:
        return None, answer.due_at, f"the gate refuses a call of ours ({answer.why}): a person decides"
    return (answer.id, answer.due_at, None) if is_planned else (None, answer.due_at, BY_HAND)


async def _campaign(services: Services, connection: Connection) -> str | None:
    """Of agents only: somebody in distress is not called by a machine."""
    name = services.settings.distress.callback_campaign
    found = await calling_campaigns.get(connection, name) if name is not None else None
    return found.name if found is not None and found.enabled and found.queue is not None else None


async def lift(connection: Connection, person_id: UUID, *, by: str, reason: str, supervisor: str | None = None) -> None:
    """Contacts may go on, in the caller's transaction. Whoever calls this has checked that it is a supervisor: `by`
    herself, or the `supervisor` whom a program names.

    Raises `NotFoundError`, `NotHeldError`. Payment stays off on the call it was about.
    """
    why = mask_card_numbers(" ".join(reason.split()))[:REASON_LENGTH_MAX]
    if not why:
        raise InvalidInputError("Write why contacts may go on; it is kept with the person.")
    if await people.find(connection, person_id) is None:
        raise NotFoundError("There is no person of this id.")
    await people.lock(connection, person_id)
    if not await holds.lift(connection, person_id):
        raise NotHeldError()
    told = by if supervisor is None else f"{supervisor}, as {by} says"
    await events.append(connection, [DistressLifted(person_id=person_id, by=told, reason=why)])
    await events.hint_with(connection)
    data = {"reason": why} if supervisor is None else {"reason": why, "supervisor": supervisor}
    await audit.append(connection, actor=by, action="distress_lifted", subject=f"person:{person_id}", data=data)
