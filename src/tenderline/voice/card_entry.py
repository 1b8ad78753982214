"""A card being keyed in on a call: what the room wants said is spoken to the caller, her keys go to the room alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol

import structlog

from tenderline.cardholder.brands import TABLE
from tenderline.cardholder.messages import Ended, Progress
from tenderline.cardholder.messages import Say as Say_
from tenderline.cardholder.room import Frames, Room
from tenderline.flows.call import CardEnd, CardKeyed, Say, Value
from tenderline.flows.spoken import Spoken
from tenderline.voice import keys
from tenderline.voice.leg import Leg
from tenderline.voice.packet import FRAME_SAMPLES

log: structlog.stdlib.BoundLogger = structlog.get_logger()

Attendance = Literal["none", "leave", "attended"]
"""Whether an agent started it: nobody did; she waits outside; she stays and talks."""
Seen = Callable[[Say_ | Progress], None]


class Cards(Protocol):
    """Where cards are keyed in."""

    async def take(self, language: str, *, attended: bool) -> Room:
        """A room for one card. Raises a `TenderlineError` that says why there is none."""
        ...


class Attended:
    """A payment that an agent started: what she sees of it, and the room of the card while there is one."""

    def __init__(self, mode: Attendance, seen: Seen) -> None:
        self.mode, self.seen = mode, seen
        self.room: Room | None = None
        self.is_card_taken = self.is_stopped = False
        self.stop: Callable[[], object] = lambda: None

    def distressed(self) -> None:
        """It ends for the caller's sake, unless the card is taken already: then no other is asked for."""
        self.is_stopped = True
        if not self.is_card_taken:
            self.stop()


async def enter(
    leg: Leg, room: Room, say: Say, prepare: Callable[[Spoken], Awaitable[list[bytes]]], seen: Seen
) -> CardKeyed | CardEnd:
    """Speaks what the room wants said, and tells it when it has been heard. Keys of `leg` go to the room meanwhile."""
    usual, leg.on_key = leg.on_key, lambda key: _to_room(leg, room, key)
    played = asyncio.ensure_future(asyncio.sleep(0))
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
            if isinstance(event, Say_ | Progress):
                seen(event)
            frames: list[bytes] | None = None
            if isinstance(event, Say_):
                frames = await prepare(say(event.prompt, _values(event)))
            elif isinstance(event, Frames):
                frames = framed(event.ulaw)
            if frames is not None:
                leg.enqueue(frames)
                played.cancel()
                speaking, played = True, asyncio.ensure_future(leg.played())
            coming = asyncio.ensure_future(room.next())
            await asyncio.sleep(0)  # what is to be said next comes at once, if at all
    finally:
        leg.on_key = usual
        for one in (coming, played):
            one.cancel()
        await asyncio.gather(coming, played, return_exceptions=True)


def framed(ulaw: bytes) -> list[bytes]:
    """Sound in frames of 20 ms; less than a frame at its end is dropped."""
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
