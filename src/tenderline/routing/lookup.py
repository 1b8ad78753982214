"""Who calls: our own database and the CRM are asked at once, beside the greeting, and no call waits for it unasked.

`begin` starts the look-up of a call and returns at once. After the budget the call goes on as that of an unknown donor
(`donor_lookup_failure`, reason timed_out); the answer may still come, and is then written where the screen looks. What
the CRM tells counts before what we know; what it does not tell is filled in from our own payments.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

import msgspec
import structlog

from tenderline.app import Services
from tenderline.core.donor import Donor
from tenderline.crm.base import Crm, Failure, LookUpBy, LookupFailed
from tenderline.routing import segments
from tenderline.routing.guard import Guard, Limits
from tenderline.routing.segment_book import SegmentBook
from tenderline.routing.segments import Segmented
from tenderline.store import counters, db, donors, events
from tenderline.store.donors import Own, Told

log: structlog.stdlib.BoundLogger = structlog.get_logger()

OWN_AT_ONCE_MAX: Final = 8
"""Look-ups that hang must leave connections to the node's lease and its books."""
OWN_TIMEOUT_S: Final = 30.0
WRITE_TIMEOUT_S: Final = 5.0
KEPT_MAX: Final = 2_000
FAILURE: Final = "donor_lookup_failure"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when the budget is over, or everybody has answered."""

    donor: Donor | None
    own: Own | None
    segmented: Segmented
    failed: LookupFailed | None = None
    own_failed: bool = False

    @property
    def is_known(self) -> bool:
        """Whether anybody knows the caller."""
        return self.donor is not None or self.own is not None


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of asking the CRM."""

    donor: Donor | None
    failed: LookupFailed | None
    took_ms: int | None
    asked_crm: bool = False


@dataclass(slots=True, eq=False)
class _LookUp:
    """One call's. `decided` is set when the call need not wait any more."""

    conversation_id: UUID
    caller: str | None
    called: str
    by: str | None
    own: asyncio.Task[Own | TimeoutError | None] = field(init=False)
    asked: asyncio.Task[_Answer] = field(init=False)
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    known: Known | None = None


