"""The clock of the media: every leg sends each 20 ms, and not all legs at once.

The 20 ms are cut into ten slots, and a leg goes into the emptiest; so 200 sends are spread over the frame instead of
leaving in one burst. A tick that comes late is followed by the ones it delayed: the count of frames stays right.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from tenderline.voice.packet import FRAME_MS

SLOTS = 10
SLOT_S = FRAME_MS / SLOTS / 1_000
BEHIND_S_MAX = 1.0
"""A process that stood still for longer goes on from now: a burst of seconds of sound helps nobody."""

Tick = Callable[[], None]


class Ticker:
    """Calls each registered function every 20 ms, and `after_slot` after those of one slot. Nothing may block."""

    def __init__(self, after_slot: Tick | None = None) -> None:
        self._after_slot = after_slot
        self._slots: tuple[dict[object, Tick], ...] = tuple({} for _ in range(SLOTS))
        self._where: dict[object, int] = {}
        self._handle: asyncio.TimerHandle | None = None
        self._next = 0.0
        self._slot = 0
        self.lateness_s_max = 0.0
        self.skipped_frames = 0

    def add(self, key: object, tick: Tick) -> None:
        """`tick` is called from now on; a key is added once."""
        assert key not in self._where, "a leg ticks once"
        emptiest = min(range(SLOTS), key=lambda index: len(self._slots[index]))
        self._slots[emptiest][key] = tick
        self._where[key] = emptiest
        if self._handle is None:
            self._start()

    def remove(self, key: object) -> None:
        """No call after this one; what is not there is no error, so that closing twice is none."""
        slot = self._where.pop(key, None)
        if slot is not None:
            del self._slots[slot][key]
        if not self._where and self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def __len__(self) -> int:
        return len(self._where)

    def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self._next = time.monotonic() + SLOT_S
        self._wake(loop)

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        late_s = now - self._next
        self.lateness_s_max = max(self.lateness_s_max, late_s)
        if late_s > BEHIND_S_MAX:
            self.skipped_frames += int(late_s / SLOT_S) // SLOTS
            self._next = now
        while self._next <= now:
            ticks = tuple(self._slots[self._slot].values())
            for tick in ticks:
                tick()
            if ticks and self._after_slot is not None:
                self._after_slot()
            self._slot = (self._slot + 1) % SLOTS
            self._next += SLOT_S
        if self._where:
            # Empty slots are passed over: an idle node with one call wakes 50 times a second, not 500.
            while not self._slots[self._slot]:
                self._slot = (self._slot + 1) % SLOTS
                self._next += SLOT_S
            self._wake(loop)
        else:
            self._handle = None

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        """At the next slot. Some loops count in milliseconds and wake too early: so whole ones are asked for."""
        wait_ms = max(1, math.ceil((self._next - time.monotonic()) * 1_000))
        self._handle = loop.call_later(wait_ms / 1_000, self._run)
