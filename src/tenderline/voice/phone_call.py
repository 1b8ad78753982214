"""A telephone call as the steps of a flow see it: `flows.call.Call`, on SIP and RTP."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol
from uuid import UUID

import structlog

from tenderline.cardholder.brands import TABLE
from tenderline.cardholder.messages import Ended
from tenderline.cardholder.messages import Say as Say_
from tenderline.cardholder.room import Frames, Room
from tenderline.core.errors import TenderlineError
from tenderline.flows.call import CallEndedError, CardEnd, CardKeyed, QueueEnd, Say, Talk, Transfer, Value
from tenderline.flows.spoken import Spoken
from tenderline.store.conversations import SegmentKind
from tenderline.voice import codec, keys
from tenderline.voice.leg import Leg
from tenderline.voice.packet import FRAME_SAMPLES, PCMU
from tenderline.voice.party import Party
from tenderline.voice.switch import Switch, Talker

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LISTEN_S_MAX = 10.0


class Prompter(Protocol):
    """Turns what is to be said into frames of 160 bytes in mu-law."""

    async def prepare(self, spoken: Spoken) -> list[bytes]:
        """The frames; may take as long as a synthesis."""
        ...


class Scribe(Protocol):
    """Writes the call's timeline and its recording."""

    async def record(self, on: bool, *, sensitive: bool = False) -> None:
        """Records from here, or is silent from here."""
        ...

    def segment(self, kind: SegmentKind, detail: str = "") -> None:
        """Another part of the call begins: `ivr`, `queue`, `agent`, `hold`."""
        ...


