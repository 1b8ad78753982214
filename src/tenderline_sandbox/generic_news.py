"""Webhooks of the generic gateway: signed anew at each try, tried again until the product says 2xx."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from typing import Final

import aiohttp

from tenderline_sandbox.bank_wire import TIMEOUT_S, Json
from tenderline_sandbox.faults import FaultSwitches

TRIES_MAX: Final = 20
_UNDELIVERED_MAX: Final = 1_000
_PAUSE_S_FIRST: Final = 0.1
_PAUSE_S_MAX: Final = 5.0


def signature(body: bytes, secret: str, at_unix_s: int) -> str:
    """The `Generic-Signature` header."""
    mac = hmac.new(secret.encode(), b"%d.%b" % (at_unix_s, body), hashlib.sha256)
    return f"t={at_unix_s},v1={mac.hexdigest()}"


class News:
    """What is on its way to the product."""

    def __init__(self, secret: str, faults: FaultSwitches) -> None:
        self._secret = secret
        self._faults = faults
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, url: str | None, event: Json) -> None:
        """Starts to deliver an event, where somebody is to be told."""
        if url is None or len(self._tasks) >= _UNDELIVERED_MAX or self._faults.take("lose_callbacks_next"):
            return
        copies = 2 if self._faults.take("duplicate_callbacks_next") else 1
        for _ in range(copies):
            task = asyncio.create_task(self._deliver(url, json.dumps(event).encode()))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Gives up what is still on its way."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self, url: str, body: bytes) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http:
            for tried in range(TRIES_MAX):
                if tried:
                    await asyncio.sleep(min(_PAUSE_S_MAX, _PAUSE_S_FIRST * 2**tried))
                headers = {
                    "Content-Type": "application/json",
                    "Generic-Signature": signature(body, self._secret, int(time.time())),
                }
                try:
                    async with http.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                        if 200 <= answer.status < 300:
                            return
                except (aiohttp.ClientError, TimeoutError, OSError):
                    continue
