"""Calls that we make, of one node: due attempts pass the gate here as everywhere, and each call then goes on by itself.

A call by a recorded voice is dialled at once. A call by an agent is dialled when an agent of ours is on the line, never
before: whoever answers is spoken to at once, and nobody is called to be hung up on (47 CFR 64.1200(a)(7)).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import structlog

from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.flows import run as flow_run
from tenderline.flows.call import CallEndedError, Value
from tenderline.flows.graph import Flow
from tenderline.store import attempts
from tenderline.store.attempts import Leased
from tenderline.store.calling_campaigns import CallingCampaign
from tenderline.store.conversations import Started
from tenderline.voice.answering import Listener
from tenderline.voice.outcome import Outcome
from tenderline.voice.packet import FRAME_SAMPLES
from tenderline.voice.party import Party
from tenderline.voice.phone_call import PhoneCall
from tenderline.voice.placing import Signs, Unplaced, of_tone
from tenderline.voice.probe import TrunkProbe
from tenderline.voice.prompts import sounds
from tenderline.voice.rig import Rig
from tenderline.voice.scribe import CallScribe
from tenderline.voice.switch import AgentOnCall, Other

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LEASE_S: Final = 90.0
"""From the gate to the dialling: an agent is rung meanwhile. The gate wants the call lawful to its end."""
NO_AGENT_AGAIN_S: Final = 30.0
NOT_SENT_AGAIN_S: Final = 60.0

Carry = Callable[[UUID, Coroutine[Any, Any, object]], None]


class CallingOut:
    """`turn` looks for due calls; `carry` runs one until its end; `room` tells for how many the node has room."""

    def __init__(
        self, rig: Rig, *, node_id: Callable[[], UUID], carry: Carry, room: Callable[[], int], probe: TrunkProbe
    ) -> None:
        self._rig, self._node_id, self._carry, self._room, self._probe = rig, node_id, carry, room, probe
        self._settings = rig.services.settings.voice
        self._out = 0

    async def turn(self) -> None:
        """Claims what is due and can be carried now, agents' calls only for agents who are free."""
        ready = [one for one in self._rig.directory.campaigns if one.enabled and self.can_carry(one)]
        room = min(self._room(), self._settings.calls_out_max - self._out, max(1, int(self._settings.calls_out_per_s)))
        if not ready or room <= 0 or not await self._probe.is_there():
            return
        room -= await self._begin([one for one in ready if one.queue is None], room)
        by_queue: dict[str, list[CallingCampaign]] = defaultdict(list)
        for one in ready:
            if one.queue is not None:
                by_queue[one.queue].append(one)
        for queue, campaigns in by_queue.items():
            room -= await self._begin(campaigns, min(room, await self._rig.exchange.free_agents(queue)))

    def can_carry(self, campaign: CallingCampaign) -> bool:
        """A flow that is not here yet, or a caller id that was taken off the list, keeps its calls waiting."""
        if campaign.caller_id not in self._settings.caller_ids:
            return False
        flows = [name for name in (campaign.flow, campaign.machine_flow) if name is not None]
        return all(self._rig.directory.flow(name) is not None for name in flows)

    async def _begin(self, campaigns: list[CallingCampaign], batch_max: int) -> int:
        if not campaigns or batch_max <= 0:
            return 0
        services = self._rig.services
        by_name = {one.name: one for one in campaigns}
        claim = await attempts.claim(
            services.pool,
            services.book,
            batch_max=batch_max,
            lease_s=LEASE_S,
            defaults=services.defaults,
            of=attempts.calls_of(list(by_name)),
        )
        for leased in claim.leased:
            conversation_id = uuid7()
            self._out += 1
            self._carry(conversation_id, self._call(conversation_id, leased, by_name[leased.template]))
        return len(claim.leased)

    async def call_with(
        self,
        agent: AgentOnCall,
        conversation_id: UUID,
        leased: Leased,
        campaign: CallingCampaign,
        reached: Callable[[], None],
    ) -> None:
        """A call for which an agent is on the line already. `reached` is called when somebody answers, before the agent
        is let go."""
        self._out += 1
        await self._call(conversation_id, leased, campaign, agent, reached)

    async def _call(
        self,
        conversation_id: UUID,
        leased: Leased,
        campaign: CallingCampaign,
        agent: AgentOnCall | None = None,
        reached: Callable[[], None] = lambda: None,
    ) -> None:
        """One call from the gate to its end. Whatever happens, its attempt gets a last word."""
        outcome = Outcome(self._rig.services.pool, self._rig.timeline, leased, conversation_id)
        one = _OneCall(self._rig, self._node_id(), conversation_id, leased, campaign, outcome, reached)
        try:
            await (one.by_machine() if campaign.queue is None else one.by_agent(agent))
            if one.went_through:
                self._probe.seen()
        except Exception:  # one call's fault ends no other call
            log.exception("call_out_failed", conversation=str(conversation_id))
        finally:
            self._out -= 1
            one.close()


