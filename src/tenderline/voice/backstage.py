"""What steps may ask of the rest of the system, each within a time-out: `flows.call.Backstage`, on the database."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from tenderline.app import Services
from tenderline.campaigns import calling
from tenderline.campaigns.callbacks import BY_HAND
from tenderline.core.clock import steady_s
from tenderline.core.errors import NotFoundError
from tenderline.core.loops import goes_on
from tenderline.core.money import Money
from tenderline.crm.base import Failure
from tenderline.flows.call import (
    Call,
    CardKeyed,
    ChargeResult,
    Identified,
    LeftBecause,
    PaymentBegun,
    PaymentHandedOver,
    PaymentTerms,
    Proof,
    Settlement,
    Value,
)
from tenderline.notify import on_call
from tenderline.outgoing.asking import Asker
from tenderline.payments import telephone
from tenderline.people import by_phone, distress
from tenderline.people import identify as proving
from tenderline.routing.lookup import LookUps
from tenderline.store import accounts, callbacks, captures, db, holds, people, secure_sessions, waiting
from tenderline.store.db import Connection
from tenderline.voice import caller_variables

log: structlog.stdlib.BoundLogger = structlog.get_logger()

WRITE_TIMEOUT_S = 5.0
LOOK_UPS_AT_ONCE_MAX = 8
SETTLEMENT_LOOK_S = 0.25

_LEFT: Final[dict[str, captures.State]] = {
    "abandoned": "abandoned",
    "hung_up": "abandoned",
    "tries_exhausted": "abandoned",
    "cancelled": "cancelled",
    "system_problem": "failed",
    "card_refused": "declined",
    "declined": "declined",
}
_MODES: Final[dict[Value, captures.Mode]] = {"leave": "leave", "attended": "attended"}
"""Set by whoever runs a flow for an agent."""


class DatabaseBackstage:
    """For all calls of a node."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._asker = Asker(services)
        self.look_ups = LookUps(services)
        # Questions that hang must leave connections to the node's lease and its books.
        self._looking = asyncio.Semaphore(LOOK_UPS_AT_ONCE_MAX)

    def now(self) -> datetime:
        """The instant, in UTC."""
        return datetime.now(UTC)

    def call_arrived(self, conversation_id: UUID, caller: str | None, called: str, look_up_by: str) -> None:
        """Begins to look the caller up, before anything is answered or said. Returns at once."""
        self.look_ups.begin(conversation_id, caller, called, look_up_by)

    async def look_up(self, call: Call, *, timeout_s: float) -> Mapping[str, Value] | None:
        """What our own database and the CRM know by the number. `TimeoutError`: nobody could tell in time."""
        known = await self.look_ups.known(call.conversation_id, call.caller, call.called, timeout_s=timeout_s)
        if known.is_known:
            return caller_variables.of(known)
        if known.own_failed or (known.failed is not None and known.failed.reason is Failure.TIMED_OUT):
            raise TimeoutError
        return None

    async def expected_wait_s(self, queue: str, *, timeout_s: float) -> float | None:
        """As the floor tells it. Raises `TimeoutError`, also while the database is away."""
        try:
            async with asyncio.timeout(timeout_s), self._services.pool.acquire() as connection:
                paces = await waiting.paces(connection, queue)
        except db.AWAY:
            raise TimeoutError from None
        return paces[0].wait_s if paces else None

    async def call_back(self, call: Call, *, number: str | None, due_at: datetime | None) -> bool:
        """Notes a callback; False without a number."""
        wanted = number or call.caller
        if wanted is None:
            return False
        services, now = self._services, datetime.now(UTC)
        campaign = services.settings.voice.callback_campaign
        by = f"conversation:{call.conversation_id}"
        async with (
            asyncio.timeout(WRITE_TIMEOUT_S),
            services.pool.acquire() as connection,
            connection.transaction(),
        ):
            known = await people.find_by_address(connection, people.PHONE, wanted)
            wish = callbacks.Wanted(
                person_id=known[0] if known is not None else None,
                conversation_id=None,  # its row may be written later than this
                number=wanted,
                due_at=due_at or now,
                not_after=(due_at or now) + calling.VALID,
                campaign=campaign,
                why=BY_HAND,
                asked_by=by,
            )
            if campaign is not None:
                try:
                    planned = await calling.plan(
                        services,
                        connection,
                        campaign=campaign,
                        number=wanted,
                        by=by,
                        due_at=due_at,
                        own_act_at=now,
                    )
                except (calling.NoSuchCampaignError, calling.DisabledCampaignError) as error:
                    log.error("callback_only_listed", campaign=campaign, why=error.detail)
                else:
                    if planned.why is not None:
                        return False
                    wish = replace(
                        wish, attempt_id=planned.id, person_id=planned.person_id, due_at=planned.due_at,
                        not_after=planned.not_after, why=None,
                    )  # fmt: skip
            await callbacks.add(connection, wish)
        return True

    async def message(self, call: Call, *, template: str, values: Mapping[str, Value]) -> bool:
        """Plans a text to the caller; False when there is nothing to send, or the gate refuses."""
        del values  # the link needs none
        if call.caller is None or template not in on_call.TEMPLATES:
            known = ", ".join(sorted(on_call.TEMPLATES))
            log.warning("message_refused", template=template, why=f"no number, or not one of: {known}")
            return False
        async with (
            asyncio.timeout(WRITE_TIMEOUT_S),
            self._services.pool.acquire() as connection,
            connection.transaction(),
        ):
            return await on_call.pay_link(self._services, connection, call.caller)

    async def alert(self, call: Call, *, reason: str) -> bool:
        """The one act, committed before the flow goes on; False when the call is not in the books."""
        services = self._services
        by = f"conversation:{call.conversation_id}"
        try:
            async with (
                asyncio.timeout(WRITE_TIMEOUT_S),
                services.pool.acquire() as connection,
                connection.transaction(),
            ):
                await distress.report(services, connection, call.conversation_id, source="key", reason=reason, by=by)
        except (NotFoundError, *db.AWAY) as error:
            log.error("distress_not_told", conversation=str(call.conversation_id), why=type(error).__name__)
            return False
        return True

    async def post(
        self, call: Call, *, endpoint: str, values: Mapping[str, Value], timeout_s: float
    ) -> Mapping[str, Value] | None:
        """Asks the endpoint of this name. Raises `TimeoutError`."""
        question = {
            "type": "call.asked",
            "conversationId": str(call.conversation_id),
            "caller": call.caller,
            "called": call.called,
            "values": {name: _plain(value) for name, value in values.items()},
        }
        return await self._asker.ask(endpoint, question, timeout_s=timeout_s)

    async def account_of(self, caller: str | None, *, timeout_s: float) -> tuple[str, str | None] | None:
        """The only account of this number. Raises `TimeoutError`."""
        if caller is None:
            return None
        async with asyncio.timeout(timeout_s), self._looking, self._services.pool.acquire() as connection:
            return await accounts.of_caller(connection, caller)

    async def identify(self, call: Call, *, account: str, by: Proof, proof: str, timeout_s: float) -> Identified | None:
        """Judges what was keyed in. Raises `TimeoutError`; the try counts all the same."""
        pool, caller = self._services.pool, call.caller
        async with asyncio.timeout(timeout_s):
            async with self._looking, pool.acquire() as connection:
                claim = await proving.claimed(connection, account, caller, self._limits())
            if not await proving.is_proven(claim, by, proof):
                log.info("not_identified", conversation=str(call.conversation_id), by=by)
                return None
            found = claim.candidate
            assert found is not None, "nothing is proven of nobody"
            by_call = f"conversation:{call.conversation_id}"
            async with self._looking, pool.acquire() as connection, connection.transaction():
                await proving.proven(connection, claim)
                await distress.identified(connection, call.conversation_id, found.person_id, by=by_call)
        return Identified(found.number, str(found.person_id), found.name, found.balance)

    def _limits(self) -> proving.Limits:
        settings = self._services.settings.identification
        return proving.Limits(
            of_account=settings.account_tries_max,
            of_caller=settings.caller_tries_max,
            of_withheld=settings.withheld_tries_max,
            window_s=settings.window_h * proving.HOUR_S,
        )

    def payment_terms(self) -> PaymentTerms:
        """As they are set."""
        settings = self._services.settings.capture
        return PaymentTerms(settings.minimum, settings.maximum, settings.declines_max)

    async def begin_payment(self, call: Call, amount: Money, *, text_announced: bool) -> PaymentBegun | None:
        """Whoever was identified pays; else whoever is known by the number, or becomes a person of its own."""
        mode = _MODES.get(call.variables.get("payment_mode"), "automated")
        async with (
            asyncio.timeout(WRITE_TIMEOUT_S),
            self._services.pool.acquire() as connection,
            connection.transaction(),
        ):
            session = await self._begun(connection, call, amount, mode, text_announced=text_announced)
        return PaymentBegun(str(session.id), session.reference) if session is not None else None

    async def hand_over_payment(self, call: Call, amount: Money, *, text_announced: bool) -> PaymentHandedOver | None:
        """To the provider that is set."""
        to = self._services.settings.capture.provider
        if to is None:
            log.error("no_payment", why="capture.provider is not set")
            return None
        async with (
            asyncio.timeout(WRITE_TIMEOUT_S),
            self._services.pool.acquire() as connection,
            connection.transaction(),
        ):
            session = await self._begun(connection, call, amount, "provider", text_announced=text_announced)
            if session is None:
                return None
            transaction_id = await telephone.hand_over(connection, session)
        told = {
            "X-Payment-Transaction": transaction_id,
            "X-Payment-Reference": session.reference,
            "X-Payment-Amount": amount.plain(),
            "X-Payment-Currency": amount.currency,
        }
        return PaymentHandedOver(str(session.id), session.reference, to, told)

    async def _begun(
        self, connection: Connection, call: Call, amount: Money, mode: captures.Mode, *, text_announced: bool
    ) -> captures.CaptureSession | None:
        if not self.payment_terms().allow(amount):
            log.error("no_payment", why="the amount is outside of capture.minimum and capture.maximum")
            return None
        identified = await _identified(connection, call)
        person_id, point_id = await _payer(connection, call.caller, identified)
        if text_announced and point_id is not None:
            await people.lock(connection, person_id)
            evidence = f"told of a text about the payment, and went on: conversation {call.conversation_id}"
            await by_phone.gave_number(connection, person_id, point_id, evidence=evidence)
        try:
            session = await telephone.begin(
                self._services,
                connection,
                person_id=person_id,
                contact_point_id=point_id,
                conversation_id=call.conversation_id,
                mode=mode,
                money=amount,
                campaign=_text(call.variables.get("campaign")),
                fund=_text(call.variables.get("fund")),
            )
        except (telephone.NoGatewayError, holds.PaymentOffError) as error:
            log.error("no_payment", why=error.detail)
            return None
        await secure_sessions.pays(connection, call.conversation_id, session.id)
        if identified is not None and (account := _text(call.variables.get("account"))) is not None:
            await accounts.book(connection, session.id, account)
        return session

    async def charge(self, payment_id: str, card: CardKeyed) -> ChargeResult:
        """As long as the gateway's time-outs; a caller who hangs up changes nothing."""
        charged = await telephone.charge(
            self._services, UUID(payment_id), token=card.token, brand=card.brand, last_four=card.last_four
        )
        return charged.result

    async def leave_payment(self, payment_id: str, why: LeftBecause) -> None:
        """What may have been charged stays as it is."""
        async with asyncio.timeout(WRITE_TIMEOUT_S):
            await telephone.leave(self._services, UUID(payment_id), _LEFT[why], why, hung_up=why == "hung_up")

    async def settlement(self, payment_id: str, *, timeout_s: float) -> Settlement:
        """Looked for a few times a second; a database that is away has no news. A failure is written down before she
        hears of it: until it is, a link may follow her."""
        ends_s = steady_s() + timeout_s
        while goes_on() and (left_s := ends_s - steady_s()) > 0:
            try:
                found = await self._news(UUID(payment_id), left_s)
            except db.AWAY as error:
                log.warning("settlement_not_known", payment=payment_id, why=type(error).__name__)
            else:
                if found is not None:
                    return found
            await asyncio.sleep(SETTLEMENT_LOOK_S)
        if not goes_on():
            raise asyncio.CancelledError  # the error of a broken connection stood in its place
        return "PENDING"

    async def _news(self, session_id: UUID, timeout_s: float) -> Settlement | None:
        async with asyncio.timeout(timeout_s):
            found = await telephone.settlement(self._services, session_id)
        if found == "FAILED":
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                return "FAILED" if await telephone.heard_of_failure(self._services, session_id) else None
        return "COMPLETED" if found == "COMPLETED" else None

    async def close(self) -> None:
        """Closes what is open to others."""
        await self.look_ups.close()
        await self._asker.close()

    async def opt_out(self, call: Call) -> bool:
        """Silence on every channel, from the commit on; False without a number."""
        if call.caller is None:
            return False
        evidence = f"the key was pressed in conversation {call.conversation_id}"
        async with (
            asyncio.timeout(WRITE_TIMEOUT_S),
            self._services.pool.acquire() as connection,
            connection.transaction(),
        ):
            await by_phone.opt_out(connection, call.caller, evidence=evidence)
        return True


async def _identified(connection: Connection, call: Call) -> UUID | None:
    """The person that the flow found out, when there is such a one."""
    try:
        wanted = UUID(str(call.variables.get("person_id") or ""))
    except ValueError:
        return None
    return wanted if await people.find(connection, wanted) is not None else None


async def _payer(connection: Connection, caller: str | None, identified: UUID | None) -> tuple[UUID, UUID | None]:
    """Who pays, and the contact point of the number that calls, as far as it is hers. A number that nobody has becomes
    hers; somebody else's stays theirs, and gets no receipt of hers."""
    if caller is None:
        return identified or await people.create(connection, name=None, locale=None), None
    if identified is None:
        return await people.of_number(connection, caller)
    await people.lock(connection, identified)
    await people.add_contact_point(connection, identified, people.PHONE, caller)
    found = await people.find_by_address(connection, people.PHONE, caller)
    return identified, found[1] if found is not None and found[0] == identified else None


def _plain(value: Value) -> object:
    """A value as JSON has it; money as its amount in minor units with its currency."""
    return {"amountMinor": value.minor, "currency": value.currency} if isinstance(value, Money) else value


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) and value else None
