"""The end of a call is chosen: what follows is done with the choice, in one transaction; another choice undoes it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tenderline.app import Services
from tenderline.campaigns import calling
from tenderline.campaigns.callbacks import BY_HAND, ON_ITS_WAY, plan, take_back
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, NotFoundError, TenderlineError
from tenderline.core.events import CallDisposed
from tenderline.desk import agent_desk, endings
from tenderline.desk.endings import Next
from tenderline.people import choices, consent, distress
from tenderline.store import (
    alerts,
    callbacks,
    calling_campaigns,
    conversations,
    desks,
    dispositions,
    events,
    people,
    presence,
)
from tenderline.store.conversations import Conversation
from tenderline.store.db import Connection
from tenderline.store.desks import Desk
from tenderline.store.dispositions import Disposition, Done, Standing

WRONG_NUMBER: Final = "a call found that it is somebody else's number"
TAKEN_BACK: Final = "the agent chose another end of the call"


class NotYourCallError(TenderlineError):
    """This call is not yours; only the agent who took it says how it ended, up to half an hour after it."""

    code = "disposition.not_yours"
    status = 409


class WrittenUpError(TenderlineError):
    """The time to write this call up is over; what was chosen stands."""

    code = "disposition.too_late"
    status = 409


class WordStandsError(TenderlineError):
    """The person's word to stop was kept at once and stands; only she can take it back."""

    code = "disposition.word_stands"
    status = 409


class OnItsWayError(TenderlineError):
    """The call that was planned is on its way already; the choice stands."""

    code = "disposition.on_its_way"
    status = 409


class GateRefusesError(TenderlineError):
    """The gate refuses to call this person; choose another end."""

    code = "disposition.gate"
    status = 409


class NobodyError(TenderlineError):
    """The number was withheld and nobody is known by it; choose another end."""

    code = "disposition.nobody"
    status = 409


@dataclass(frozen=True, slots=True)
class Wish:
    """What an agent chose. `wanted`: a local time of the person, in the place of the usual one."""

    call_id: UUID
    code: str
    note: str
    wanted: datetime | None


@dataclass(frozen=True, slots=True)
class _About:
    """The call and who is at its other end."""

    call: Conversation
    number: str | None
    person_id: UUID | None
    attempt_id: UUID | None
    zones: list[str]
    by: str
    now: datetime


async def read_note(
    services: Services, connection: Connection, user_id: UUID, call_id: UUID, text: str, *, by: str
) -> None:
    """What she typed about her call is read for words of distress, in a transaction of its own: whether a choice that
    stands with it is refused must not matter. Raises `NotYourCallError`."""
    await _hers(connection, user_id, call_id)
    await distress.read_words(services, connection, call_id, text, source="agent_words", by=by)


async def _hers(connection: Connection, user_id: UUID, call_id: UUID) -> tuple[Desk, Conversation, Standing]:
    desk = await desks.of_user(connection, user_id)
    call = await conversations.get(connection, call_id)
    if desk is None or call is None:
        raise NotYourCallError()
    standing = await dispositions.standing(connection, desk.agent_id, call_id)
    is_ringing = standing.is_hers and standing.state in ("reserved", "ringing")
    if is_ringing or not (standing.is_hers or standing.was_hers):
        raise NotYourCallError()
    return desk, call, standing


async def choose(services: Services, connection: Connection, user_id: UUID, wish: Wish, *, by: str) -> None:
    """Keeps the choice and does what follows; the same one again changes nothing. Ends her time to write it up.

    Raises `NotYourCallError`, `WrittenUpError` and what stands in the way of what follows.
    """
    desk, call, standing = await _hers(connection, user_id, wish.call_id)
    before = await dispositions.chosen(connection, wish.call_id, desk.agent_id, lock=True)
    is_same = (
        before is not None
        and before.code == wish.code
        and wish.note in ("", before.note)  # a field that is left empty takes no note away
        and wish.wanted is None
    )
    if before is not None and not standing.is_hers and not is_same:
        raise WrittenUpError()
    if not is_same:
        wanted = await _option(connection, desk.call_queue, call.flow, wish.code)
        about = await _about(services, connection, call, desk.person_id, desk.attempt_id, by)
        if before is not None:
            await _undo(connection, before.done, about, stays=wanted.next_action == "opt_out")
        follows = endings.next_of(wanted, about.now, about.zones, wanted=wish.wanted)
        await dispositions.mark_case(
            connection, attempt_id=about.attempt_id, person_id=about.person_id, code=wanted.code
        )
        done, follows = await _do(services, connection, wanted, about, follows, wish.note)
        told = CallDisposed(
            person_id=about.person_id,
            conversation_id=str(call.id),
            agent_id=desk.agent_id,
            code=wanted.code,
            note=wish.note,
            at=about.now.isoformat(),
        )
        await events.append(connection, [told])
        await dispositions.choose(
            connection,
            call.id,
            desk.agent_id,
            wanted,
            by=by,
            note=wish.note,
            due_at=follows.at,
            next_words=follows.words,
            done=done,
        )
    if standing.is_hers and standing.state == "wrap_up":
        await presence.say(connection, desk.agent_id, "available", reason=None, by=by)


async def _option(connection: Connection, queue: str | None, flow: str | None, code: str) -> Disposition:
    for one in await dispositions.fitting(connection, queue, flow):
        if one.code == code:
            return one
    raise InvalidInputError("Choose how the call ended, from the list.")


