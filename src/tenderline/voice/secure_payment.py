"""A payment that an agent starts while she talks: a flow of its own runs on the call, and she gets the caller back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import structlog

from tenderline.cardholder.messages import FIELDS, Progress
from tenderline.cardholder.messages import Say as Say_
from tenderline.core.errors import InvalidInputError, TenderlineError
from tenderline.core.money import Money
from tenderline.flows.call import Value
from tenderline.payments.agent_started import OURS
from tenderline.store import secure_sessions
from tenderline.store.db import Connection
from tenderline.store.secure_sessions import Mode, Result
from tenderline.voice.card_entry import Attended
from tenderline.voice.orders import Detail, NotNowError, Order
from tenderline.voice.pair import Pair

log: structlog.stdlib.BoundLogger = structlog.get_logger()

RETURNED: Final = "returned"
_RESULTS: Final[frozenset[Result]] = frozenset(
    ("success", "pending", "declined", "abandoned", "cancelled", "system_problem", "distress")
)

_CHARGED: Final[frozenset[Result]] = frozenset(("success", "pending"))

Entry = Callable[[Connection], Awaitable[object]]


class TooLateError(TenderlineError):
    """The card is keyed in and the bank is being asked; this cannot be stopped any more. Wait for the result."""

    code = "secure_session.too_late"
    status = 409


class DistressError(TenderlineError):
    """Whoever is on this call is in distress: no payment is taken from her on it any more."""

    code = "secure_session.distress"
    status = 409


class NoFlowError(InvalidInputError):
    """There is no flow of this name that a payment could be taken by."""

    code = "unknown_flow"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent asks for. `values` become variables of the flow."""

    session_id: UUID
    flow: str
    mode: Mode
    disconnect: bool = False
    amount_minor: Annotated[int, msgspec.Meta(gt=0)] | None = None
    currency: str | None = None
    values: dict[str, str | int] = {}


@dataclass(frozen=True, slots=True)
class Means:
    """What it takes: `run` walks a flow of that name on this call (None: there is none), `note` writes in order."""

    run: Callable[[str], Awaitable[str]] | None
    has_flow: Callable[[str], bool]
    note: Callable[[Entry], None]
    variables: dict[str, Value]
    attend: Callable[[Attended | None], None]


async def take(order: Order, pair: Pair, means: Means) -> None:
    """Runs it to its end. The order is answered as soon as the payment has begun; the books tell how it ended."""
    try:
        wanted = _wanted(order.detail, means)
    except TenderlineError as error:
        order.refuse(error)
        return
    sofar = _SoFar(wanted.session_id, means.note)
    attended = Attended(wanted.mode, sofar.seen)
    if wanted.mode == "leave":
        pair.part()
    if wanted.disconnect:
        pair.let_go()
    means.attend(attended)
    running = asyncio.ensure_future(_run(wanted, means))
    pair.orders.at_once.update(
        secure_cancel=lambda _: _cancel(attended, running),
        secure_restart=lambda detail: _restart(attended, detail),
    )
    attended.stop = lambda: _cancel(attended, running)
    order.answer({"state": "PENDING"})
    result: Result = "system_problem"
    try:
        await asyncio.wait({running})
        result = "cancelled" if running.cancelled() else running.result()
        if attended.is_stopped and result not in _CHARGED:
            result = "distress"
    finally:
        for kind in ("secure_cancel", "secure_restart"):
            pair.orders.at_once.pop(kind, None)
        means.attend(None)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        pair.caller.leg.be_quiet()
        _end(wanted, result, means)
        if not pair.other.is_gone:
            pair.resume()


async def _run(wanted: Wanted, means: Means) -> Result:
    variables, assert_run = means.variables, means.run
    assert assert_run is not None, "looked at before it began"
    for name in OURS:
        variables.pop(name, None)
    variables.update(wanted.values)
    variables["payment_mode"] = wanted.mode
    if wanted.amount_minor is not None:
        variables["amount"] = Money.parse(wanted.amount_minor, wanted.currency)
    try:
        end = await assert_run(wanted.flow)
    except Exception:  # whatever it is, the agent gets her caller back
        log.exception("secure_payment_failed", session=str(wanted.session_id))
        return "system_problem"
    finally:
        variables.pop("payment_mode", None)
    if end == RETURNED:
        told = variables.get("payment_result")
        return next((one for one in _RESULTS if one == told), "system_problem")
    return "abandoned" if end == "caller_hung_up" else "system_problem"


def _wanted(detail: Detail, means: Means) -> Wanted:
    if means.variables.get("distress") is True:
        raise DistressError()
    try:
        wanted = msgspec.convert(dict(detail), Wanted)
    except msgspec.ValidationError as error:
        raise InvalidInputError(str(error)) from None
    if wanted.amount_minor is not None:
        Money.parse(wanted.amount_minor, wanted.currency)
    if means.run is None or not means.has_flow(wanted.flow):
        raise NoFlowError(f"There is no flow {wanted.flow!r} that a payment could be taken by on a call.")
    return wanted


def _cancel(attended: Attended, running: asyncio.Future[Result]) -> Detail:
    if attended.is_card_taken:
        raise TooLateError()
    if attended.room is not None:
        attended.room.cancel()
    else:
        running.cancel()
    return {}


def _restart(attended: Attended, detail: Detail) -> Detail:
    field = next((one for one in FIELDS if one == detail.get("field")), None)
    if field is None:
        raise InvalidInputError(f"field: one of {', '.join(FIELDS)}.")
    if attended.room is None:
        raise TooLateError() if attended.is_card_taken else NotNowError("No card is being keyed in now.")
    attended.room.restart(field)
    return {}


def _end(wanted: Wanted, result: Result, means: Means) -> None:
    known, at = means.variables, datetime.now(UTC)
    payment, last_four = known.get("payment"), known.get("last_four")
    capture_session_id = UUID(payment) if isinstance(payment, str) and payment else None
    kept = last_four if isinstance(last_four, str) and last_four else None
    means.note(
        lambda connection: secure_sessions.end(
            connection, wanted.session_id, at, result, capture_session_id=capture_session_id, last_four=kept
        )
    )


class _SoFar:
    """What the agent is shown, written down as it changes."""

    def __init__(self, session_id: UUID, note: Callable[[Entry], None]) -> None:
        self._id, self._note = session_id, note
        self._shown = secure_sessions.Progress()

    def seen(self, event: Say_ | Progress) -> None:
        changed: dict[str, Any]
        if isinstance(event, Progress):
            changed = {"field": event.field, "count": event.count, "brand": event.brand or self._shown.brand}
        else:
            changed = {"said": str(event.prompt)}
            if event.brand is not None:
                changed["brand"] = event.brand
            if event.last_four is not None:
                changed["last_four"] = event.last_four
        shown = self._shown = msgspec.structs.replace(self._shown, **changed)
        self._note(lambda connection: secure_sessions.progress(connection, self._id, shown))
