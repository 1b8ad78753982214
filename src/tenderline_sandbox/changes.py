"""Tells open pages that something happened, so they look again instead of asking all the time."""

from __future__ import annotations

import asyncio


class Changes:
    """A counter that can be waited on."""

    def __init__(self) -> None:
        self.version = 0
        self._changed = asyncio.Event()

    def bump(self) -> None:
        """Something changed: wakes everybody who waits."""
        self.version += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def newer_than(self, version: int, timeout_s: float) -> int:
        """The version as soon as it is newer than `version`, or unchanged after `timeout_s`."""
        if self.version == version:
            changed = self._changed
            try:
                async with asyncio.timeout(timeout_s):
                    await changed.wait()
            except TimeoutError:
                pass
        return self.version
