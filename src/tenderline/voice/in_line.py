"""What a caller in line hears, and may press: comfort again and again, and the offer to keep the place."""

from __future__ import annotations

import asyncio
from typing import Final

from tenderline.voice.party import Party
from tenderline.voice.switch import Place

KEEP_KEY: Final = "1"
EVERY_S_MIN: Final = 1.0


class InLine:
    """From its making until `close`. With an `offer` to be said, `place` tells the switch when its key was pressed."""

    def __init__(self, party: Party, comfort: list[bytes], offer: list[bytes], *, every_s: float) -> None:
        self._party, self._comfort, self._offer, self._every_s = party, comfort, offer, max(EVERY_S_MIN, every_s)
        self.place = Place() if offer else None
        self._tasks = [asyncio.ensure_future(self._speak())]
        if self.place is not None:
            self._tasks.append(asyncio.ensure_future(self._hear(self.place)))

    async def close(self) -> None:
        """Silence."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._party.leg.be_quiet()

    async def _speak(self) -> None:
        leg, place = self._party.leg, self.place
        while self._comfort or place is not None:
            offers = place is not None and place.offered.is_set()
            leg.enqueue(self._comfort + (self._offer if offers else []))
            await leg.played()
            if place is None or offers:
                await asyncio.sleep(self._every_s)
                continue
            # From the moment on that it may be offered, the next words offer it.
            try:
                async with asyncio.timeout(self._every_s):
                    await place.offered.wait()
            except TimeoutError:
                continue

    async def _hear(self, place: Place) -> None:
        await place.offered.wait()
        self._party.forget_keys()
        while True:
            await self._party.key_waits()
            if self._party.next_key() == KEEP_KEY:
                place.wanted.set()
