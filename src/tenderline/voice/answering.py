"""Finds out who took a call of ours: a person, or a machine, whose greeting is waited for when there is a message."""

from __future__ import annotations

import asyncio
from typing import Literal

from tenderline.voice.answer_watch import AnswerWatch
from tenderline.voice.leg import Leg

AnsweredBy = Literal["person", "machine", "silence"]

GREETING_S_MAX = 60.0
"""A machine that speaks for longer is told the message all the same."""


async def who_answered(leg: Leg, *, wait_for_beep: bool) -> AnsweredBy:
    """Listens until it is known; nothing is said meanwhile. With `wait_for_beep` it returns `machine` only when the
    machine's greeting is over. Call it while the party is there."""
    watch = AnswerWatch()
    known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    before = leg.tap

    def tap(theirs: bytes, ours: bytes, payload_type: int) -> None:
        if before is not None:
            before(theirs, ours, payload_type)
        decided = watch.feed(theirs, payload_type)
        if decided is None or (decided == "machine" and wait_for_beep and not watch.greeting_over):
            return
        if not known.done():
            known.set_result(None)

    leg.tap = tap
    try:
        async with asyncio.timeout(GREETING_S_MAX):
            await known
    except TimeoutError:
        pass
    finally:
        leg.tap = before
    return watch.decided or "person"
