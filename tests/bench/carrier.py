"""The simulated carrier in a process of its own, so that it takes its time from nobody's clock but the machine's.

`python -m tests.bench.carrier PRODUCT_URL`: says where it is on a line of JSON; each line it reads is answered with
what arrived so far; it ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
import time

import msgspec
import uvloop

from tenderline_sandbox.app import Sandbox, SandboxSettings

ACCOUNT = "AC" + "5" * 32
TOKEN = "token-of-the-benchmarks"
FROM = "+15005550006"
LOOK_S = 0.02


class Ready(msgspec.Struct, kw_only=True):
    """Where the carrier is."""

    url: str


class Seen(msgspec.Struct, kw_only=True):
    """What reached the carrier: (seconds since the epoch, messages so far), whenever there were more."""

    arrived: list[tuple[float, int]]
    messages: int
    recipients: int


async def _watch(sandbox: Sandbox, arrived: list[tuple[float, int]]) -> None:
    known = 0
    while True:
        count = len(sandbox.carrier.messages)
        if count != known:
            known = count
            arrived.append((time.time(), count))
        await asyncio.sleep(LOOK_S)


async def _serve(product_url: str) -> None:
    settings = SandboxSettings(product_url=product_url, account_sid=ACCOUNT, auth_token=TOKEN, carrier_numbers=(FROM,))
    async with Sandbox(settings) as sandbox:
        arrived: list[tuple[float, int]] = []
        watching = asyncio.create_task(_watch(sandbox, arrived))
        print(msgspec.json.encode(Ready(url=sandbox.url)).decode(), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            messages = list(sandbox.carrier.messages.values())
            seen = Seen(arrived=arrived, messages=len(messages), recipients=len({one.to for one in messages}))
            print(msgspec.json.encode(seen).decode(), flush=True)
        watching.cancel()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
