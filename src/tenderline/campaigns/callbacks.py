"""Callbacks at a time: an agent's or a donor's wish, in her zone, planned through the gate; moved, made, given up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from tenderline.app import Services
from tenderline.campaigns import calling
from tenderline.compliance.facts import Purpose
from tenderline.core import preferred_windows, zones
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.events import AttemptSuppressed
from tenderline.core.phone import normalise
from tenderline.store import alerts, audit, callbacks, donors, events, people, places, plans, waiting
from tenderline.store.attempts import Planned
from tenderline.store.callbacks import Callback, Kind, Wanted
from tenderline.store.db import Connection

WINDOW: Final = timedelta(hours=2)
"""How long after its time a callback is wanted, unless said otherwise."""
WITHOUT_TIME: Final = timedelta(days=3)
WINDOW_MAX: Final = timedelta(days=7)
AHEAD_MAX: Final = timedelta(days=31)
EARLIEST: Final = timedelta(minutes=1)
RAISED_AT_ONCE_MAX: Final = 200
NOTE_LENGTH_MAX: Final = 300
TEMPLATE: Final = "callback"
TAKEN_BACK: Final = "the callback was cancelled or moved"
BY_HAND: Final = "no calling campaign calls by itself: call by hand"
ON_ITS_WAY: Final = frozenset({"leased", "in_doubt", "accepted"})
"""States of a call that cannot be taken back: it is dialled, rings or speaks, as far as anybody knows."""


class RefusedByGateError(InvalidInputError):
    """The gate refuses this call; what it says is in the detail. Choose another time, or another purpose."""

    code = "callback.refused"
    status = 409


class NoZoneError(InvalidInputError):
    """Nobody knows in which time zone this number is; say it with the time."""

    code = "callback.no_zone"


class OverError(InvalidInputError):
    """This callback is done, cancelled or on its way already; make another one."""

    code = "callback.over"
    status = 409


class KeptPlaceError(InvalidInputError):
    """This callback keeps a place in a queue and has no time of its own; cancel it and make another one."""

    code = "callback.kept_place"
    status = 409


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A callback that is wanted. `at` without an offset is her own clock, in `zone` or where her number is; None: at
    the first hour that she prefers, as the CRM says, else as soon as may be. No `campaign`: that of the settings."""

    number: str
    at: datetime | None = None
    zone: str | None = None
    window: timedelta | None = None
    campaign: str | None = None
    note: str | None = None
    conversation_id: UUID | None = None


async def schedule(services: Services, connection: Connection, wish: Wish, *, by: str, kind: Kind = "wish") -> Callback:
    """Keeps the wish in the caller's transaction, and plans the call that answers it; audited.

    Raises `InvalidInputError`: among them `RefusedByGateError`, with what the gate said.
    """
    number = normalise(wish.number, services.settings.compliance.default_region)
    note = " ".join((wish.note or "").split())[:NOTE_LENGTH_MAX] or None
    person_id, point_id = await people.of_number(connection, number)
    await people.lock(connection, person_id)
    zone = await _zone(services, connection, person_id, wish.zone)
    due_at, not_after = await _times(connection, wish, zone)
    campaign = wish.campaign or services.settings.voice.callback_campaign
    planned = await plan(
        services, connection, campaign, number, (person_id, point_id), due_at, not_after, own_act_at=utc_now(), by=by
    )
    attempt_id, due_at, why = _kept(planned, campaign)
    made = await callbacks.add(
        connection,
        Wanted(
            person_id=person_id,
            conversation_id=wish.conversation_id,
            number=number,
            due_at=due_at,
            not_after=not_after,
            attempt_id=attempt_id,
            kind=kind,
            campaign=campaign,
            zone=zone,
            note=note,
            why=why,
            asked_by=by,
        ),
    )
    assert made is not None, "only callbacks for distress are one for a call"
    data = {"due": due_at.isoformat(), "campaign": campaign, "person": str(person_id)}
    await audit.append(connection, actor=by, action="callback_added", subject=f"callback:{made}", data=data)
    return await get(connection, made)


