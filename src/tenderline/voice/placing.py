"""Places one call and follows it: until somebody answers, or until it is known why nobody will.

What comes of it decides whether the person was contacted, so the kinds are told apart with care: `not_sent` is said
only where no telephone can have rung, and where nothing at all was heard it is `unknown`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import structlog

from tenderline.voice import sdp
from tenderline.voice.call_progress import CallProgress
from tenderline.voice.call_progress import Progress as ToneHeard
from tenderline.voice.dialog import Answered, Dialog, Ended, Progress
from tenderline.voice.engine import MediaEngine
from tenderline.voice.leg import NoFreePortError
from tenderline.voice.party import Party
from tenderline.voice.sdp import UnusableDescriptionError
from tenderline.voice.sip import Endpoint

log: structlog.stdlib.BoundLogger = structlog.get_logger()

EVENTS_TYPE: Final = 101
SETUP_S_MAX: Final = 20.0
"""From the INVITE to the first sign that it rings; the ringing itself has a time of its own."""

Why = Literal["busy", "refused", "no_answer", "no_such_number", "not_in_service", "failed", "not_sent", "unknown"]

_BY_STATUS: Final[dict[int, Why]] = {
    **dict.fromkeys((486, 600), "busy"),
    **dict.fromkeys((603, 607, 608), "refused"),
    **dict.fromkeys((408, 480, 487), "no_answer"),
    **dict.fromkeys((404, 410, 484, 485, 604), "no_such_number"),
}


@dataclass(frozen=True, slots=True)
class Target:
    """Who is called: the user part, where the INVITE goes, whom it shows, and what we are at that host."""

    to: str
    next_hop: tuple[str, int]
    caller: str
    user: str | None = None
    password: str | None = None


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Nobody is on the line. `status` is the SIP status, when there was one; `heard` the tone that told."""

    why: Why
    status: int | None = None
    heard: str | None = None

    @property
    def detail(self) -> str:
        """For a timeline."""
        words = {
            "busy": "the line was busy",
            "refused": "the call was refused",
            "no_answer": "nobody answered",
            "no_such_number": "there is no such number",
            "not_in_service": "the number is not in service",
            "failed": "the call failed",
            "not_sent": "the trunk did not take the call",
            "unknown": "the trunk did not say what became of the call",
        }[self.why]
        told = self.heard or (f"SIP {self.status}" if self.status else "")
        return f"{words} ({told})" if told else words

    @property
    def number_is_dead(self) -> bool:
        """Whether calling it again is of no use: an operator's tones said so, or SIP did beyond doubt."""
        return self.why == "not_in_service" or self.status in (410, 604)


@dataclass(frozen=True, slots=True)
class Signs:
    """What is told while it rings: that it does, and that there is audio before the answer."""

    ringing: Callable[[], None] | None = None
    early_audio: Callable[[Party], None] | None = None


async def place(
    endpoint: Endpoint,
    engine: MediaEngine,
    target: Target,
    *,
    ring_s: float,
    keys_offered: bool,
    signs: Signs = Signs(),  # frozen, with nothing in it
) -> Party | Unplaced:
    """The party on the line, or why there is none; nothing of the call is left then."""
    try:
        leg = engine.leg()
    except NoFreePortError:
        return Unplaced("not_sent")
    party: Party | None = None
    kept = False
    try:
        events_type = EVENTS_TYPE if keys_offered else None
        offer = sdp.offer(engine.advertised, leg.port, session=leg.port, events_type=events_type)
        dialog = endpoint.dial(
            to=target.to,
            next_hop=target.next_hop,
            caller=target.caller,
            offer=offer,
            user=target.user,
            password=target.password,
        )
        dialog.source = target.next_hop
        party = Party(engine, dialog, leg)
        outcome = await _Ringing(party, dialog, signs).until_answered(ring_s)
        kept = not isinstance(outcome, Unplaced)
        return outcome
    finally:
        if not kept:
            if party is not None:
                party.close()
            leg.close()


class _Ringing:
    def __init__(self, party: Party, dialog: Dialog, signs: Signs) -> None:
        self._party, self._dialog, self._signs = party, dialog, signs
        self._heard_anything = self._rang = self._has_audio = False
        self._tones = CallProgress()
        self._tone: ToneHeard | None = None

    async def until_answered(self, ring_s: float) -> Party | Unplaced:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(SETUP_S_MAX) as limit:
                while True:
                    said = await self._dialog.events.get()
                    if isinstance(said, Answered):
                        return self._answered(said)
                    if isinstance(said, Ended):
                        return self._ended(said)
                    if self._progressed(said):
                        limit.reschedule(loop.time() + ring_s)
        except TimeoutError:
            return Unplaced("no_answer" if self._heard_anything else "unknown")
        except UnusableDescriptionError:
            return Unplaced("failed", 488)

    def _progressed(self, said: Progress) -> bool:
        """Takes note; whether it is the first sign of ringing."""
        self._heard_anything = True
        if said.description is not None and not self._has_audio:
            self._party.early(said.description)
            self._has_audio = True
            self._party.leg.tap = self._listen
            if self._signs.early_audio is not None:
                self._signs.early_audio(self._party)
        if said.status < 180 or self._rang:
            return False
        self._rang = True
        if self._signs.ringing is not None:
            self._signs.ringing()
        return True

    def _listen(self, theirs: bytes, ours: bytes, payload_type: int) -> None:
        """On the media loop: an announcement's tones tell more than the status that follows, if one does."""
        del ours
        tone = self._tones.feed(theirs, payload_type)
        if tone is not None and tone is not ToneHeard.RINGBACK and self._tone is None:
            self._tone = tone
            self._dialog.hang_up()

    def _answered(self, said: Answered) -> Party:
        self._party.leg.tap = None
        if said.description is not None or not self._has_audio:
            self._party.answered(said.description or "")
        return self._party

    def _ended(self, ended: Ended) -> Unplaced:
        if self._tone is not None:
            return of_tone(self._tone)
        status = ended.status
        if status == 408 and not self._heard_anything:
            return Unplaced("unknown", status)
        why = _BY_STATUS.get(status)
        if why is None:
            why = "failed" if self._rang else "not_sent"
        return Unplaced(why, status)


def of_tone(tone: ToneHeard) -> Unplaced:
    """What the network's tones mean for the call; those that are no end of a number leave it be."""
    return Unplaced(_WHY_OF_TONE.get(tone, "failed"), heard=tone.value)


_WHY_OF_TONE: Final[dict[ToneHeard, Why]] = {
    ToneHeard.BUSY: "busy",
    ToneHeard.SIT_VACANT: "not_in_service",
    ToneHeard.SIT_INTERCEPT: "not_in_service",
}
