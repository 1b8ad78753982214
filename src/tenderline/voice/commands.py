"""Commands to live calls, as a node takes them: rows addressed to it, handed to the call they are for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import structlog

from tenderline.core.errors import TenderlineError
from tenderline.core.loops import goes_on
from tenderline.store import db, live_commands, secure_sessions
from tenderline.store.db import Connection, Pool
from tenderline.store.live_commands import Command
from tenderline.voice.orders import NotNowError, Orders

log: structlog.stdlib.BoundLogger = structlog.get_logger()

TICK_S: Final = 1.0
RETRY_S: Final = 1.0
AT_ONCE_MAX: Final = 100


class Commands:
    """Of one node. A hint makes it look at once; a tick finds what a lost hint missed."""

    def __init__(self, pool: Pool, node_id: Callable[[], UUID], orders_of: Callable[[UUID], Orders | None]) -> None:
        self._pool, self._node_id, self._orders_of = pool, node_id, orders_of
        self._hint = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Takes commands from here on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Takes none any more; who waits for an answer gets none."""
        tasks = [*self._running, *([self._task] if self._task is not None else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while goes_on():
            try:
                async with self._pool.acquire() as connection:
                    await self._listen(connection)
            except db.AWAY as error:
                log.warning("commands_wait", why=type(error).__name__)
            except Exception:  # whatever it is, calls that last are asked for something again
                log.exception("commands_failed")
            await asyncio.sleep(RETRY_S)

    async def _listen(self, connection: Connection) -> None:
        def on_hint(_connection: object, _pid: object, _channel: object, node: object) -> None:
            if node == str(self._node_id()):
                self._hint.set()

        await connection.add_listener(live_commands.CHANNEL, on_hint)
        try:
            while not connection.is_closed():
                for command in await live_commands.take(connection, self._node_id()):
                    await self._carry_out(connection, command)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(TICK_S):
                        await self._hint.wait()
                self._hint.clear()
        finally:
            if not connection.is_closed():
                await connection.remove_listener(live_commands.CHANNEL, on_hint)

    async def _carry_out(self, connection: Connection, command: Command) -> None:
        if len(self._running) >= AT_ONCE_MAX:
            log.error("too_many_commands", command=str(command.id))
            await _refuse(connection, command, NotNowError.code, "The node has too much to do now; ask again.")
            return
        task = asyncio.get_running_loop().create_task(self._answer(command))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, command: Command) -> None:
        refused: tuple[str, str] | None = None
        answer: live_commands.Detail = {}
        try:
            orders = self._orders_of(command.conversation_id)
            if orders is None:
                raise live_commands.NotLiveError()
            answer = await orders.give(command.kind, command.detail, by=command.asked_by)
        except TenderlineError as error:
            refused = error.code, error.detail
        except Exception as error:  # whatever it is, whoever asked is told
            log.exception("command_failed", command=str(command.id), kind=command.kind)
            refused = "call.failed", f"It could not be done: {type(error).__name__}; the log says why."
        try:
            async with self._pool.acquire() as connection:
                if refused is None:
                    await live_commands.answer(connection, command.id, answer)
                else:
                    await _refuse(connection, command, *refused)
        except db.AWAY as error:
            log.warning("command_not_answered", command=str(command.id), why=type(error).__name__)


async def _refuse(connection: Connection, command: Command, code: str, why: str) -> None:
    """Whoever asked may not be there to hear it: a payment that was not begun is over with this."""
    async with connection.transaction():
        await live_commands.refuse(connection, command.id, code, why)
        if command.kind == "secure_payment":
            session_id = UUID(str(command.detail["session_id"]))
            await secure_sessions.end(connection, session_id, datetime.now(UTC), "system_problem")