async def get(connection: Connection, callback_id: UUID) -> Callback:
    """One. Raises `NotFoundError`."""
    found = await callbacks.get(connection, callback_id)
    if found is None:
        raise NotFoundError("There is no callback of this id; list them to find it.")
    return found


async def move(
    services: Services,
    connection: Connection,
    callback_id: UUID,
    *,
    at: datetime,
    zone: str | None,
    window: timedelta | None,
    by: str,
) -> Callback:
    """Another time, through the gate again, in the caller's transaction; audited. The call that was planned is not
    made. Raises as `schedule`, and `NotFoundError`, `OverError`, `KeptPlaceError`."""
    found = await _waiting(connection, callback_id)
    if await callbacks.place_of(connection, callback_id) is not None:
        raise KeptPlaceError()
    person_id, point_id = await people.of_number(connection, found["number"])
    await people.lock(connection, person_id)
    if zone is None and zones.is_known(found["zone"] or ""):
        zone = found["zone"]
    there = await _zone(services, connection, person_id, zone)
    wish = Wish(number=found["number"], at=at, window=window)
    due_at, not_after = await _times(connection, wish, there)
    await _take_back(connection, found, unless=ON_ITS_WAY | {"delivered"})
    campaign = found["campaign"]
    if campaign is None and found["kind"] != "distress":  # that one a person makes, unless supervisors have a campaign
        campaign = services.settings.voice.callback_campaign
    who = (person_id, point_id)
    planned = await plan(
        services, connection, campaign, found["number"], who, due_at, not_after, own_act_at=utc_now(), by=by
    )
    attempt_id, due_at, why = _kept(planned, campaign)
    await callbacks.move(
        connection, callback_id, due_at=due_at, not_after=not_after, attempt_id=attempt_id, why=why, zone=there,
        campaign=campaign,
    )  # fmt: skip
    await alerts.settle_callback(connection, callback_id, by, "moved")
    data = {"due": due_at.isoformat()}
    await audit.append(connection, actor=by, action="callback_moved", subject=f"callback:{callback_id}", data=data)
    return await get(connection, callback_id)


async def close(connection: Connection, callback_id: UUID, *, is_done: bool, by: str) -> Callback:
    """Somebody has called by hand, or nobody shall any more; in the caller's transaction, audited. A place that it kept
    in a queue is given up. Raises `NotFoundError`, `OverError`."""
    found = await _waiting(connection, callback_id)
    # Not for `accepted`: the node of a call may have died, and the callback could never be closed.
    await _take_back(connection, found, unless=frozenset({"leased", "delivered"}))
    place = await callbacks.place_of(connection, callback_id)
    if place is not None:
        await waiting.leave(connection, place, "called_back" if is_done else "abandoned")
    state: Any = "done" if is_done else "cancelled"
    await callbacks.close(connection, callback_id, state, by=by)
    await alerts.settle_callback(connection, callback_id, by, state)
    await audit.append(
        connection,
        actor=by,
        action=f"callback_{state}",
        subject=f"callback:{callback_id}",
        data={"kind": found["kind"]},
    )
    return await get(connection, callback_id)


async def raise_overdue(connection: Connection) -> int:
    """An alert for each that nobody made in time, in the caller's transaction; how many."""
    found = await callbacks.overdue(connection, limit=RAISED_AT_ONCE_MAX)
    for one in found:
        detail = {"callback_id": str(one["id"]), "number": one["number"], "due": one["due_at"].isoformat()}
        detail["reason"] = one["kind"]
        await alerts.raise_one(connection, "callback_overdue", one["conversation_id"], one["person_id"], detail)
    return len(found)


async def _waiting(connection: Connection, callback_id: UUID) -> Any:
    found = await callbacks.lock(connection, callback_id)
    if found is None:
        raise NotFoundError("There is no callback of this id; list them to find it.")
    if found["state"] != "waiting":
        raise OverError()
    return found