class Cards(Protocol):
    """Where cards are keyed in."""

    async def take(self, language: str) -> Room:
        """A room for one card. Raises a `TenderlineError` that says why there is none."""
        ...


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
    ) -> None:
        self.party = party
        self._conversation_id, self._caller, self._called = conversation_id, caller, called
        self._language = language
        self._prompter, self._scribe, self._switch = prompter, scribe, switch
        self._variables: dict[str, Value] = {}
        self._taken = taken
        self._cards = cards

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
        self._there()
        leg = self.party.leg
        leg.enqueue(frames)
        if not cut_by_key:
            await self.party.while_there(leg.played())
            return False
        played, key = asyncio.ensure_future(leg.played()), asyncio.ensure_future(self.party.key_waits())
        try:
            await self.party.while_there(asyncio.wait((played, key), return_when=asyncio.FIRST_COMPLETED))
            if key.done() and not played.done():
                leg.be_quiet()
                return True
            return key.done()
        finally:
            for one in (played, key):
                one.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await one

    async def key(self, *, timeout_s: float) -> str | None:
        """The next key, those pressed ahead included; None when none came in time."""
        self._there()
        key = self.party.next_key()
        if key is not None:
            return key
        try:
            async with asyncio.timeout(timeout_s):
                await self.party.while_there(self.party.key_waits())
        except TimeoutError:
            return None
        return self.party.next_key()

    def forget_keys(self) -> None:
        """Drops keys that were pressed ahead."""
        self.party.forget_keys()

    async def record(self, on: bool, *, sensitive: bool = False) -> None:
        """Recording begins or goes on; or is silent, on both sides."""
        await self._scribe.record(on, sensitive=sensitive)

    async def card(self, say: Say) -> CardKeyed | CardEnd:
        """A card is keyed in. From before the first word of it on, recordings hold silence and keys go to its room."""
        self._there()
        if self._cards is None:
            log.error("no_card_taken", why="capture.enabled is not set")
            return "system_problem"
        try:
            room = await self.party.while_there(self._cards.take(self._language))
        except TenderlineError as error:
            log.error("no_card_taken", why=error.detail)
            return "system_problem"
        leg = self.party.leg
        self._scribe.segment("secure_ivr")
        leg.be_quiet()
        leg.mask(True)
        self.party.forget_keys()
        usual, leg.on_key = leg.on_key, lambda key: _to_room(leg, room, key)
        try:
            return await self.party.while_there(self._keyed(room, say))
        finally:
            leg.on_key = usual
            leg.be_quiet()
            self.party.forget_keys()
            leg.mask(False)
            self._scribe.segment("ivr")
            await asyncio.shield(room.close())

    async def _keyed(self, room: Room, say: Say) -> CardKeyed | CardEnd:
        """Speaks what the room wants said, and tells it when it has been heard."""
        leg, played = self.party.leg, asyncio.ensure_future(asyncio.sleep(0))
        coming = asyncio.ensure_future(room.next())
        speaking = False
        try:
            while True:
                await asyncio.wait({coming, played} if speaking else {coming}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done():
                    speaking = False
                    room.prompt_ended()
                    continue
                event = coming.result()
                if isinstance(event, Ended):
                    return _card_of(event, room)
                frames: list[bytes] | None = None
                if isinstance(event, Say_):
                    frames = await self._prompter.prepare(say(event.prompt, _values(event)))
                elif isinstance(event, Frames):
                    frames = _framed(event.ulaw)
                if frames is not None:
                    leg.enqueue(frames)
                    played.cancel()
                    speaking, played = True, asyncio.ensure_future(leg.played())
                coming = asyncio.ensure_future(room.next())
                await asyncio.sleep(0)  # what is to be said next comes at once, if at all
        finally:
            for one in (coming, played):
                one.cancel()
            await asyncio.gather(coming, played, return_exceptions=True)

    async def listen(self, *, duration_s: float) -> bytes:
        """What the caller says in that time, as 8 kHz mu-law; in memory only."""
        self._there()
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
        await self._play(_framed(ulaw), cut_by_key=False)

    async def queue(self, name: str, *, wait_max_s: float, comfort: Spoken | None, comfort_every_s: float) -> QueueEnd:
        """Waits for an agent of that queue and lets the two talk until the agent hangs up."""
        self._there()
        self._scribe.segment("queue", name)
        frames = await self._prompter.prepare(comfort) if comfort is not None else []
        comforting = asyncio.ensure_future(self._comfort(frames, comfort_every_s))
        try:
            agent = await self.party.while_there(
                self._switch.agent_for(name, wait_max_s=wait_max_s, caller=self._caller)
            )
        finally:
            comforting.cancel()
            with contextlib.suppress(asyncio.CancelledError, CallEndedError):
                await comforting
            self.party.leg.be_quiet()
        if isinstance(agent, str):
            self._scribe.segment("ivr")
            return agent
        self._scribe.segment("agent", agent.name)
        try:
            await self._talk(agent.party, "agent", agent.name)
        finally:
            agent.release()
            self._scribe.segment("ivr")
        return "talked"

    async def _comfort(self, frames: list[bytes], every_s: float) -> None:
        while frames:
            self.party.leg.enqueue(frames)
            await self.party.leg.played()
            await asyncio.sleep(max(1.0, every_s))

    async def bridge(self, to: str, *, ring_s: float) -> Talk:
        """Calls a number or a SIP address and lets the two talk; ends when the other side hangs up."""
        self._there()
        other = await self.party.while_there(self._switch.reach(to, ring_s=ring_s, caller=self._caller))
        if isinstance(other, str):
            return other
        self._scribe.segment("external", to)
        try:
            await self._talk(other, "external", to)
        finally:
            other.close()
            self._scribe.segment("ivr")
        return "talked"

    async def _talk(self, other: Talker, kind: SegmentKind, detail: str) -> None:
        """Both hear each other until one of them hangs up; raises when that was the caller. Holding is a part of its
        own."""
        ours, theirs = self.party.leg, other.leg

        def held(on: bool) -> None:
            self._scribe.segment("hold" if on else kind, detail)

        self.party.on_hold = other.on_hold = held
        ours.be_quiet()
        ours.peer, theirs.peer = theirs, ours
        try:
            await self.party.while_there(other.gone())
        finally:
            ours.peer = theirs.peer = None
            self.party.on_hold = other.on_hold = None

    async def transfer(self, to: str, *, ring_s: float) -> Transfer:
        """Hands the caller over: by REFER where the other side does it, else the two talk through us."""
        self._there()
        status = await self.party.while_there(self.party.dialog.refer(self._switch.uri_of(to)))
        if 200 <= status < 300:
            await self.hang_up()
            return "transferred"
        if status in (486, 600):
            return "busy"
        talked = await self.bridge(to, ring_s=ring_s)
        if talked == "talked":
            await self.hang_up()
            return "transferred"
        return talked

    async def hang_up(self) -> None:
        """Ends the call from our side."""
        self.party.dialog.hang_up()

    def _there(self) -> None:
        if self.party.is_gone:
            raise CallEndedError()


def _framed(ulaw: bytes) -> list[bytes]:
    whole = len(ulaw) // FRAME_SAMPLES * FRAME_SAMPLES
    return [ulaw[at : at + FRAME_SAMPLES] for at in range(0, whole, FRAME_SAMPLES)]


def _to_room(leg: Leg, room: Room, key: str) -> None:
    """On the media loop: a key cuts the prompt short and goes to the room, and nowhere else."""
    leg.be_quiet()
    room.key(keys.KEYS.index(key))


def _values(say: Say_) -> dict[str, Value]:
    """What a prompt may speak of: never more than the last four and the expiry."""
    brand = next((one.name for one in TABLE if one.key == say.brand), say.brand)
    values: dict[str, Value] = {"brand": brand, "last_four": say.last_four, "digits": say.digits}
    if say.month is not None and say.year is not None:
        values["expiry"] = f"{say.month:02}{say.year % 100:02}"
    return values


def _card_of(ended: Ended, room: Room) -> CardKeyed | CardEnd:
    if ended.result != "captured":
        if room.why is not None:
            log.warning("card_not_captured", result=ended.result, why=room.why)
        return ended.result
    assert ended.token is not None, "a captured card has a token"
    return CardKeyed(ended.token, ended.brand or "", ended.last_four or "")
