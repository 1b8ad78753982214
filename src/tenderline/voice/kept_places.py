"""Calls back whoever kept her place in line and hung up: when it is her turn, agent first, through the gate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog

from tenderline.campaigns import calling
from tenderline.core.errors import TenderlineError
from tenderline.core.ids import uuid7
from tenderline.store import attempts, callbacks, waiting
from tenderline.store.attempts import Leased
from tenderline.store.calling_campaigns import CallingCampaign
from tenderline.store.db import Connection
from tenderline.store.waiting import Offer
from tenderline.voice.calling_out import LEASE_S, CallingOut, Carry
from tenderline.voice.queueing import Queueing
from tenderline.voice.rig import Rig

log: structlog.stdlib.BoundLogger = structlog.get_logger()

WHY_NOT: Final = "no calling campaign of agents is set in voice.callback_campaign, or it is switched off"
REFUSED: Final = "the gate refused the call"


class KeptPlaces:
    """Of one node. A place whose agent does not answer stays at the head of its line."""

    def __init__(
        self, rig: Rig, queueing: Queueing, calling_out: CallingOut, *, carry: Carry, has_room: Callable[[], bool]
    ) -> None:
        self._rig, self._queueing, self._calling_out = rig, queueing, calling_out
        self._carry, self._has_room = carry, has_room

    def can_be_kept(self) -> bool:
        """Whether a place may be offered: only when somebody is going to call."""
        return self._campaign() is not None

    def can_call(self) -> bool:
        """Whether a place could be called by this node now."""
        return self._campaign() is not None and self._has_room()

    def _campaign(self) -> CallingCampaign | None:
        wanted = self._rig.services.settings.voice.callback_campaign
        found = next((one for one in self._rig.directory.campaigns if one.name == wanted), None)
        usable = found is not None and found.enabled and found.queue is not None
        return found if usable and found is not None and self._calling_out.can_carry(found) else None

    async def call(self, offer: Offer) -> None:
        """It is her turn, and an agent is reserved. The call is carried like every other."""
        campaign = self._campaign()
        if campaign is None or not self._has_room():
            # Nobody takes the reservation up: it is taken back, and by then this node has said that it cannot call.
            log.warning("place_not_called_here", why=WHY_NOT if campaign is None else "the node is full")
            return
        conversation_id = uuid7()
        named = await self._queueing.persist(
            lambda connection: waiting.call_of(connection, offer.id, offer.agent_id, conversation_id)
        )
        if named:
            offer = replace(offer, conversation_id=conversation_id)
            self._carry(conversation_id, self._call(offer, campaign))

    async def _call(self, offer: Offer, campaign: CallingCampaign) -> None:
        reached = asyncio.Event()
        is_rung = False
        try:
            agent = await self._rig.exchange.ring_offer(
                offer, lambda: "talked" if reached.is_set() else "callback_later"
            )
            is_rung = True
        finally:
            if not is_rung:  # neither she nor the place may stay behind
                self._queueing.put_back(offer)
        if agent is None:
            return
        try:
            leased = await self._claimed(offer, campaign)
            if leased is not None:
                await self._calling_out.call_with(agent, offer.conversation_id, leased, campaign, reached.set)
        finally:
            agent.release()

    async def _claimed(self, offer: Offer, campaign: CallingCampaign) -> Leased | None:
        """The call as the gate lets it pass now. What it puts off stands planned, and is made in its time."""
        services = self._rig.services

        async def plan(connection: Connection) -> tuple[UUID, UUID] | None:
            assert offer.caller is not None, "nobody keeps a place without a number"
            wish = await callbacks.lock(connection, offer.callback_id) if offer.callback_id is not None else None
            if wish is None or wish["state"] != "waiting":
                return None  # taken back meanwhile
            if wish["attempt_id"] is not None:  # the answer to the first time was lost: nobody is called twice
                return wish["person_id"], wish["attempt_id"]
            planned = await calling.plan(
                services,
                connection,
                campaign=campaign.name,
                number=offer.caller,
                by=f"queue:{offer.queue}",
                own_act_at=offer.kept_at,
            )
            if planned.why is not None or planned.id is None:
                log.warning("callback_refused", why=planned.why)
                await callbacks.explain(connection, wish["id"], planned.why or REFUSED)
                return None
            await callbacks.answer(connection, wish["id"], planned.id)
            return planned.person_id, planned.id

        try:
            found = await self._queueing.persist(plan)
        except TenderlineError as error:
            log.error("callback_only_listed", why=error.detail)
            return None
        if found is None:
            return None
        claim = await attempts.claim(
            services.pool,
            services.book,
            batch_max=1,
            lease_s=LEASE_S,
            defaults=services.defaults,
            of=attempts.this_call(*found),
        )
        return claim.leased[0] if claim.leased else None