async def _take_back(connection: Connection, found: Any, *, unless: frozenset[str]) -> None:
    """Raises `OverError` when its call is in one of these states; one that did not get through leaves it waiting."""
    if found["attempt_id"] is None or found["person_id"] is None:
        return
    if await take_back(connection, found["person_id"], found["attempt_id"], TAKEN_BACK) in unless:
        raise OverError()


async def take_back(connection: Connection, person_id: UUID, attempt_id: UUID, why: str) -> str | None:
    """A call that is planned is not made, in the caller's transaction; the state that it had, if there is such a call.
    Whoever asks judges what is `ON_ITS_WAY`."""
    before = await callbacks.take_back(connection, person_id, attempt_id, why)
    if before is None:
        return None
    state, channel = before
    if state == "planned":
        told = AttemptSuppressed(person_id=person_id, attempt_id=attempt_id, channel=channel, why=why)
        await events.append(connection, [told])
    return state


async def _zone(services: Services, connection: Connection, person_id: UUID, said: str | None) -> str:
    if said is not None:
        if not zones.is_known(said):
            raise InvalidInputError(f"{said[:60]!r} is no IANA time zone, such as America/New_York.")
        return said
    place = await places.of_person(connection, person_id, services.defaults)
    if not place.zones:
        raise NoZoneError()
    return place.zones[0]


async def _times(connection: Connection, wish: Wish, zone: str) -> tuple[datetime, datetime]:
    now = utc_now()
    if wish.at is None:
        end = now + (wish.window or WITHOUT_TIME)
        snapshot = await donors.get(connection, wish.conversation_id) if wish.conversation_id is not None else None
        donor = snapshot.donor if snapshot is not None else None
        preferred = donor.preferred_windows if donor is not None else ()
        return preferred_windows.first_in(preferred, zone, now + EARLIEST, end) or now, end
    at = wish.at if wish.at.tzinfo is not None else wish.at.replace(tzinfo=ZoneInfo(zone))
    # By its year first: the ends of the calendar are no instants in UTC.
    due_at = at.astimezone(UTC) if abs(at.year - now.year) <= 1 else None
    window = wish.window or WINDOW
    if not timedelta(minutes=5) <= window <= WINDOW_MAX:
        raise InvalidInputError("The window of a callback lasts 5 minutes to 7 days.")
    if due_at is None or not now - EARLIEST <= due_at <= now + AHEAD_MAX:
        raise InvalidInputError(f"{at.isoformat(' ', 'minutes')} is not within the next 31 days; choose another time.")
    return due_at, due_at + window


def _kept(planned: Planned, campaign: str | None) -> tuple[UUID | None, datetime, str | None]:
    """(the call, when it is due, why nobody calls by itself). Raises `RefusedByGateError`."""
    if planned.why is not None:
        raise RefusedByGateError(f"The gate refuses it: {planned.why}.")
    return (planned.id, planned.due_at, None) if campaign is not None else (None, planned.due_at, BY_HAND)


async def plan(
    services: Services,
    connection: Connection,
    campaign: str | None,
    number: str,
    who: tuple[UUID, UUID],
    due_at: datetime,
    not_after: datetime,
    *,
    own_act_at: datetime | None,
    by: str,
) -> Planned:
    """The call that answers a callback, planned in its campaign; without one the gate is asked all the same about the
    call by hand, and nothing is kept of it. `why`: what it refuses. `who`: the person, locked, and her number."""
    if campaign is not None:
        return await calling.plan(
            services, connection, campaign=campaign, number=number, by=by, due_at=due_at, not_after=not_after,
            own_act_at=own_act_at,
        )  # fmt: skip
    wanted = Planned(
        person_id=who[0],
        case_id=None,
        channel="voice_live",
        purpose=Purpose.SERVICING,
        contact_point_id=who[1],
        template=TEMPLATE,
        due_at=due_at,
        not_after=not_after,
        own_act_at=own_act_at,
    )
    return await plans.ask(connection, services.book, services.defaults, wanted)