async def _about(
    services: Services,
    connection: Connection,
    call: Conversation,
    person_id: UUID | None,
    attempt_id: UUID | None,
    by: str,
) -> _About:
    number = call.called if call.direction == "outbound" else call.caller
    where = await agent_desk.zones_of(connection, person_id, number, services.defaults)
    return _About(call, number, person_id, attempt_id, where, by, utc_now())


async def _do(
    services: Services, connection: Connection, wanted: Disposition, about: _About, follows: Next, note: str
) -> tuple[Done, Next]:
    match wanted.next_action:
        case "callback":
            return await _call_back(services, connection, wanted, about, follows)
        case "promise":
            assert follows.at is not None, "a promise has a time"
            person_id = await _somebody(connection, about)
            before = (await people.get(connection, person_id)).paused_until
            await choices.pause(connection, person_id, now=about.now, until=follows.at, told_to=about.by)
            return Done(person_id=person_id, paused_before=before, paused_until=follows.at), follows
        case "opt_out":
            return await _silence(connection, about, note), follows
        case "wrong_number":
            return await _wrong_number(connection, about), follows
        case "none":
            return Done(), follows


async def _somebody(connection: Connection, about: _About) -> UUID:
    """Who is at the other end; whom nobody knows is known by the number from now on."""
    if about.person_id is not None:
        return about.person_id
    if about.number is None:
        raise NobodyError()
    try:
        return (await people.of_number(connection, about.number))[0]
    except NotFoundError:
        raise NobodyError() from None


async def _call_back(
    services: Services, connection: Connection, wanted: Disposition, about: _About, follows: Next
) -> tuple[Done, Next]:
    assert follows.at is not None, "a call has a time"
    if about.number is None:
        raise NobodyError()
    campaign = services.settings.voice.callback_campaign
    if about.call.direction == "outbound" and await calling_campaigns.get(connection, about.call.campaign or ""):
        campaign = about.call.campaign
    who = await people.of_number(connection, about.number)
    await people.lock(connection, who[0])
    planned = await plan(
        services,
        connection,
        campaign,
        about.number,
        who,
        follows.at,
        min(follows.at + calling.VALID, about.now + calling.VALID_MAX),
        own_act_at=about.now if wanted.asked_for else None,
        by=about.by,
    )
    if planned.why is not None:
        raise GateRefusesError(f"The gate refuses to call: {planned.why}. Choose another end.")
    attempt_id = planned.id if campaign is not None else None
    told = endings.words("callback", planned.due_at, about.zones)
    if campaign is None:
        told += " Nobody calls by itself: no calling campaign is set for callbacks."
    wish = callbacks.Wanted(
        person_id=planned.person_id,
        conversation_id=about.call.id,
        number=about.number,
        due_at=planned.due_at,
        not_after=planned.not_after,
        attempt_id=attempt_id,
        kind="agent",
        campaign=campaign,
        zone=about.zones[0] if about.zones else None,
        why=BY_HAND if campaign is None else None,
        asked_by=about.by,
    )
    callback_id = await callbacks.add(connection, wish)
    done = Done(person_id=planned.person_id, attempt_id=attempt_id, callback_id=callback_id)
    return done, Next(planned.due_at, told)


async def _silence(connection: Connection, about: _About, note: str) -> Done:
    person_id = await _somebody(connection, about)
    points = await people.contact_points(connection, person_id)
    numbers = [one.value for one in points if one.kind == people.PHONE]
    for address in numbers or ([about.number] if about.number else []):
        await consent.opt_out(
            connection,
            person_id,
            channel="voice",
            address=address,
            how=f"told to {about.by}",
            evidence=note or "said on a call",
        )
    return Done(person_id=person_id, opted_out=True)


async def _wrong_number(connection: Connection, about: _About) -> Done:
    if about.number is None:
        raise NobodyError()
    found = await people.find_by_address(connection, people.PHONE, about.number)
    if found is None:
        return Done()
    person_id, point_id = found
    await people.lock(connection, person_id)
    is_new = await people.mark_unusable(connection, person_id, point_id, WRONG_NUMBER)
    return Done(person_id=person_id, contact_point_id=point_id if is_new else None)


async def _undo(connection: Connection, done: Done, about: _About, *, stays: bool) -> None:
    """What was done for the choice before. `stays`: the new choice is silence, too."""
    if done.opted_out and not stays:
        raise WordStandsError()
    person_id = done.person_id
    if done.attempt_id is not None and person_id is not None:
        state = await take_back(connection, person_id, done.attempt_id, TAKEN_BACK)
        if state in ON_ITS_WAY and not stays:  # silence does not wait for it: the gate looks once more before it dials
            raise OnItsWayError()
    if done.callback_id is not None and await callbacks.close(connection, done.callback_id, "cancelled", by=about.by):
        await alerts.settle_callback(connection, done.callback_id, about.by, "cancelled")
    if done.contact_point_id is not None and person_id is not None:
        await people.lock(connection, person_id)
        await dispositions.usable_again(connection, person_id, done.contact_point_id, WRONG_NUMBER)
    if done.paused_until is not None and person_id is not None:
        stands = (await people.get(connection, person_id)).paused_until
        if stands == done.paused_until:  # unless she chose another pause herself meanwhile
            if done.paused_before is not None and done.paused_before > about.now:
                await choices.pause(connection, person_id, now=about.now, until=done.paused_before, told_to=about.by)
            else:
                await choices.resume(connection, person_id, now=about.now, told_to=about.by)
