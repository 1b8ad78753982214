"""When a call is over nothing of it stays in memory: no media, no key of a recording, and no work for the collector."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from call.conftest import nothing_left
from support.raw_sip import RawSip
from tenderline.voice.leg import Leg
from tenderline.voice.recorder import Recorder


@pytest.fixture
def made(monkeypatch):
    """Weak references to every leg and recorder that is made, while the collector rests."""
    found = []
    for kind in (Leg, Recorder):

        def noted(self, *args, before=kind.__init__, **more):
            found.append(weakref.ref(self))
            before(self, *args, **more)

        monkeypatch.setattr(kind, "__init__", noted)
    gc.disable()
    yield found
    gc.enable()


async def until_free(made, count):
    assert len(made) == count
    async with asyncio.timeout(10):
        while [one for one in made if one() is not None]:
            await asyncio.sleep(0.02)


async def test_a_call_that_the_caller_ended_is_free_as_soon_as_its_books_are_closed(node, made):
    async with nothing_left(node):
        with RawSip(("127.0.0.1", node.endpoint.port)) as raw:
            answer = await raw.invite(number="check")
            raw.audio(raw.media_of(answer), count=3)
            await asyncio.sleep(0.2)
            assert await raw.bye() == 200
    await until_free(made, 2)


async def test_a_call_that_its_flow_ended_is_free_as_soon_as_its_books_are_closed(node, made):
    async with nothing_left(node):
        with RawSip(("127.0.0.1", node.endpoint.port)) as raw:
            answer = await raw.invite()
            raw.press(raw.media_of(answer), "9", timestamp=8_000)
            assert await raw.until_bye(within_s=20)
    await until_free(made, 1)