class LookUps:
    """Of one process."""

    def __init__(self, services: Services) -> None:
        settings = services.settings.crm
        self._services, self._crm = services, services.crm
        self._zone = services.zone
        self._budget_s, self._late_wait_s = settings.budget_s, settings.late_wait_s
        self.guard = Guard(
            Limits(
                at_once_max=settings.look_ups_at_once_max,
                per_s=settings.look_ups_per_s,
                failures_max=settings.failures_max,
                pause_s=settings.pause_s,
                budget_s=settings.budget_s,
            )
        )
        self._book = SegmentBook()
        self._own_room = asyncio.Semaphore(OWN_AT_ONCE_MAX)
        self._kept: OrderedDict[UUID, _LookUp] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, conversation_id: UUID, caller: str | None, called: str, by: str | None = None) -> None:
        """Starts the look-up of a call that arrives; a second time it does nothing. Never waits, never raises.

        `by` is ANI, DNIS or none, as the line says; None: the line is asked.
        """
        if conversation_id in self._kept:
            return
        one = _LookUp(conversation_id, caller, called, by)
        one.own = asyncio.ensure_future(self._own(one))
        one.asked = asyncio.ensure_future(self._ask_crm(one))
        self._kept[conversation_id] = one
        for work in (self._run(one), self._begun(one)):
            task = asyncio.ensure_future(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        while len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)

    async def known(self, conversation_id: UUID, caller: str | None, called: str, *, timeout_s: float) -> Known:
        """What is known of a call's caller, as soon as that is decided, or after `timeout_s`."""
        self.begin(conversation_id, caller, called)
        one = self._kept[conversation_id]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await one.decided.wait()
        return one.known or self._merged(one, _Answer(None, _too_late(timeout_s), None))

    async def close(self) -> None:
        """Ends what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _begun(self, one: _LookUp) -> None:
        """Written beside the asking: a screen may say that somebody is looked up."""
        if self._crm is None:
            return
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S), self._services.pool.acquire() as connection:
                at = datetime.now(UTC)
                await donors.begin(connection, one.conversation_id, one.caller, self._crm.name, at)
        except db.AWAY as error:
            log.warning("look_up_not_kept", why=type(error).__name__)

    async def _run(self, one: _LookUp) -> None:
        try:
            await self._look_up(one)
        except Exception:  # the call goes on, whatever is wrong here
            log.exception("look_up_defect", conversation=str(one.conversation_id))
            self._decide(one)
            await self._tell(one, _Answer(None, None, None, asked_crm=True), "failed", is_late=False)
        finally:
            self._decide(one)
            for task in (one.own, one.asked):
                task.cancel()
            await asyncio.gather(one.own, one.asked, return_exceptions=True)

    def _decide(self, one: _LookUp) -> None:
        """The call need not wait any more; who calls is nobody, unless it was decided before."""
        if one.known is None:
            nobody = segments.decide(self._book.now, None, self._today())
            one.known = Known(None, None, nobody, own_failed=True)
        one.decided.set()

    async def _look_up(self, one: _LookUp) -> None:
        begun = time.monotonic()
        await asyncio.wait((one.own, one.asked), timeout=self._budget_s)
        is_late = not one.asked.done()
        answer = _Answer(None, _too_late(self._budget_s), None) if is_late else one.asked.result()
        if not is_late and answer.donor is None:
            await asyncio.wait((one.own,))  # nobody else can tell; a step waits for as long as its flow says
        one.known = self._merged(one, answer)
        one.decided.set()
        self._log(one, answer)
        await self._tell(one, answer, "late" if is_late else _state(one.known, answer.failed), is_late=is_late)
        await self._count(answer)
        if not is_late:
            return
        await asyncio.wait((one.asked,), timeout=max(0.0, self._late_wait_s - (time.monotonic() - begun)))
        state: donors.State = "failed"
        if one.asked.done():
            answer = one.asked.result()
            # The call has gone on, but a later step of its flow, and the screen, may know what has come now.
            one.known = self._merged(one, answer)
            state = _state(one.known, answer.failed)
        await self._tell(one, answer, state, is_late=True)

    async def _own(self, one: _LookUp) -> Own | TimeoutError | None:
        """Our own record. A database that is away is not the caller's fault."""
        try:
            async with asyncio.timeout(OWN_TIMEOUT_S), self._own_room, self._services.pool.acquire() as connection:
                await self._book.read(connection)
                return None if one.caller is None else await donors.own(connection, one.caller, zone=self._zone.key)
        except db.AWAY as error:
            log.warning("own_look_up_failed", why=type(error).__name__)
            return TimeoutError()

    async def _ask_crm(self, one: _LookUp) -> _Answer:
        crm = self._crm
        if crm is None:
            return _Answer(None, None, None)
        try:
            by = await self._by(one)
        except db.AWAY:
            unread = LookupFailed(Failure.SKIPPED, "The CRM was not asked: by what the line asks could not be read.")
            return _Answer(None, unread, None)
        if by is None or (by == "ANI" and one.caller is None):
            return _Answer(None, None, None)
        if by not in crm.looks_up_by:
            cannot = LookupFailed(Failure.SKIPPED, f"This CRM cannot be asked by {by}; set the line to ANI.")
            return _Answer(None, cannot, None, asked_crm=True)
        refused = self.guard.ask(time.monotonic())
        if refused is not None:
            skipped = LookupFailed(Failure.SKIPPED, f"The CRM was not asked: {refused}.")
            return _Answer(None, skipped, None, asked_crm=True)
        return await self._find(crm, one, by)

    async def _find(self, crm: Crm, one: _LookUp, by: LookUpBy) -> _Answer:
        number = one.called if by == "DNIS" else one.caller
        assert number is not None, "whoever withholds her number is not looked up by it"
        begun, ok = time.monotonic(), False
        found, failed = None, None
        try:
            found = await crm.find(number, by=by)
            ok = True
        except LookupFailed as error:
            # A record of somebody else is the CRM's data, not its health.
            failed, ok = error, error.reason is Failure.ANOTHER_PERSON
        finally:
            took_s = time.monotonic() - begun
            self.guard.done(time.monotonic(), took_s=took_s, ok=ok)
        return _Answer(found, failed, round(took_s * 1000), asked_crm=True)

    async def _by(self, one: _LookUp) -> LookUpBy | None:
        """None: by nothing, as the line says. Raises what `db.AWAY` names: a guess may ask what was not to be asked."""
        by = one.by
        if by is None:
            async with asyncio.timeout(self._budget_s), self._own_room, self._services.pool.acquire() as connection:
                by = await donors.look_up_by(connection, one.called)
        match by:
            case "DNIS":
                return "DNIS"
            case "none":
                return None
            case _:
                return "ANI"

    def _today(self) -> date:
        return datetime.now(self._zone).date()

    def _merged(self, one: _LookUp, answer: _Answer) -> Known:
        mine = one.own.result() if one.own.done() else TimeoutError()
        own_failed = isinstance(mine, TimeoutError)
        ours = None if isinstance(mine, TimeoutError) else mine
        donor = merge(answer.donor, ours.donor(one.caller or "") if ours is not None else None)
        return Known(donor, ours, segments.decide(self._book.now, donor, self._today()), answer.failed, own_failed)

    def _log(self, one: _LookUp, answer: _Answer) -> None:
        if (failed := answer.failed) is not None:
            log.warning(FAILURE, reason=failed.reason.value, why=failed.detail, conversation=str(one.conversation_id))

    async def _count(self, answer: _Answer) -> None:
        if (failed := answer.failed) is None:
            return
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await counters.add(self._services.pool, {FAILURE: 1, f"{FAILURE}.{failed.reason.value}": 1})
        except db.AWAY as error:
            log.warning("look_up_not_counted", why=type(error).__name__)

    async def _tell(self, one: _LookUp, answer: _Answer, state: donors.State, *, is_late: bool) -> None:
        """The row that the screen shows; a database that is away costs no call."""
        known, failed = one.known, answer.failed
        assert known is not None, "it was decided"
        told = Told(
            conversation_id=one.conversation_id,
            caller=one.caller,
            person_id=known.own.id if known.own else None,
            crm=self._crm.name if self._crm is not None and (answer.asked_crm or is_late) else None,
            state=state,
            reason=failed.reason.value if failed else None,
            detail=failed.detail if failed else None,
            is_late=is_late,
            took_ms=answer.took_ms,
            donor=known.donor,
            segment=known.segmented.name,
            segment_version=known.segmented.version,
            segment_why=known.segmented.told,
        )
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                async with self._services.pool.acquire() as connection:
                    await donors.tell(connection, told)
                await events.hint(self._services.pool)
        except db.AWAY as error:
            log.warning("look_up_not_kept", why=type(error).__name__)


def _state(known: Known, failed: LookupFailed | None) -> donors.State:
    if failed is not None:
        return "skipped" if failed.reason is Failure.SKIPPED else "failed"
    return "found" if known.is_known else "nobody"


def _too_late(budget_s: float) -> LookupFailed:
    return LookupFailed(Failure.TIMED_OUT, f"No answer within {budget_s:g} s; the call went on.")


def merge(told: Donor | None, own: Donor | None) -> Donor | None:
    """The CRM's donor, with what it does not tell filled in from ours."""
    if told is None or own is None:
        return told or own
    empty = (None, "", ())
    gaps = {
        name: getattr(own, name)
        for name in Donor.__struct_fields__
        if getattr(told, name) in empty and getattr(own, name) not in empty
    }
    # Figures belong together: sums of ours beside counts of theirs would be neither.
    if told.gift_count is not None or told.lifetime_value is not None or told.last_gift is not None:
        for name in ("lifetime_value", "last_gift", "largest_gift", "gift_count", "gifts_last_year"):
            gaps.pop(name, None)
    return msgspec.structs.replace(told, **gaps)
