"""A voice node on a test database, and what calls need: real SIP and RTP on the loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Protocol

import pytest

from support import services, telephones
from support.quick_voice import quick_voice
from tenderline.store import db, events, lines
from tenderline.voice.node import VoiceNode
from tenderline.voice.packet import FRAME_SAMPLES
from tenderline.voice.trial_phone import CallFailedError, TrialPhone, speech_like
from tenderline.worker import reactions

NUMBER = "+18005550123"

MENU = """
name = "menu"
title = "A menu for tests"
language = "en"
start = "ask"

[node.ask]
step = "menu"
text = "Press a key."
keys = ["1", "2", "3", "4", "5"]
tries_max = 1
timeout_s = 3
[node.ask.exits]
1 = "agents"
2 = "number"
3 = "hand_over"
4 = "opt_out"
5 = "wait"
no_input = "bye"
no_match = "bye"

[node.agents]
step = "queue"
queue = "general"
comfort = "Please hold."
wait_max_s = 20
exits = { talked = "after", timed_out = "bye", nobody = "nobody" }

[node.number]
step = "bridge"
to = "sip:anna"
ring_s = 20
exits = { talked = "after", busy = "bye", no_answer = "bye", failed = "bye" }

[node.hand_over]
step = "transfer"
to = "sip:anna"
ring_s = 20
exits = { busy = "bye", no_answer = "bye", failed = "bye" }

[node.opt_out]
step = "opt_out"
exits = { noted = "bye", unknown = "nobody" }

[node.wait]
step = "collect"
text = "Sixteen keys."
variable = "digits"
digits_min = 16
digits_max = 16
timeout_s = 20
tries_max = 1
exits = { collected = "bye", no_input = "bye", invalid = "bye" }

[node.after]
step = "hangup"
text = "That was it."

[node.nobody]
step = "hangup"
text = "Nobody is there."

[node.bye]
step = "hangup"
text = "Goodbye."
"""


@pytest.fixture(autouse=True)
def spoken_quickly(request: pytest.FixtureRequest) -> Iterator[None]:
    """Unless a test is marked `real_voice`; processes that a test starts speak as they do."""
    with nullcontext() if request.node.get_closest_marker("real_voice") else quick_voice():
        yield


@pytest.fixture
async def make_node(pool: db.Pool, tmp_path: Any) -> AsyncIterator[Callable[..., Any]]:
    """Makes nodes that are closed at the end of the test."""
    made: list[VoiceNode] = []
    events.subscribe(reactions.subscriptions())
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "menu", MENU, by="test")
        await put_line(connection, NUMBER, "menu")
        await put_line(connection, "check", "line_check", record=True)
        for name in ("anna", "bob"):
            await telephones.put(connection, name, "general")

    async def make(**flags: Any) -> VoiceNode:
        flags = {"voice__sip_port": "0", "voice__unlimited_networks": "127.0.0.0/8", **flags}
        node = VoiceNode(services.make(pool, data_dir=str(tmp_path), **flags))
        await node.start()
        made.append(node)
        return node

    yield make
    for node in made:
        if not node.is_closed:
            await node.close()


async def put_line(connection: Any, number: str, flow: str, **more: Any) -> None:
    values = {"campaign": "test", "language": "en", "currency": "USD", "fund": None, "record": False, **more}
    await lines.put_line(connection, number=number, flow=flow, by="test", **values)


@pytest.fixture
async def node(make_node: Callable[..., Any]) -> VoiceNode:
    """One node."""
    made: VoiceNode = await make_node()
    return made


@asynccontextmanager
async def nothing_left(node: VoiceNode) -> AsyncIterator[None]:
    """After the calls no leg, port, dialog or task is left of them."""
    yield
    async with asyncio.timeout(20):
        while node.calls or len(node.engine.ticker) or node.endpoint.dialogs:
            await asyncio.sleep(0.02)
    await node.timeline.written()


async def talk_to_each_other(one: TrialPhone, other: TrialPhone) -> None:
    """Each is heard by the other."""
    await is_heard(one, other)
    await is_heard(other, one)


def frames(sound: bytes) -> list[bytes]:
    """Its whole frames of 20 ms."""
    return [sound[at : at + FRAME_SAMPLES] for at in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES)]


async def becomes(pool: db.Pool, query: str, *args: Any, wanted: Any) -> None:
    """Waits until a query gives this."""
    async with asyncio.timeout(20):
        while await pool.fetchval(query, *args) != wanted:
            await asyncio.sleep(0.05)


class Listener(Protocol):
    """A telephone, or whatever else hears a call."""

    async def hear(self, frames: Sequence[bytes], *, within_s: float) -> None:
        """Raises `CallFailedError` when they do not come in time."""
        ...


async def is_heard(speaker: TrialPhone, listener: Listener) -> None:
    """What she says is heard; said again when the two were not yet joined, or a packet was lost."""
    for _ in range(8):
        words = speech_like(0.4)
        try:
            await asyncio.gather(speaker.speak(words), listener.hear(frames(words), within_s=3))
        except CallFailedError:
            continue
        return
    raise AssertionError("nothing was heard")
