"""Whoever may hang up at any moment: work that is done only while the party is there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import TypeVar

from tenderline.flows.call import CallEndedError

T = TypeVar("T")


async def while_there(gone: asyncio.Future[None], work: Awaitable[T]) -> T:
    """The result of `work`; raises `CallEndedError` as soon as `gone` is done."""
    task = asyncio.ensure_future(work)
    try:
        if not gone.done():
            await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise CallEndedError()
    finally:
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
