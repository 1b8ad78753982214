"""Agents who are reached by browsers of one node: the database knows them while their pages are open, calls ring there.

Whoever turns her browser's telephone on takes calls: she becomes an agent if she is none, of the queues that are set
for such agents, and available if she was offline.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import structlog

from tenderline.core.errors import TenderlineError
from tenderline.core.loops import goes_on
from tenderline.store import agents, db, presence
from tenderline.store.db import Connection, Pool
from tenderline.voice.browser.phone import BrowserParty, BrowserPhone
from tenderline.voice.browser.phones import BrowserPhones

log: structlog.stdlib.BoundLogger = structlog.get_logger()

LASTING_S: Final = 20.0
SAY_EVERY_S: Final = 5.0
RETRY_S: Final = 1.0
BY: Final = "browser telephone"


class BrowserReach:
    """Of one node. `wake` is called when somebody came or went: there may be a match to make."""

    def __init__(
        self,
        pool: Pool,
        phones: BrowserPhones,
        node_id: Callable[[], UUID],
        of_queues: Sequence[str],
        wake: Callable[[], None],
    ) -> None:
        self._pool, self._phones, self._node_id, self._of_queues, self._wake = pool, phones, node_id, of_queues, wake
        self._names: dict[UUID, str] = {}
        self._taken: dict[UUID, BrowserPhone] = {}
        self._said_at_s = -SAY_EVERY_S
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tells from here on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Nobody is reached by a browser of this node any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(*db.AWAY):
            async with asyncio.timeout(SAY_EVERY_S), self._pool.acquire() as connection:
                await presence.browser_gone(connection, self._names, self._node_id())

    async def ring(self, agent_id: UUID, caller: str | None, ring_s: float) -> BrowserParty | None:
        """Rings her browser; None when she declines, does not answer, or is not here."""
        phone = self._phone(agent_id)
        if phone is None or phone.taken:
            return None
        phone.taken, self._taken[agent_id] = True, phone
        answered: BrowserParty | None = None
        try:
            answered = await phone.ring(ring_s=ring_s, caller=caller)
        finally:
            if answered is None:
                self.release(agent_id)
        return answered

    def release(self, agent_id: UUID) -> None:
        """Her call is over; twice is no error. It is the one that was rung, whoever is reached by which meanwhile."""
        phone = self._taken.pop(agent_id, None)
        if phone is not None:
            phone.release()
            phone.taken = False

    def _phone(self, agent_id: UUID) -> BrowserPhone | None:
        name = self._names.get(agent_id)
        return next((one for one in self._phones.phones if one.name == name), None)

    async def _run(self) -> None:
        while goes_on():
            try:
                async with self._pool.acquire() as connection:
                    await self.turn(connection)
            except db.AWAY as error:
                log.warning("browsers_are_not_known", why=type(error).__name__)
                await asyncio.sleep(RETRY_S)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SAY_EVERY_S):
                    await self._phones.changed.wait()
            self._phones.changed.clear()

    async def turn(self, connection: Connection) -> None:
        """Writes down who came and who went, at once, and now and then that the others are here still."""
        there = {one.name for one in self._phones.phones if one.is_there}
        known = set(self._names.values())
        came = {agent_id: name for name in there - known if (agent_id := await self._agent(connection, name))}
        gone = [agent_id for agent_id, name in self._names.items() if name not in there]
        now_s = time.monotonic()
        is_time = now_s - self._said_at_s >= SAY_EVERY_S
        told = (self._names.keys() - gone) | came.keys() if is_time else came.keys()
        if told:
            await presence.reached_by_browser(connection, told, self._node_id(), lasting_s=LASTING_S)
        if gone:
            await presence.browser_gone(connection, gone, self._node_id())
        self._names = {agent_id: name for agent_id, name in self._names.items() if name in there} | came
        if is_time:
            self._said_at_s = now_s
        if there != known:
            self._wake()

    async def _agent(self, connection: Connection, name: str) -> UUID | None:
        """The agent that a user is; she is made one when she was none."""
        try:
            async with connection.transaction():
                agent_id = await agents.for_browser(connection, name, of_queues=self._of_queues, by=BY)
                if agent_id is not None and (await agents.get(connection, agent_id)).state == "offline":
                    await presence.say(connection, agent_id, "available", reason=None, by=name)
                return agent_id
        except TenderlineError as error:
            log.warning("browser_is_no_agent", agent=name, why=error.detail)
            return None
