"""Writes down which telephones are registered at this node, so that every node knows where agents are reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

from tenderline.store import presence
from tenderline.store.db import Pool
from tenderline.store.presence import Registered
from tenderline.voice.registrar import Binding, Registrar

WRITE_TIMEOUT_S: Final = 5.0
AGAIN_S: Final = 30.0
"""What did not change is written again: an agent may have been given a telephone that was registered before, or her
browser is gone and her telephone is there."""


class Registrations:
    """Of one node."""

    def __init__(self, pool: Pool, registrar: Registrar, node_id: Callable[[], UUID]) -> None:
        self._pool, self._registrar, self._node_id = pool, registrar, node_id
        self._written: dict[str, tuple[str, int, float]] = {}
        self._written_as: UUID | None = None
        self._all_at_s = 0.0
        self._writing = asyncio.Lock()

    @property
    def names(self) -> list[str]:
        """The telephones that were written down."""
        return list(self._written)

    async def write(self) -> None:
        """What telephones are registered here is written down. Raises what the database raises."""
        async with self._writing:
            try:
                await self._write()
            except BaseException:
                self._written_as = None  # what of it is there is not known: all of it is written again
                raise

    async def _write(self) -> None:
        """What changed since it was written last, under the id that this node has now; all of it now and then."""
        node, now_s = self._node_id(), self._registrar.clock()
        if node != self._written_as or now_s - self._all_at_s >= AGAIN_S:
            known, all_at_s = {}, now_s
        else:
            known, all_at_s = self._written, self._all_at_s
        live = {name: one for name, one in self._registrar.bindings.items() if one.expires_at > now_s}
        marks = {name: _mark(one) for name, one in live.items()}
        fresh = [name for name, mark in sorted(marks.items()) if known.get(name) != mark]
        gone = sorted(self._written.keys() - live.keys())
        if fresh or gone:
            async with asyncio.timeout(WRITE_TIMEOUT_S), self._pool.acquire() as connection, connection.transaction():
                if fresh:
                    await presence.reached(connection, node, [_registered(live[name], now_s) for name in fresh])
                if gone:
                    await presence.unreached(connection, node, gone)
        self._written, self._written_as, self._all_at_s = marks, node, all_at_s


def _mark(binding: Binding) -> tuple[str, int, float]:
    return binding.source[0], binding.source[1], binding.expires_at


def _registered(binding: Binding, now_s: float) -> Registered:
    host, port = binding.source
    return Registered(binding.name, binding.expires_at - now_s, binding.user, host, port, binding.is_direct)
