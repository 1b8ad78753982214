"""Hints by NOTIFY, for as long as somebody wants them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from tenderline.core.loops import goes_on
from tenderline.store import db
from tenderline.store.db import Connection, Pool

RETRY_S: Final = 0.5


async def listen(pool: Pool, channel: str, on_hint: Callable[[str], None]) -> None:
    """Tells each hint's text, until it is cancelled; a connection that is lost is replaced."""
    while goes_on():
        with contextlib.suppress(*db.AWAY):
            async with pool.acquire() as connection:
                await _listen_on(connection, channel, on_hint)
        await asyncio.sleep(RETRY_S)


async def _listen_on(connection: Connection, channel: str, on_hint: Callable[[str], None]) -> None:
    lost = asyncio.Event()

    def on_notify(_: object, __: int, ___: str, payload: object) -> None:
        on_hint(str(payload))

    def on_end(*_: object) -> None:
        lost.set()

    connection.add_termination_listener(on_end)
    await connection.add_listener(channel, on_notify)
    try:
        await lost.wait()
    finally:
        if not connection.is_closed():
            connection.remove_termination_listener(on_end)
            await connection.remove_listener(channel, on_notify)
