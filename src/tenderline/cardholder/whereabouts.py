"""Looking up where a gateway is, for the children: theirs cannot be interrupted by a key, so the parent does it.

Nothing rests on the answer: a child takes only a certificate for the gateway's name. When it comes late, or never, the
connection is made when the gateway is asked.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from tenderline.cardholder.gateway_address import ADDRESSES_MAX, AskedInVainError, where_is
from tenderline.cardholder.wire import GatewayTarget

KEPT_S: Final = 30.0


class Whereabouts:
    """One look-up at a time for each gateway, and its answer for half a minute: a hundred callers at once ask once."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], tuple[float, asyncio.Task[Any]]] = {}

    def tell(self, target: GatewayTarget, hear: Callable[[list[str]], None]) -> None:
        """`hear` gets the addresses, once they are known."""
        try:
            where = where_is(target)
        except AskedInVainError:
            return  # it is said when the gateway is asked
        key, now_s = (where.host, where.port), time.monotonic()
        at_s, asking = self._asked.get(key, (now_s, None))
        if asking is None or (asking.done() and (now_s > at_s + KEPT_S or not _addresses(asking))):
            looked_up = asyncio.get_running_loop().getaddrinfo(*key, type=socket.SOCK_STREAM)
            asking = asyncio.ensure_future(looked_up)
            self._asked[key] = now_s, asking
        asking.add_done_callback(partial(_pass_on, hear))

    def close(self) -> None:
        """Nobody is told any more."""
        for _, asking in self._asked.values():
            asking.cancel()


def _pass_on(hear: Callable[[list[str]], None], asking: asyncio.Task[Any]) -> None:
    if found := _addresses(asking):
        hear(found)


def _addresses(asking: asyncio.Task[Any]) -> list[str]:
    if asking.cancelled() or asking.exception() is not None:
        return []
    return list(dict.fromkeys(str(place[0]) for *_, place in asking.result()))[:ADDRESSES_MAX]
