"""What the CRM is told: gifts that arrived, refunds, opt-outs, how calls ended. Each entry once, by a key of ours.

What is told is read anew for each try. Gifts and the ends of calls, which change, are told by one job at a time
(`_alone`): so what arrives there last is what is so now, however slow the CRM. A word of silence is an entry of its
own, which nothing replaces, and needs no turn. No transaction is open while it is asked. Gifts that came by another way
than through us are usually told by whoever took them; so only telephone payments are written, unless set otherwise.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5
from weakref import WeakKeyDictionary

import msgspec
import structlog

from tenderline.app import Services
from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError
from tenderline.core.events import CallDisposed
from tenderline.core.ids import made_at
from tenderline.core.money import Money
from tenderline.core.pan import mask_card_numbers
from tenderline.crm.base import CrmUnavailableError, Disposition, Gift, OptOut, Standing, Whom, Written
from tenderline.store import captures, conversations, crm_told, dispositions, payments, people, refunds
from tenderline.store.captures import CaptureSession
from tenderline.store.crm_told import Held
from tenderline.store.db import Connection
from tenderline.store.payments import PaymentRow

log: structlog.stdlib.BoundLogger = structlog.get_logger()

WRITES_AT_ONCE_MAX: Final = 5
"""A CRM that hangs must leave room for the other reactions; who finds none comes back later."""
WRITE_TIMEOUT_S: Final = 120.0
LEASE_S: Final = 150.0
"""Longer than a write may take: whoever still holds an entry then is dead."""
_SPACE: Final = UUID("8f0f3f0e-6f0b-4c62-8f0c-1d8e8f3a2b17")

_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def is_on(services: Services) -> bool:
    """Whether there is a CRM that can be written to, and shall be."""
    return services.crm is not None and services.crm.writes and services.settings.crm.write_back


async def gift(services: Services, payment_id: UUID) -> None:
    """The money of a payment arrived, went back, wholly or a part, or is disputed. Raises what `Crm.write` raises.

    Reactions come in any order: each tells how the payment stands now, unless that was told already.
    """
    if not is_on(services):
        return
    async with services.pool.acquire() as connection:
        if await _arrived(services, connection, payment_id) is None:
            return
    async with _alone(services, payment_id, is_call=False) as held:
        async with services.pool.acquire() as connection:
            entry = await _gift(services, connection, payment_id)
        if entry is not None:
            await _tell(services, held, entry, f"{entry.standing} {entry.left.minor} {entry.left.currency}")


async def _arrived(
    services: Services, connection: Connection, payment_id: UUID
) -> tuple[PaymentRow, CaptureSession | None] | None:
    """A payment whose money came, with its session on the telephone, when gifts that came so are told."""
    payment = await payments.get(connection, payment_id)
    if payment.status not in ("succeeded", "refunded", "disputed"):
        return None
    session = await captures.of_transaction(connection, payment.gateway, payment.transaction_id)
    if session is None and services.settings.crm.write_gifts == "telephone":
        return None
    return payment, session


async def _gift(services: Services, connection: Connection, payment_id: UUID) -> Gift | None:
    arrived = await _arrived(services, connection, payment_id)
    if arrived is None:
        return None
    payment, session = arrived
    try:
        amount = Money.parse(payment.amount_minor, payment.currency)
    except InvalidInputError as error:
        log.warning("gift_not_told", payment=str(payment_id), why=error.detail)
        return None
    whom = await _whom(connection, payment.person_id, first=session.contact_point_id if session is not None else None)
    if whom is None:
        log.warning("gift_not_told", payment=str(payment_id), why="its payer has no address")
        return None
    back = await refunds.gone_back_minor(connection, payment_id)
    is_part = back > 0 or await refunds.has_come_back(connection, payment_id)
    standing: Standing = "disputed" if payment.status == "disputed" else "completed"
    if payment.status == "refunded" or back >= amount.minor:
        standing = "refunded"
    at = await payments.succeeded_at(connection, payment_id) or made_at(payment_id)
    return Gift(
        key=payment_id,
        whom=whom,
        at=at,
        amount=amount,
        reference=session.reference if session is not None else payment.transaction_id,
        fund=session.fund if session is not None else None,
        campaign=session.campaign if session is not None else None,
        standing=standing,
        given_back=Money(back, amount.currency) if standing == "completed" and is_part else None,
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


async def disposition(services: Services, event: CallDisposed) -> None:
    """A call ended so, as far as its agent has not chosen another end since. Raises what `Crm.write` raises."""
    if not is_on(services):
        return
    call_id = UUID(event.conversation_id)
    key = uuid5(_SPACE, f"disposition {call_id} {event.agent_id}")
    async with _alone(services, key, is_call=True) as held:
        async with services.pool.acquire() as connection:
            entry = await _disposition(connection, key, call_id, event)
        if entry is not None:
            await _tell(services, held, entry, f"{entry.code} {entry.at.isoformat()}")


async def _disposition(connection: Connection, key: UUID, call_id: UUID, event: CallDisposed) -> Disposition | None:
    call = await conversations.get(connection, call_id)
    number = None if call is None else call.caller if call.direction == "inbound" else call.called
    if call is None or number is None:
        return None
    person_id = call.person_id or uuid5(_SPACE, f"number {number}")
    name = (await people.get(connection, call.person_id)).name if call.person_id is not None else None
    stands = await dispositions.chosen(connection, call_id, event.agent_id) if event.agent_id is not None else None
    code, note, at = event.code, event.note, instant(event.at)
    if stands is not None:
        code, note, at = stands.code, stands.note, stands.at
    return Disposition(
        key=key,
        whom=Whom(person_id=person_id, phones=(number,), name=name),
        at=at,
        code=code,
        note=mask_card_numbers(note),
        conversation_id=call_id,
    )


@asynccontextmanager
async def _alone(services: Services, key: UUID, *, is_call: bool) -> AsyncIterator[Held]:
    """Nobody else tells this entry meanwhile. Raises `CrmUnavailableError` while somebody does: then later.

    A lease, not a lock: no connection is kept while the CRM is slow.
    """
    assert services.crm is not None, "it was asked for before"
    async with services.pool.acquire() as connection:
        held = await crm_told.hold(connection, key, is_call=is_call, crm=services.crm.name, lease_s=LEASE_S)
    if held is None:
        raise CrmUnavailableError("The CRM is being told of this just now; what changed since is told later.")
    try:
        yield held
    finally:
        async with services.pool.acquire() as connection:
            await crm_told.let_go(connection, held)


async def _tell(services: Services, held: Held, entry: Gift | Disposition, stands: str) -> None:
    """Writes it, unless it stands so there already."""
    if held.told == stands:
        return
    if await _write(services, msgspec.structs.replace(entry, is_there=held.told is not None)):
        held.told = stands


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


async def _write(services: Services, entry: Written) -> bool:
    """Whether the CRM knows whom it is about. Raises `CrmUnavailableError`, also when it takes too long."""
    crm = services.crm
    assert crm is not None, "it was asked for before"
    room = _rooms.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(WRITES_AT_ONCE_MAX))
    if room.locked():
        raise CrmUnavailableError("The CRM is being told other things; this is told later.")
    try:
        async with room, asyncio.timeout(WRITE_TIMEOUT_S):
            known = await crm.write(msgspec.structs.replace(entry, at=entry.at.astimezone(services.zone)))
    except TimeoutError:
        raise CrmUnavailableError(f"The CRM took longer than {WRITE_TIMEOUT_S:.0f} s.") from None
    what = {"what": type(entry).__name__, "key": str(entry.key), "person": str(entry.whom.person_id)}
    if known:
        log.info("crm_told", **what)
    else:
        log.warning("crm_knows_nobody", **what)  # nobody there whom its own mailings could reach by these addresses
    return known


def instant(text: str) -> datetime:
    """When something was said, as its event tells; now, if it does not."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        return utc_now()
    return read if read.tzinfo is not None else read.replace(tzinfo=UTC)
