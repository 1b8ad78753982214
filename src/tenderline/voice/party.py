"""One party of a call: its dialog and its media, joined; what callers, agents and those who are called share."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from tenderline.flows.call import CallEndedError
from tenderline.voice import keys, presence, sdp
from tenderline.voice.dialog import Answered, Dialog, Ended
from tenderline.voice.engine import MediaEngine
from tenderline.voice.leg import Leg

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LATE_ANSWER_WAIT_S = 10.0

T = TypeVar("T")


class Party:
    """A dialog with a leg. `close` ends both, whatever happened before."""

    def __init__(self, engine: MediaEngine, dialog: Dialog, leg: Leg) -> None:
        self.dialog, self.leg = dialog, leg
        self._engine = engine
        self._session = secrets.randbits(31)
        self._version = 1
        self._media: sdp.Media | None = None
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pressed: deque[str] = deque()
        self._key_pressed = asyncio.Event()
        self.on_hold: Callable[[bool], None] | None = None
        dialog.on_ended = self._on_ended
        dialog.on_reoffer = self._on_reoffer
        dialog.on_info = self._on_info
        leg.on_key = self._on_key
        leg.on_lost = self._on_lost

    @property
    def is_gone(self) -> bool:
        """Whether the party has hung up, or we did."""
        return self._gone.done()

    async def accept(self) -> None:
        """Takes an inbound call. Raises `UnusableDescriptionError`, after refusing it with 488."""
        if self.dialog.offer is None:
            await self._accept_late()
            return
        try:
            media = sdp.read(self.dialog.offer)
        except sdp.UnusableDescriptionError:
            self.dialog.refuse(488, "Not Acceptable Here")
            raise
        self._start(media)
        self.dialog.answer(self._answer(media, keys_offered=True))

    async def _accept_late(self) -> None:
        """The INVITE had no offer: ours goes with the 200, the answer comes with the ACK."""
        self.dialog.answer(self.offer(keys_offered=True))
        async with asyncio.timeout(LATE_ANSWER_WAIT_S):
            while not isinstance(said := await self.dialog.events.get(), Answered):
                if isinstance(said, Ended):
                    raise CallEndedError()
        self._start(sdp.read(said.description or ""))

    def progress(self) -> None:
        """Audio towards an inbound call before it is taken. Raises `UnusableDescriptionError`."""
        media = sdp.read(self.dialog.offer or "")
        self._start(media)
        self.dialog.ring(self._answer(media, keys_offered=True))

    def offer(self, *, keys_offered: bool, direction: sdp.Direction = "sendrecv") -> str:
        """Our description as an offer. Towards agents no keys are offered: what is not agreed on cannot leak."""
        return sdp.offer(
            self._engine.advertised,
            self.leg.port,
            session=self._session,
            version=self._version,
            events_type=101 if keys_offered else None,
            direction=direction,
        )

    def early(self, description: str) -> None:
        """Audio before the answer: ringing, an announcement, tones. Raises `UnusableDescriptionError`."""
        self._start(sdp.read(description))

    def answered(self, description: str) -> None:
        """The party took our call; its media flows from here. Raises `UnusableDescriptionError`."""
        self._start(sdp.read(description))

    def _start(self, media: sdp.Media) -> None:
        self._media = media
        source = self.dialog.source
        self.leg.start(media, signalled_from=source[0] if source else None)

    def _answer(self, media: sdp.Media, *, keys_offered: bool) -> str:
        return sdp.answer(
            media,
            self._engine.advertised,
            self.leg.port,
            session=self._session,
            version=self._version,
            keys=keys_offered,
        )

    def _on_reoffer(self, description: str) -> str:
        media = sdp.read(description)
        self._version += 1
        was_held = self._media is not None and self._media.on_hold
        self._start(media)
        if media.on_hold != was_held and self.on_hold is not None:
            self.on_hold(media.on_hold)
        return self._answer(media, keys_offered=True)

    def _on_ended(self, ended: Ended) -> None:
        del ended
        if not self._gone.done():
            self._gone.set_result(None)
        self.leg.be_quiet()

    def _on_lost(self) -> None:
        log.info("media_lost", port=self.leg.port)
        self.dialog.hang_up()

    def _on_info(self, content_type: str, body: str) -> None:
        key = keys.of_info(content_type, body)
        if key is not None:
            self.leg.press(key)

    def _on_key(self, key: str) -> None:
        if len(self._pressed) < keys.AHEAD_MAX:
            self._pressed.append(key)
            self._key_pressed.set()

    async def while_there(self, work: Awaitable[T]) -> T:
        """The result of `work`; raises `CallEndedError` as soon as the party is gone."""
        return await presence.while_there(self._gone, work)

    async def gone(self) -> None:
        """Returns when the party has hung up."""
        await asyncio.wait((self._gone,))

    def next_key(self) -> str | None:
        """A key that was pressed and not taken yet."""
        key = self._pressed.popleft() if self._pressed else None
        if not self._pressed:
            self._key_pressed.clear()
        return key

    def forget_keys(self) -> None:
        """Drops keys pressed ahead."""
        self._pressed.clear()
        self._key_pressed.clear()

    async def key_waits(self) -> None:
        """Returns when there is a key to take."""
        await self._key_pressed.wait()

    def close(self) -> None:
        """Hangs up and frees the media; twice is no error."""
        self.dialog.hang_up()
        self.leg.close()