class _OneCall:
    def __init__(
        self,
        rig: Rig,
        node_id: UUID,
        conversation_id: UUID,
        leased: Leased,
        campaign: CallingCampaign,
        outcome: Outcome,
        reached: Callable[[], None],
    ) -> None:
        self._rig, self._node_id, self._id = rig, node_id, conversation_id
        self._leased, self._campaign, self._outcome, self._reached = leased, campaign, outcome, reached
        self._handed_over = self.went_through = False

    # A recorded voice calls.

    async def by_machine(self) -> None:
        """Dials, finds out who answered, and runs the flow for her, or the one for machines."""
        campaign = self._campaign
        assert campaign.flow is not None, "a campaign without a queue has a flow"
        found = self._rig.directory.flow(campaign.flow)
        if found is None:
            self._outcome.not_placed("the flow is not there any more", again_after_s=NOT_SENT_AGAIN_S)
            return
        scribe = self._rig.scribe(self._id)
        await self._rig.prompts.make_ready(found[0])
        if not await self._hand_over():
            return
        self._begin_books(scribe, found[0].name, found[1])
        by, why = "system", "the node stopped"
        try:
            party = await self._place(Signs(ringing=self._ringing(scribe)))
            if isinstance(party, Unplaced):
                by, why = "nobody", party.detail
                return
            try:
                by, why = await self._speak(party, scribe, found[0])
            finally:
                party.close()
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(scribe.end(by=by, why=why))

    async def _speak(self, party: Party, scribe: CallScribe, flow: Flow) -> tuple[str, str]:
        """Who ended the call, and why."""
        scribe.answered()
        scribe.segment("ivr", "who answered?")
        scribe.watch(party.leg)
        wanted = self._campaign.machine_flow
        machine_flow = self._rig.directory.flow(wanted) if wanted is not None else None
        listener = Listener(party.leg)
        try:
            answer = await party.while_there(listener.answer(wait_for_beep=machine_flow is not None))
            if answer.by == "network":
                assert answer.tone is not None, "it was heard"
                nobody = of_tone(answer.tone)
                self._outcome.unplaced(nobody, again_after_s=NOT_SENT_AGAIN_S)
                return "nobody", nobody.detail
            if answer.by != "machine":
                scribe.segment("ivr", answer.by)
                ended = await self._told(flow, self._phone_call(party, scribe, answer.by), scribe, listener)
                if ended is not None:
                    self._outcome.talked(person=True)
                    self._outcome.settle("delivered", None)
                    return ended
        except CallEndedError:
            self._outcome.talked(person=False)
            self._outcome.settle("failed", "hung up before anything was said")
            return "caller", "hung up"
        finally:
            listener.stop()
        return await self._to_machine(party, scribe, machine_flow[0] if machine_flow is not None else None)

    async def _told(
        self, flow: Flow, call: PhoneCall, scribe: CallScribe, listener: Listener
    ) -> tuple[str, str] | None:
        """Runs the flow; None when a beep cuts it short, since then it was a machine after all."""
        running = asyncio.ensure_future(self._run(flow, call, scribe))
        beep = asyncio.ensure_future(listener.beeped())
        try:
            await asyncio.wait((running, beep), return_when=asyncio.FIRST_COMPLETED)
            return running.result() if running.done() else None
        finally:
            for one in (running, beep):
                one.cancel()
            await asyncio.gather(running, beep, return_exceptions=True)
            call.party.leg.be_quiet()

    async def _to_machine(self, party: Party, scribe: CallScribe, flow: Flow | None) -> tuple[str, str]:
        self._outcome.talked(person=False)
        scribe.segment("ivr", "machine")
        if flow is None:
            self._outcome.settle("failed", "an answering machine took the call")
            return "flow", "an answering machine took the call"
        by, why = await self._run(flow, self._phone_call(party, scribe, "machine"), scribe)
        is_left = by == "flow"
        self._outcome.settle("delivered" if is_left else "failed", None if is_left else "the answering machine hung up")
        return by, why

    async def _run(self, flow: Flow, call: PhoneCall, scribe: CallScribe) -> tuple[str, str]:
        try:
            why = await flow_run.run(flow, call, self._rig.backstage, scribe)
            return ("caller" if call.party.is_gone and not call.party.dialog.ended_by_us else "flow"), why
        except CallEndedError:
            return "caller", "hung up"

    def _phone_call(self, party: Party, scribe: CallScribe, answered_by: str) -> PhoneCall:
        leased, campaign = self._leased, self._campaign
        call = self._rig.phone_call(
            party,
            scribe,
            conversation_id=self._id,
            caller=leased.address,
            called=campaign.caller_id,
            language=campaign.language,
            taken=True,
        )
        known: dict[str, Value] = {
            "organisation": self._rig.services.settings.organisation,
            "campaign": campaign.name,
            "currency": campaign.currency,
            "fund": campaign.fund,
            "answered_by": answered_by,
        }
        if leased.amount_minor is not None and leased.currency is not None:
            known["amount"] = Money.parse(leased.amount_minor, leased.currency)
        call.variables.update(known)
        return call

    # An agent calls.

    async def by_agent(self, agent: AgentOnCall | None) -> None:
        """Rings an agent unless one is there; dials when she is; lets the two talk until one of them hangs up."""
        assert self._campaign.queue is not None
        if agent is None:
            agent = await self._rig.exchange.take_free_agent(
                self._campaign.queue, caller=self._leased.address, conversation_id=self._id
            )
        if agent is None:
            self._outcome.not_placed("no agent was free", again_after_s=NO_AGENT_AGAIN_S)
            return
        try:
            if await self._hand_over():
                await self._with_agent(agent)
        finally:
            agent.release()

    async def _with_agent(self, agent: AgentOnCall) -> None:
        scribe = self._rig.scribe(self._id)
        self._begin_books(scribe, None, None)
        participant = uuid7()
        other = replace(Other.agent(agent), participant=participant)
        scribe.join(participant, "agent", agent.name)
        by, why = "system", "the node stopped"
        ear = agent.party.leg

        def early_audio(party: Party) -> None:
            ear.be_quiet()
            ear.peer = party.leg

        ear.enqueue(_frames(sounds.ulaw("ringback"), times=1 + self._campaign.ring_s // 6))
        try:
            signs = Signs(ringing=self._ringing(scribe), early_audio=early_audio)
            party = await agent.party.while_there(self._place(signs))
            if isinstance(party, Unplaced):
                by, why = "nobody", party.detail
                return
            try:
                by, why = await self._talk(other, party, scribe)
            finally:
                party.close()
        except CallEndedError:
            by, why = "agent", "the agent hung up while it rang"
            self._outcome.settle("failed", why)
        finally:
            ear.peer = None
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(scribe.end(by=by, why=why))

    async def _talk(self, other: Other, party: Party, scribe: CallScribe) -> tuple[str, str]:
        scribe.answered()
        self._reached()
        self._outcome.talked(person=True)
        self._outcome.settle("delivered", None)
        other.party.leg.be_quiet()
        try:
            await self._phone_call(party, scribe, "person").talk(other, self._campaign.queue)
            return "agent", "hung up"
        except CallEndedError:
            return "caller", "hung up"

    # Both.

    async def _hand_over(self) -> bool:
        self._handed_over = await self._outcome.hand_over()
        return self._handed_over

    async def _place(self, signs: Signs) -> Party | Unplaced:
        found = await self._rig.exchange.place(
            self._leased.address,
            ring_s=self._campaign.ring_s,
            caller_id=self._campaign.caller_id,
            keys_offered=True,
            signs=signs,
        )
        if isinstance(found, Unplaced):
            self._outcome.unplaced(found, again_after_s=NOT_SENT_AGAIN_S)
        else:
            self._outcome.ringing()  # some answer without ringing
        self.went_through = not isinstance(found, Unplaced) or found.why not in ("not_sent", "unknown")
        return found

    def _ringing(self, scribe: CallScribe) -> Callable[[], None]:
        def ringing() -> None:
            self._outcome.ringing()
            scribe.segment("dialing", "ringing")

        return ringing

    def _begin_books(self, scribe: CallScribe, flow: str | None, flow_version: int | None) -> None:
        scribe.begin(
            Started(
                id=self._id,
                node_id=self._node_id,
                direction="outbound",
                caller=self._campaign.caller_id,
                called=self._leased.address,
                campaign=self._campaign.name,
                flow=flow,
                flow_version=flow_version,
                attestation=None,
                at=datetime.now(UTC),
                attempt_id=self._leased.id,
            ),
            kind="dialing",
        )

    def close(self) -> None:
        """Nothing is left open: a call that was dialled and was cut off by us has failed."""
        if self._handed_over and not self._outcome.is_settled:
            self._outcome.settle("failed", "the call was cut off by a fault of ours")


def _frames(ulaw: bytes, *, times: int) -> list[bytes]:
    whole = len(ulaw) // FRAME_SAMPLES * FRAME_SAMPLES
    return [ulaw[at : at + FRAME_SAMPLES] for at in range(0, whole, FRAME_SAMPLES)] * times
