"""What the CRM is told: gifts that arrived, refunds, opt-outs, how calls ended. Each entry once, by a key of ours.

What is told is read anew for each try, and no transaction is open while the CRM is asked. Gifts that came by another
way than through us are usually told by whoever took them; so only telephone payments are written, unless set otherwise.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5
from weakref import WeakKeyDictionary

import msgspec
import structlog

from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError
from tenderline.core.ids import made_at
from tenderline.core.money import Money
from tenderline.crm.base import CrmUnavailableError, Disposition, Gift, OptOut, Whom, Written
from tenderline.store import captures, conversations, payments, people
from tenderline.store.db import Connection

log: structlog.stdlib.BoundLogger = structlog.get_logger()

WRITES_AT_ONCE_MAX: Final = 5
"""A CRM that hangs must leave room for the other reactions; who finds none comes back later."""
_SPACE: Final = UUID("8f0f3f0e-6f0b-4c62-8f0c-1d8e8f3a2b17")

_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def is_on(services: Services) -> bool:
    """Whether there is a CRM that can be written to, and shall be."""
    return services.crm is not None and services.crm.writes and services.settings.crm.write_back


async def gift(services: Services, payment_id: UUID) -> None:
    """The money of a payment arrived, and was perhaps given back since. Raises what `Crm.write` raises.

    Reactions come in any order: whichever is the last leaves a refunded gift as refunded.
    """
    if not is_on(services):
        return
    async with services.pool.acquire() as connection:
        entry = await _gift(services, connection, payment_id)
        refunded = (await payments.get(connection, payment_id)).status == "refunded"
    if entry is None:
        return
    await _write(services, entry)
    if refunded:
        await _write(services, msgspec.structs.replace(entry, refunded=True))


async def _gift(services: Services, connection: Connection, payment_id: UUID) -> Gift | None:
    payment = await payments.get(connection, payment_id)
    session = await captures.of_transaction(connection, payment.gateway, payment.transaction_id)
    if session is None and services.settings.crm.write_gifts == "telephone":
        return None
    try:
        amount = Money.parse(payment.amount_minor, payment.currency)
    except InvalidInputError as error:
        log.warning("gift_not_told", payment=str(payment_id), why=error.detail)
        return None
    whom = await _whom(connection, payment.person_id, first=session.contact_point_id if session is not None else None)
    if whom is None:
        log.warning("gift_not_told", payment=str(payment_id), why="its payer has no address")
        return None
    return Gift(
        key=payment_id,
        whom=whom,
        at=session.started_at if session is not None else made_at(payment_id),
        amount=amount,
        reference=session.reference if session is not None else payment.transaction_id,
        fund=session.fund if session is not None else None,
        campaign=session.campaign if session is not None else None,
    )


async def opt_out(services: Services, person_id: UUID, *, channel: str, address: str, said_at: str) -> None:
    """Somebody asked for silence, by this address. Raises what `Crm.write` raises."""
    if not is_on(services):
        return
    async with services.pool.acquire() as connection:
        person = await people.get(connection, person_id)
        whom = await _whom(connection, person_id, first=address)
    if person.opted_out_at is None:  # taken back meanwhile: the CRM keeps what she wants now
        return
    if whom is None:
        log.warning("opt_out_not_told", person=str(person_id), why="she has no address any more")
        return
    key = uuid5(_SPACE, f"opt out {person_id} {said_at}")
    told = OptOut(key=key, whom=whom, at=person.opted_out_at, channel=channel, address=address)
    await _write(services, told)


async def disposition(services: Services, conversation_id: UUID, *, code: str, note: str, at: datetime) -> None:
    """A call ended so. Raises what `Crm.write` raises."""
    if not is_on(services):
        return
    async with services.pool.acquire() as connection:
        call = await conversations.get(connection, conversation_id)
        if call is None:
            return
        number = call.caller if call.direction == "inbound" else call.called
        person_id = call.person_id or uuid5(_SPACE, f"number {number}")
        name = (await people.get(connection, call.person_id)).name if call.person_id is not None else None
    if number is None:
        return
    whom = Whom(person_id=person_id, phones=(number,), name=name)
    key = uuid5(_SPACE, f"disposition {conversation_id} {code}")
    told = Disposition(key=key, whom=whom, at=at, code=code, note=note, conversation_id=conversation_id)
    await _write(services, told)


async def _whom(connection: Connection, person_id: UUID, *, first: UUID | str | None) -> Whom | None:
    """Her addresses, the one first (by id or as written) by which she called or spoke; None when she has none."""
    person = await people.get(connection, person_id)
    points = await people.contact_points(connection, person_id)
    points.sort(key=lambda one: (first not in (one.id, one.value), not one.usable))
    phones = tuple(one.value for one in points if one.kind == people.PHONE)
    email = next((one.value for one in points if one.kind == people.EMAIL), None)
    if not phones and email is None:
        return None
    return Whom(person_id=person_id, phones=phones, name=person.name, email=email)


async def _write(services: Services, entry: Written) -> None:
    crm = services.crm
    assert crm is not None, "it was asked for before"
    room = _rooms.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(WRITES_AT_ONCE_MAX))
    if room.locked():
        raise CrmUnavailableError("The CRM is being told other things; this is told later.")
    async with room:
        known = await crm.write(entry)
    what = {"what": type(entry).__name__, "key": str(entry.key), "person": str(entry.whom.person_id)}
    if known:
        log.info("crm_told", **what)
    else:
        log.warning("crm_knows_nobody", **what)  # nobody there whom its own mailings could reach by these addresses


def instant(text: str) -> datetime:
    """When something was said, as its event tells; now, if it does not."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return utc_now()
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
