"""What a payer chooses on her own page: a pause, her channels, where she is, one contact less, or silence.

Every choice is kept with an event and an audit row in the caller's transaction, may be made twice, and says whether it
changed anything. What she chooses binds from the commit on: the gate reads it under her lock.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from tenderline.core import hours
from tenderline.core import places as geography
from tenderline.core.errors import InvalidInputError
from tenderline.core.events import (
    AddressCorrected,
    AttemptSuppressed,
    ChannelAccepted,
    ChannelDeclined,
    ContactPaused,
    ContactResumed,
    ZoneCorrected,
)
from tenderline.core.pan import mask_card_numbers
from tenderline.core.places import Address
from tenderline.people import consent
from tenderline.store import audit, events, own_page, people, places
from tenderline.store.db import Connection

SEVERAL_ZONES: Final = ("US", "CA")
"""Countries whose states or provinces have hours and laws of their own, so that a country alone tells too little."""
PAUSE_DAYS: Final = (7, 14, 30)
REGION_LENGTH_MAX: Final = 60
_POSTAL_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 -]{1,9}", re.ASCII)
CHANNELS: Final = ("sms", "email", "voice")
"""What can be turned off, each for itself."""
HOW: Final = "own page"


def pause_end(now: datetime, days: int, zones: Sequence[str]) -> datetime:
    """The midnight that ends the last day of a pause, wherever she may be.

    However often it is asked for on one day, it is the same instant.
    """
    ends: list[datetime] = []
    for name in zones or ("UTC",):
        clock = hours.zone(name)
        after = now.astimezone(clock).date() + timedelta(days=days + 1)
        midnight = datetime.combine(after, time.min, tzinfo=clock)
        # Some midnights happen twice, and some never: the later reading of either.
        ends += [midnight.astimezone(UTC), midnight.replace(fold=1).astimezone(UTC)]
    return max(ends)


def read_address(country: str, region: str, postal_code: str) -> Address:
    """The address of what she filled in; raises `InvalidInputError` with what to write instead."""
    if country not in geography.countries():
        raise InvalidInputError("Choose your country from the list.")
    if mask_card_numbers(region) != region or len(region) > REGION_LENGTH_MAX or not region.isprintable():
        raise InvalidInputError("Write only the name of your state, province or region.")
    if postal_code and not _POSTAL_CODE.fullmatch(postal_code):
        raise InvalidInputError("Write the postal code with letters, digits and spaces only, such as 10001 or K1A 0B1.")
    if country in SEVERAL_ZONES:
        if not region and not postal_code:
            raise InvalidInputError("Write your state or province, or your postal code: there are several time zones.")
        if region and geography.find(Address(country, region)).vague:
            raise InvalidInputError("We do not know this state or province. Write its name or its letters, such as FL.")
        if postal_code and geography.find(Address(country, None, postal_code)).vague:
            raise InvalidInputError("We do not know this postal code. Write all of it, such as 10001 or K1A 0B1.")
    return Address(country, region or None, postal_code or None)


async def pause(
    connection: Connection, person_id: UUID, *, now: datetime, until: datetime, told_to: str | None = None
) -> bool:
    """No machine contacts her until then; what is planned moves behind the pause, in its order.

    `told_to`: whom she said it to; None: it was on her own page.
    """
    planned = await own_page.lock_planned(connection, person_id)
    person = await people.lock(connection, person_id)
    before = person.paused_until
    if before == until:
        return False
    await own_page.set_pause(connection, person_id, until)
    await own_page.shift_planned(connection, person_id, planned, until - max(now, before or now))
    told = ContactPaused(person_id=person_id, until=until.isoformat(timespec="minutes"))
    await events.append(connection, [told])
    await _audit(connection, person_id, "pause", told_to, before=_instant(before), after=_instant(until))
    return True


async def resume(connection: Connection, person_id: UUID, *, now: datetime, told_to: str | None = None) -> bool:
    """Ends her pause; what was planned comes as much sooner as it was put off."""
    planned = await own_page.lock_planned(connection, person_id)
    person = await people.lock(connection, person_id)
    before = person.paused_until
    if before is None or before <= now:
        return False
    await own_page.set_pause(connection, person_id, None)
    await own_page.shift_planned(connection, person_id, planned, now - before)
    await events.append(connection, [ContactResumed(person_id=person_id)])
    await _audit(connection, person_id, "resume", told_to, before=_instant(before), after=None)
    return True


async def choose_channel(connection: Connection, person_id: UUID, channel: str, *, wanted: bool) -> bool:
    """Turns a channel off, for everything that could be said by it, or on again. It lifts no opt-out."""
    assert channel in CHANNELS, channel
    person = await people.lock(connection, person_id)
    before = set(person.declined_channels)
    after = before - {channel} if wanted else before | {channel}
    if after == before:
        return False
    await own_page.set_declined(connection, person_id, sorted(after))
    kind = ChannelAccepted if wanted else ChannelDeclined
    await events.append(connection, [kind(person_id=person_id, channel=channel)])
    await _audit(connection, person_id, "channels", before=sorted(before), after=sorted(after))
    return True


async def leave_out(connection: Connection, person_id: UUID, attempt_id: UUID) -> bool:
    """Takes back one planned contact. False when it is on its way, or not hers."""
    found = await own_page.leave_out(connection, person_id, attempt_id)
    if found is None:
        return False
    case_id, channel = found
    told = AttemptSuppressed(
        person_id=person_id, case_id=case_id, attempt_id=attempt_id, channel=channel, why=own_page.LEFT_OUT
    )
    await events.append(connection, [told])
    await _audit(connection, person_id, "leave_out", contact=str(attempt_id), channel=channel)
    return True


async def stop(connection: Connection, person_id: UUID, *, channel: str, address: str) -> bool:
    """Silence on every channel: a word of the address that her link came to. False when it stood already."""
    await people.lock(connection, person_id)
    if await own_page.has_refused(connection, person_id, channel=channel, address=address):
        return False
    evidence = "the button of the payer's own page was pressed"
    await consent.opt_out(connection, person_id, channel=channel, address=address, how=HOW, evidence=evidence)
    return True


async def correct_zone(connection: Connection, person_id: UUID, zone: str) -> bool:
    """Keeps the time zone that she told: it alone says what hour it is for her."""
    person = await people.lock(connection, person_id)
    if person.zone == zone:
        return False
    await places.set_zone(connection, person_id, zone)
    await events.append(connection, [ZoneCorrected(person_id=person_id, zone=zone)])
    await _audit(connection, person_id, "zone", before=person.zone, after=zone)
    return True


async def correct_address(connection: Connection, person_id: UUID, address: Address) -> bool:
    """Keeps the postal address that she told, in the place of what was known."""
    await people.lock(connection, person_id)
    before = await own_page.address(connection, person_id)
    after = {**msgspec.to_builtins(address), "own_word": True}
    if before == after:
        return False
    await places.set_address(connection, person_id, address)
    await events.append(connection, [AddressCorrected(person_id=person_id)])
    await _audit(connection, person_id, "address", before=before or None, after=after)
    return True


def _instant(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else None


async def _audit(
    connection: Connection, person_id: UUID, what: str, told_to: str | None = None, /, **data: Any
) -> None:
    subject = f"person:{person_id}"
    actor, where, how = (subject, "own_page", HOW) if told_to is None else (told_to, "call", f"told to {told_to}")
    await audit.append(connection, actor=actor, action=f"{where}.{what}", subject=subject, data={**data, "how": how})
