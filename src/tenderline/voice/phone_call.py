"""A telephone call as the steps of a flow see it: `flows.call.Call`, on SIP and RTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode
from uuid import UUID

import structlog

from tenderline.cardholder.room import Room
from tenderline.core.errors import TenderlineError
from tenderline.flows.call import CallEndedError, CardEnd, CardKeyed, QueueEnd, Say, Talk, Transfer, Value
from tenderline.flows.spoken import Spoken
from tenderline.routing.queues import NOTHING, Wish
from tenderline.voice import card_entry, codec, secure_payment
from tenderline.voice.call_needs import Flows, Prompter, Scribe
from tenderline.voice.card_entry import Attended, Cards, framed
from tenderline.voice.in_line import InLine
from tenderline.voice.mixing import Wiring
from tenderline.voice.monitoring import Monitoring
from tenderline.voice.orders import ASKED_BY, Detail, Order, Orders
from tenderline.voice.packet import PCMU
from tenderline.voice.pair import Pair
from tenderline.voice.party import Party
from tenderline.voice.reaching import Reach
from tenderline.voice.secure_payment import Means
from tenderline.voice.succession import Succession, Talked
from tenderline.voice.switch import AgentOnCall, NoAgent, Other, Switch

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LISTEN_S_MAX = 10.0


class PhoneCall:
    """One call. Every method that waits raises `CallEndedError` when the caller is gone."""

    def __init__(
        self,
        party: Party,
        *,
        conversation_id: UUID,
        caller: str | None,
        called: str,
        language: str,
        prompter: Prompter,
        scribe: Scribe,
        switch: Switch,
        taken: bool = False,
        cards: Cards | None = None,
        flows: Flows | None = None,
    ) -> None:
        self.party = party
        self._conversation_id, self._caller, self._called = conversation_id, caller, called
        self._language = language
        self._prompter, self._scribe, self._switch = prompter, scribe, switch
        self._variables: dict[str, Value] = {}
        self._taken = taken
        self._cards = cards
        self._flows = flows
        self._attended: Attended | None = None
        self._room: Room | None = None
        self._wiring = Wiring(party.leg)
        self.orders = Orders()
        self.orders.at_once["distress"] = self._distressed
        Monitoring(party, self._wiring, scribe, switch, conversation_id).take_orders(self.orders)

    @property
    def conversation_id(self) -> UUID:
        """Of the conversation that this call is part of."""
        return self._conversation_id

    @property
    def caller(self) -> str | None:
        """The number of whoever is on the line with us, in E.164; None when it was withheld or is none."""
        return self._caller

    @property
    def called(self) -> str:
        """The number that was dialled."""
        return self._called

    @property
    def language(self) -> str:
        """What is spoken now."""
        return self._language

    @property
    def variables(self) -> dict[str, Value]:
        """What the flow has learnt so far."""
        return self._variables

    def speak_language(self, language: str) -> None:
        """What is said from now on is said in this language."""
        self._language = language

    async def answer(self) -> None:
        """Takes the call; once."""
        if not self._taken:
            self._taken = True
            await self.party.accept()

    async def say(self, spoken: Spoken, *, cut_by_key: bool) -> bool:
        """Says it to its end, or until a key."""
        frames = await self.party.while_there(self._prompter.prepare(spoken))
        return await self._play(frames, cut_by_key=cut_by_key)

    async def _play(self, frames: list[bytes], *, cut_by_key: bool) -> bool:
        leg = self.party.leg
        done: set[asyncio.Future[Any]] = set()
        while not done:  # from its beginning again, when a supervisor was wanted meanwhile and none is there
            await self._led()
            leg.enqueue(frames)
            played = asyncio.ensure_future(leg.played())
            key = asyncio.ensure_future(self.party.key_waits()) if cut_by_key else played
            done = await self._first({played, key})
        if played not in done:
            leg.be_quiet()
        return cut_by_key and key in done

    async def key(self, *, timeout_s: float) -> str | None:
        """The next key, those pressed ahead included; None when none came in time. Time with others is not counted."""
        left_s = timeout_s
        while True:
            await self._led()
            if (key := self.party.next_key()) is not None or left_s <= 0:
                return key
            try:
                async with asyncio.timeout(left_s) as limit:
                    await self._first({asyncio.ensure_future(self.party.key_waits())})
            except TimeoutError:
                return None
            left_s = (limit.when() or 0) - asyncio.get_running_loop().time()

    async def _first(self, works: set[asyncio.Future[Any]]) -> set[asyncio.Future[Any]]:
        """Which of them are over, one at least, unless a supervisor is wanted for the caller first; the others end."""
        waits = set(works)
        if self._attended is None:
            waits.add(asyncio.ensure_future(self.orders.supervisor_wanted.wait()))
        try:
            await self.party.while_there(asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED))
            return {one for one in works if one.done()}
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _led(self) -> None:
        """A caller whom a supervisor is wanted for is put to one, and the call ends with that; when none takes her, she
        goes on as if nobody had been wanted. Raises `CallEndedError`."""
        self._there()
        wanted, leg = self.orders.supervisor_wanted, self.party.leg
        if self._attended is not None or not wanted.is_set():
            return
        wanted.clear()
        was = leg.masked
        leg.be_quiet()
        leg.mask(False)
        try:
            reach = Reach(self._switch, self._conversation_id, self._caller)
            talked = await self._succession(reach, None).from_line(reach.supervisor())
        finally:
            leg.mask(was)
        if talked == "talked":
            self.party.dialog.hang_up()
            raise CallEndedError()
        log.warning("no_supervisor", conversation=str(self._conversation_id), why=talked)
        self._scribe.segment("ivr")

    def forget_keys(self) -> None:
        """Drops keys that were pressed ahead."""
        self.party.forget_keys()

    async def record(self, on: bool, *, sensitive: bool = False) -> None:
        """Recording begins or goes on; or is silent, on both sides."""
        await self._scribe.record(on, sensitive=sensitive)

    @contextlib.contextmanager
    def unheard(self) -> Iterator[None]:
        """While it lasts, nobody else hears the caller, and recordings hold silence."""
        leg = self.party.leg
        was = leg.masked
        leg.mask(True)
        try:
            yield
        finally:
            leg.mask(was)

    async def card(self, say: Say) -> CardKeyed | CardEnd:
        """A card is keyed in. From before the first word of it on, recordings hold silence and keys go to its room; an
        agent hears nothing, or, when she stays, a voice without its tones."""
        self._there()
        attended = self._attended
        if attended is not None:
            attended.is_card_taken = False
        stays = attended is not None and attended.mode == "attended"
        if self._cards is None:
            log.error("no_card_taken", why="capture.enabled is not set")
            return "system_problem"
        try:
            room = await self.party.while_there(self._cards.take(self._language, attended=stays))
        except TenderlineError as error:
            log.error("no_card_taken", why=error.detail)
            return "system_problem"
        if self._variables.get("distress") is True:
            await asyncio.shield(room.close())
            return "cancelled"
        leg, self._room = self.party.leg, room
        self._scribe.segment("secure_ivr")
        leg.be_quiet()
        leg.mask(True, peer_hears=stays)
        self.party.forget_keys()
        if attended is not None:
            attended.room = room
        try:
            seen = attended.seen if attended is not None else (lambda _: None)
            card = await self.party.while_there(card_entry.enter(leg, room, say, self._prompter.prepare, seen))
            if room.is_cancelled and isinstance(card, CardKeyed):
                card = "cancelled"  # the token that it was given is of no use to anybody
            if attended is not None:
                attended.is_card_taken = isinstance(card, CardKeyed)
            return card
        finally:
            self._room = None
            if attended is not None:
                attended.room = None
            leg.be_quiet()
            self.party.forget_keys()
            leg.mask(False)
            self._scribe.segment("ivr")
            await asyncio.shield(room.close())

    async def listen(self, *, duration_s: float) -> bytes:
        """What the caller says in that time, as 8 kHz mu-law; in memory only."""
        await self._led()
        heard = bytearray()
        leg = self.party.leg
        before = leg.tap
        assert 0 < duration_s <= LISTEN_S_MAX, "listening has a bound"

        def tap(caller: bytes, other: bytes, payload_type: int) -> None:
            if before is not None:
                before(caller, other, payload_type)
            heard.extend(codec.convert(caller, payload_type, PCMU))

        leg.tap = tap
        try:
            await self.party.while_there(asyncio.sleep(duration_s))
        finally:
            leg.tap = before
        return bytes(heard)

    async def play_back(self, ulaw: bytes) -> None:
        """Plays what was listened to."""
        await self._play(framed(ulaw), cut_by_key=False)

    async def queue(
        self,
        name: str,
        *,
        wait_max_s: float,
        comfort: Spoken | None,
        comfort_every_s: float,
        wish: Wish = NOTHING,
        keep_place: Spoken | None = None,
    ) -> QueueEnd:
        """Waits for an agent of that queue and lets the two talk until the agent hangs up."""
        clock = asyncio.get_running_loop().time
        said = [await self._prompter.prepare(one) if one is not None else [] for one in (comfort, keep_place)]
        agent: AgentOnCall | NoAgent | None = None
        while agent is None:  # in line again, when a supervisor was wanted meanwhile and none is there
            await self._led()
            self._scribe.segment("queue", name)
            entered_s = clock()
            line = InLine(self.party, *said, every_s=comfort_every_s)
            agent = await self._agent_for(name, wait_max_s, wish, line)
            waited_s = clock() - entered_s
            wait_max_s, wish = max(1.0, wait_max_s - waited_s), replace(wish, waited_s=wish.waited_s + waited_s)
        if isinstance(agent, str):
            self._scribe.segment("ivr")
            return agent
        try:
            return await self.talk(Other.agent(agent), name, wish)
        finally:
            self._scribe.segment("ivr")

    async def _agent_for(self, queue: str, wait_max_s: float, wish: Wish, line: InLine) -> AgentOnCall | NoAgent | None:
        """None when she left the line, because a supervisor is wanted for her. Whoever answers in the instant in which
        the caller is gone is let go."""
        found: AgentOnCall | NoAgent | None = None
        coming = asyncio.ensure_future(
            self._switch.agent_for(
                queue,
                wait_max_s=wait_max_s,
                caller=self._caller,
                conversation_id=self._conversation_id,
                wish=wish,
                place=line.place,
            )
        )
        try:
            try:
                done = await self._first({coming})
            finally:
                await line.close()
            found = coming.result() if done else None
            return found
        finally:
            late = None if found or coming.cancelled() or coming.exception() else coming.result()
            if isinstance(late, AgentOnCall):
                late.release()

    async def bridge(self, to: str, *, ring_s: float) -> Talk:
        """Calls a number or a SIP address and lets the two talk; ends when the other side hangs up."""
        await self._led()
        other = await self.party.while_there(self._switch.reach(to, ring_s=ring_s, caller=self._caller))
        if isinstance(other, str):
            return other
        try:
            await self.talk(Other(other, "external", to, other.close))
        finally:
            self._scribe.segment("ivr")
        return "talked"

    async def talk(self, other: Other, queue: str | None = None, wish: Wish = NOTHING) -> Talked:
        """Both hear each other until one of them hangs up, or the caller is handed on, and so forth; raises when the
        caller hung up. `other` is let go. Holding and a payment that the agent starts are parts of their own."""
        reach = Reach(self._switch, self._conversation_id, self._caller, wish)
        return await self._succession(reach, queue).to_the_end(other)

    def _succession(self, reach: Reach, queue: str | None) -> Succession:
        return Succession(self.party, self._scribe, self.orders, self._take_payment, self._wiring, reach, queue)

    def _distressed(self, detail: Detail) -> Detail:
        """At once: a payment under way ends, unless its card is taken, and none begins any more on this call."""
        self._variables["distress"] = True
        log.warning("distress", conversation=str(self._conversation_id), by=str(detail.get(ASKED_BY, "")))
        if self._attended is not None:
            self._attended.distressed()
        elif self._room is not None:
            self._room.cancel()
        return {"distress": True}

    async def _take_payment(self, order: Order, pair: Pair) -> None:
        def attend(attended: Attended | None) -> None:
            self._attended = attended

        flows = self._flows
        means = Means(
            run=(lambda name: flows.run(self, name)) if flows is not None else None,
            has_flow=lambda name: flows is not None and flows.knows(name),
            note=self._scribe.note,
            variables=self._variables,
            attend=attend,
        )
        await secure_payment.take(order, pair, means)

    async def transfer(self, to: str, *, ring_s: float) -> Transfer:
        """Hands the caller over: by REFER where the other side does it, else the two talk through us."""
        await self._led()
        status = await self.party.while_there(self.party.dialog.refer(self._switch.uri_of(to)))
        if 200 <= status < 300:
            self.party.dialog.hang_up()  # she is elsewhere: no supervisor is sought any more
            return "transferred"
        if status in (486, 600):
            return "busy"
        talked = await self.bridge(to, ring_s=ring_s)
        if talked == "talked":
            await self.hang_up()
            return "transferred"
        return talked

    async def to_provider(self, to: str, told: Mapping[str, str]) -> Transfer:
        """By REFER or not at all: what went through us would have to be kept as safe as a card here."""
        await self._led()
        self._scribe.segment("provider_ivr")
        uri = self._switch.uri_of(to) + "?" + urlencode(told, quote_via=quote)
        status = await self.party.while_there(self.party.dialog.refer(uri))
        if 200 <= status < 300:
            self.party.dialog.hang_up()  # she is elsewhere: no supervisor is sought any more
            return "transferred"
        log.error("not_handed_over", status=status, why="the trunk or the provider did not take the transfer")
        self._scribe.segment("ivr")
        return "busy" if status in (486, 600) else "failed"

    async def hang_up(self) -> None:
        """Ends the call from our side; not before a supervisor was sought who is wanted."""
        with contextlib.suppress(CallEndedError):
            await self._led()
        self.party.dialog.hang_up()

    def _there(self) -> None:
        if self.party.is_gone:
            raise CallEndedError()
