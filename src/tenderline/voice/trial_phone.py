"""A telephone for trying flows: it dials, presses keys, speaks, listens and hangs up, by a script. On real SIP and RTP.

What it hears is compared with what a prompt sounds like, piece by piece: a telephone line that we are on both ends of
changes nothing, though it may lose a packet now and then, as lines do.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tenderline.core.errors import TenderlineError
from tenderline.voice import codec, packet, sdp
from tenderline.voice.dialog import Answered, Dialog, Ended, Progress
from tenderline.voice.engine import MediaEngine
from tenderline.voice.keys import KEYS
from tenderline.voice.packet import FRAME_SAMPLES, PCMU
from tenderline.voice.party import Party
from tenderline.voice.registration import Registration
from tenderline.voice.sip import Endpoint
from tenderline.voice.sip_limits import SourceLimits

PRESS_FRAMES = 5
END_PACKETS = 3
HEARD_S_MAX = 600
HEAR_LOOK_S = 0.05
SAMPLE_FRAMES = 16
PIECE_SAMPLES = FRAME_SAMPLES // 2
SAMPLE_SHARE_MIN = 0.6
"""Of a prompt its loudest 320 ms are listened for, and 200 ms of them are enough to know it: the rest may be lost."""


class CallFailedError(TenderlineError):
    """The call did not go as the script says; the message tells what was expected and what happened."""

    code = "test_call_failed"


class TrialPhone:
    """One telephone with one call. Use it in `async with`."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, payload_type: int = PCMU, on_call: int | None = 486
    ) -> None:
        """`on_call` is the status that calls to it get; None: it is rung, and `pick_up` takes the call."""
        self._on_call_status = on_call
        self._ringing: asyncio.Queue[Dialog] = asyncio.Queue(10)
        self._host, self._port, self._payload_type = host, port, payload_type
        self._engine = MediaEngine(host, range(40_000, 50_000), media_timeout_s=3600)
        self.heard = bytearray()
        self._read_from = 0
        self._party: Party | None = None
        self.statuses: list[int] = []

    async def __aenter__(self) -> Self:
        self._endpoint = Endpoint(self._host, self._port, limits=SourceLimits(1_000, 1_000, []), on_call=self._on_call)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._party is not None:
            self._party.close()
        await asyncio.sleep(0.05)  # a BYE wants to leave
        await self._endpoint.close()

    @property
    def port(self) -> int:
        """Of its SIP socket."""
        return self._endpoint.port

    def _on_call(self, dialog: Dialog) -> None:
        if self._on_call_status is not None:
            dialog.refuse(self._on_call_status, "Refused")
        else:
            dialog.ring()
            self._ringing.put_nowait(dialog)

    async def register(self, registrar: tuple[str, int], user: str, password: str) -> bool:
        """Registers; whether it was taken."""
        self._registration = Registration(self._endpoint, registrar, user, password)
        self._registration.start()
        async with asyncio.timeout(10):
            return await self._registration.settled()

    async def pick_up(self, *, within_s: float = 10.0) -> Party:
        """Takes the call that rings."""
        async with asyncio.timeout(within_s):
            dialog = await self._ringing.get()
        leg = self._engine.leg()
        self._party = Party(self._engine, dialog, leg)
        leg.tap = self._listen
        await self._party.accept()
        return self._party

    async def decline(self, *, within_s: float = 10.0) -> None:
        """Does not want the call that rings."""
        async with asyncio.timeout(within_s):
            (await self._ringing.get()).refuse(486, "Busy Here")

    async def announce(self, dialog: Dialog) -> Party:
        """Speaks before it answers, as an operator's announcement does (183)."""
        self._party = Party(self._engine, dialog, self._engine.leg())
        self._party.leg.tap = self._listen
        self._party.progress()
        return self._party

    async def dial(
        self,
        to: str,
        node: tuple[str, int],
        *,
        caller: str = "+12025550100",
        answer_within_s: float = 10.0,
        headers: dict[str, str] | None = None,
    ) -> int:
        """Calls; the final status: 200 when it was taken."""
        leg = self._engine.leg()
        types = (self._payload_type,)
        offer = sdp.offer(self._host, leg.port, session=secrets.randbits(31), types=types, events_type=101)
        dialog = self._endpoint.dial(to=to, next_hop=node, caller=caller, offer=offer, headers=headers)
        self._party = Party(self._engine, dialog, leg)
        leg.tap = self._listen
        try:
            async with asyncio.timeout(answer_within_s):
                while True:
                    match await dialog.events.get():
                        case Answered(description=description):
                            self._party.answered(description or "")
                            return 200
                        case Progress(status=status):
                            self.statuses.append(status)
                        case Ended(status=status):
                            return status
        except TimeoutError:
            raise CallFailedError(f"Nobody took the call to {to} within {answer_within_s:g} s.") from None

    def _listen(self, heard: bytes, told: bytes, payload_type: int) -> None:
        del told
        if len(self.heard) < HEARD_S_MAX * packet.CLOCK_HZ:
            self.heard += codec.convert(heard, payload_type, PCMU)

    @property
    def party(self) -> Party:
        """The call."""
        assert self._party is not None, "dial first"
        return self._party

    async def press(self, keys: str, *, gap_s: float = 0.04) -> None:
        """Presses keys as RFC 4733 events: five packets of 20 ms each, the end sent three times."""
        leg = self.party.leg
        for key in keys:
            code = KEYS.index(key)
            for number in range(PRESS_FRAMES):
                leg.send_event(code, duration=(number + 1) * FRAME_SAMPLES, first=number == 0, end=False)
                await asyncio.sleep(0.02)
            for _ in range(END_PACKETS):
                leg.send_event(code, duration=PRESS_FRAMES * FRAME_SAMPLES, first=False, end=True)
            await asyncio.sleep(gap_s)

    async def speak(self, ulaw: bytes) -> None:
        """Says a sound in 8 kHz mu-law."""
        leg = self.party.leg
        padded = ulaw + b"\xff" * (-len(ulaw) % FRAME_SAMPLES)
        leg.enqueue([padded[at : at + FRAME_SAMPLES] for at in range(0, len(padded), FRAME_SAMPLES)])
        await leg.played()

    async def hear(self, frames: Sequence[bytes], *, within_s: float) -> None:
        """Waits until it has heard this prompt, since the last one that it heard."""
        sample, begin = Sample(frames), self._read_from
        try:
            async with asyncio.timeout(within_s):
                while (end := sample.find(self.heard, begin)) is None:
                    if self.party.is_gone:
                        raise CallFailedError("The call was ended before the prompt was heard.")
                    begin = max(begin, len(self.heard) - PIECE_SAMPLES + 1)
                    await asyncio.sleep(HEAR_LOOK_S)
        except TimeoutError:
            raise CallFailedError(f"The prompt was not heard within {within_s:g} s.") from None
        self._read_from = end

    async def is_hung_up(self, *, within_s: float) -> None:
        """Waits until the other side has hung up."""
        try:
            async with asyncio.timeout(within_s):
                await self.party.gone()
        except TimeoutError:
            raise CallFailedError(f"The call was not ended within {within_s:g} s.") from None

    def hang_up(self) -> None:
        """Hangs up."""
        self.party.dialog.hang_up()


