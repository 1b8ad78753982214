"""A hundred callers key their cards at once: are all digits exact, and how soon does the gateway hear of them?

In turns with the same callers whose connections are made at the last key: what the early ones are worth, in one run.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import msgspec

from tenderline.cardholder.messages import Ended, Policy, Prompt, Say
from tenderline.cardholder.room import Begin, GatewayTarget, Room, RoomPool, RoomSettings
from tests.bench.ground import BenchmarkError, Ground, child, hear, tell
from tests.bench.ground import Say as Tell
from tests.bench.report import Result, all_of, middle, percentile
from tests.bench.sizes import Sizes
from tests.support.receiver import make_certificate

KEY_EVERY_S = 0.15
RHYTHM_S = 0.05
READY_WAIT_S = 10.0
CAPTURE_S_MAX = 120.0
TO_GATEWAY_MS_MAX = 50.0
TAKE_MS_MAX = 150.0
COLD_STARTS = 5
WARM = 4
HASH = 11
HOW = (
    "{rooms} capture children, each a process, take a card at the same time: every caller keys 16 digits, expiry and"
    " the code twice, a key every {every:g} ms, {rhythm:g} more or less, and answers both read-backs. In step means"
    " that all press every key in the same instant. The gateway is a TLS server in a process"
    " of its own that notes when the request's head had come. Connections are made while the last fields are keyed, or,"
    " to compare, at the last key by all {rooms} together. Keys are handed to the rooms directly: SIP and media have"
    " benchmarks of their own. A room is taken while up to {warm} children wait, or with none."
)
Came: TypeAlias = list[tuple[float, str, str]]


class Caller:
    """Keys one made-up card into one room."""

    def __init__(self, room: Room, *, in_step: bool) -> None:
        self._room = room
        self._rhythm_s = 0.0 if in_step else RHYTHM_S
        self.number = _a_number()
        self.code = f"{secrets.randbelow(1_000):03d}"
        self.last_key_at_s = 0.0

    async def keys(self) -> Ended:
        """Until the room has ended."""
        rows = {
            Prompt.ASK_NUMBER: [*map(int, self.number), HASH],
            Prompt.CONFIRM_NUMBER: [1],
            Prompt.ASK_EXPIRY: [1, 1, 3, 4],
            Prompt.CONFIRM_EXPIRY: [1],
            Prompt.ASK_CODE: [*map(int, self.code)],
            Prompt.ASK_CODE_AGAIN: [*map(int, self.code)],
        }
        while True:
            event = await self._room.next()
            if isinstance(event, Ended):
                return event
            if isinstance(event, Say):
                for key in rows.get(event.prompt, []):
                    rhythm_s = random.uniform(-self._rhythm_s, self._rhythm_s)  # a hand's, no secret
                    await asyncio.sleep(KEY_EVERY_S + rhythm_s)
                    self.last_key_at_s = time.monotonic()
                    self._room.key(key)


async def run(ground: Ground, sizes: Sizes, say: Tell) -> Result:
    """All at once, with connections made beforehand and without; then the starts."""
    del ground  # no database takes part
    async with _vault() as (vault, target):
        begin = Begin(policy=Policy(), gateway=target, language="en")
        say(f"captures: {sizes.captures} callers key at once")
        early = await _round(vault, begin, sizes.captures)
        say(f"captures: {sizes.captures} callers key in step")
        stepped = await _round(vault, begin, sizes.captures, in_step=True)
        say(f"captures: {sizes.captures} callers key at once, and connect at their last key")
        late_target = msgspec.structs.replace(target, kept_s=0.0)
        late = await _round(vault, msgspec.structs.replace(begin, gateway=late_target), sizes.captures)
        say("captures: rooms are taken with no child waiting")
        cold_ms = [await _cold(begin) for _ in range(COLD_STARTS if sizes.is_full else 1)]
    p99_ms, stepped_p99_ms, late_p99_ms = (percentile(one.to_gateway_ms, 0.99) for one in (early, stepped, late))
    came, ended = (
        sum(values)
        for values in zip(*((len(one.to_gateway_ms), one.captured) for one in (early, stepped)), strict=True)
    )
    return Result(
        name="captures",
        title="Cards keyed in at once",
        how=HOW.format(rooms=sizes.captures, every=1_000 * KEY_EVERY_S, rhythm=1_000 * RHYTHM_S, warm=WARM),
        figures=[
            all_of("cards that the gateway got exactly as they were keyed", came, 2 * sizes.captures),
            all_of("captures that ended with a token", ended, 2 * sizes.captures),
            middle("last key to the gateway's request, median", early.to_gateway_ms, unit="ms"),
            middle("last key to the gateway's request, p99", [p99_ms], unit="ms", at_most=TO_GATEWAY_MS_MAX),
            middle("the same, in step, median", stepped.to_gateway_ms, unit="ms"),
            middle("the same, in step, p99", [stepped_p99_ms], unit="ms"),
            middle("the same, connected at the last key, median", late.to_gateway_ms, unit="ms"),
            middle("the same, connected at the last key, p99", [late_p99_ms], unit="ms"),
            middle("connected beforehand to connected at the last key, p99", [p99_ms / late_p99_ms], "ratio"),
            middle("taking a room while children wait", early.took_ms, unit="ms", at_most=TAKE_MS_MAX),
            middle("taking a room that has to be started", cold_ms, unit="ms"),
        ],
    )


@dataclass(frozen=True)
class Round:
    """What came of callers who keyed at once."""

    to_gateway_ms: list[float]
    took_ms: list[float]
    captured: int


async def _round(vault: asyncio.subprocess.Process, begin: Begin, count: int, *, in_step: bool = False) -> Round:
    callers, took_ms, ended = await _all_at_once(begin, count, in_step=in_step)
    await tell(vault, b"")
    came: Came = [tuple(one) for one in json.loads(await hear(vault, CAPTURE_S_MAX))]
    at_s = {(number, code): came_at_s for came_at_s, number, code in came}
    to_gateway_ms = [
        1_000 * (at_s[one.number, one.code] - one.last_key_at_s) for one in callers if (one.number, one.code) in at_s
    ]
    if not to_gateway_ms:
        raise BenchmarkError("no card came to the gateway as it was keyed")
    return Round(to_gateway_ms, took_ms, sum(one.result == "captured" for one in ended))


async def _all_at_once(begin: Begin, count: int, *, in_step: bool) -> tuple[list[Caller], list[float], list[Ended]]:
    """The callers, how long each waited for a room, and how each capture ended."""
    took_ms: list[float] = []
    callers: list[Caller] = []
    pool = RoomPool(RoomSettings(strict=False, rooms_max=count), warm=WARM)
    try:
        await pool.warm_up()
        for _ in range(count):
            async with asyncio.timeout(READY_WAIT_S):
                while not pool._idle:
                    await asyncio.sleep(KEY_EVERY_S / 10)
            began_s = time.monotonic()
            callers.append(Caller(await pool.take(begin), in_step=in_step))
            took_ms.append(1_000 * (time.monotonic() - began_s))
        async with asyncio.timeout(CAPTURE_S_MAX):
            ended = await asyncio.gather(*(one.keys() for one in callers))
    finally:
        await pool.close()
    return callers, took_ms, ended


async def _cold(begin: Begin) -> float:
    pool = RoomPool(RoomSettings(strict=False), warm=0)
    try:
        began_s = time.monotonic()
        await pool.take(begin)
        return 1_000 * (time.monotonic() - began_s)
    finally:
        await pool.close()


@asynccontextmanager
async def _vault() -> AsyncIterator[tuple[asyncio.subprocess.Process, GatewayTarget]]:
    with tempfile.TemporaryDirectory() as folder:
        _, certificate = make_certificate(Path(folder), "localhost")
        arguments = (str(certificate), str(certificate.with_suffix(".key")))
        async with child("tests.bench.card_vault", *arguments) as process:
            port = int(await hear(process, READY_WAIT_S))
            url = f"https://localhost:{port}/"
            yield process, GatewayTarget(kind="generic", url=url, api_key="bench", ca_file=str(certificate))


def _a_number() -> str:
    """Sixteen digits with a right sum, of a brand that has sixteen only."""
    row = "51" + f"{secrets.randbelow(10**13):013d}"
    total = 0
    for place, digit in enumerate(reversed(row)):
        value = int(digit) * (1 if place % 2 else 2)
        total += value - 9 if value > 9 else value
    return row + str(-total % 10)
