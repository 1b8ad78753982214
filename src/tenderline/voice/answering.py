"""Finds out who took a call of ours: a person, or a machine, whose greeting is waited for when there is a message.

A machine that was taken for a person gives itself away by its beep; `Listener.beeped` tells as long as it listens.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Literal

from tenderline.voice import line_sound
from tenderline.voice.answer_watch import AnswerWatch
from tenderline.voice.call_progress import CallProgress, Progress
from tenderline.voice.leg import Leg

AnsweredBy = Literal["person", "machine", "silence", "network"]

GREETING_S_MAX: Final = 60.0
"""A machine that speaks for longer is told the message all the same."""
BEEP_S_MAX: Final = 20.0
"""After this a steady tone is no machine's beep any more."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Who took the call, and why it is thought so. `network`: tones of the network, and nobody behind them."""

    by: AnsweredBy
    reason: str
    tone: Progress | None = None


class Listener:
    """Listens to one leg, besides whoever listens already, until `stop`."""

    def __init__(self, leg: Leg) -> None:
        self._leg, self._before = leg, leg.tap
        self._watch, self._progress = AnswerWatch(), CallProgress()
        self._changed = asyncio.Event()
        self._known: tuple[object, ...] = ()
        leg.tap = self._tap

    def _tap(self, theirs: bytes, ours: bytes, payload_type: int) -> None:
        if self._before is not None:
            self._before(theirs, ours, payload_type)
        samples = line_sound.samples_of(theirs, payload_type)
        sound = line_sound.sound_of(samples)
        self._watch.feed_sound(sound)
        self._progress.feed_sound(sound, samples)
        watch = self._watch
        known = (watch.verdict, watch.greeting_over, watch.beeped, self._progress.heard)
        if known != self._known:
            self._known = known
            self._changed.set()

    async def answer(self, *, wait_for_beep: bool) -> Answer:
        """Who took the call, as soon as it is known; say nothing meanwhile. With `wait_for_beep` a machine is
        told when its greeting is over."""
        try:
            async with asyncio.timeout(GREETING_S_MAX):
                while (found := self._found(wait_for_beep)) is None:
                    await self._news()
                return found
        except TimeoutError:
            return Answer(self._watch.verdict or "person", self._watch.reason)

    def _found(self, wait_for_beep: bool) -> Answer | None:
        tone, watch = self._progress.heard, self._watch
        if tone is not None and tone.is_sit:
            return Answer("network", "the network said that nobody is there", tone)
        greets_still = watch.verdict == "machine" and wait_for_beep and watch.greeting_over is None
        return None if watch.verdict is None or greets_still else Answer(watch.verdict, watch.reason)

    async def beeped(self) -> None:
        """Returns when a beep is heard; never, when none is heard within 20 s."""
        try:
            async with asyncio.timeout(BEEP_S_MAX):
                while not self._watch.beeped:
                    await self._news()
        except TimeoutError:
            await asyncio.Event().wait()

    async def _news(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def stop(self) -> None:
        """Listens no more."""
        self._leg.tap = self._before