class Sample:
    """The loudest part of a prompt, which nobody takes for another one: listened for in pieces of 10 ms."""

    def __init__(self, frames: Sequence[bytes]) -> None:
        loudness = [_loudness(frame) for frame in frames]
        if not any(loudness):
            raise CallFailedError("The prompt is silent; it cannot be listened for.")
        size = min(SAMPLE_FRAMES, len(frames))
        begin = max(range(len(frames) - size + 1), key=lambda at: sum(loudness[at : at + size]))
        sound = b"".join(frames[begin : begin + size])
        self._missing = {
            piece: len(sound) - at  # to the end of the part
            for at in range(0, len(sound), PIECE_SAMPLES)
            if _loudness(piece := sound[at : at + PIECE_SAMPLES])
        }
        self._missing_max = int(len(self._missing) * (1 - SAMPLE_SHARE_MIN))
        self._end = 0

    def find(self, heard: bytes | bytearray, begin: int) -> int | None:
        """Looks through what was heard from `begin` on. Where the part ends, or will, once it is known; else None."""
        for piece, left in tuple(self._missing.items()):
            if (at := heard.find(piece, begin)) >= 0:
                del self._missing[piece]
                self._end = max(self._end, at + left)
        return self._end if len(self._missing) <= self._missing_max else None


def _loudness(ulaw: bytes) -> int:
    return sum(0x7F - (one & 0x7F) for one in ulaw)


def speech_like(duration_s: float) -> bytes:
    """Something to say: noise that is no key."""
    return bytes(one | 0x80 if one & 1 else one & 0x7F for one in os.urandom(int(duration_s * packet.CLOCK_HZ)))
