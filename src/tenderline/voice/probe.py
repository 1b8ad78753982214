"""Asks a trunk whether it is there (OPTIONS), before anybody's call is tried on it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import structlog
from sippy.SipRequest import SipRequest
from sippy.SipURL import SipURL

from tenderline.voice.sip import Endpoint

log: structlog.stdlib.BoundLogger = structlog.get_logger()

ANSWER_WAIT_S: Final = 4.0
FRESH_S: Final = 20.0
"""So long an answer, or a call that went through, is taken for a sign of life."""


class TrunkProbe:
    """Of one trunk."""

    def __init__(self, endpoint: Endpoint, trunk: tuple[str, int]) -> None:
        self._endpoint, self._trunk = endpoint, trunk
        self._alive_at_s: float | None = None
        self._was_there: bool | None = None

    def seen(self) -> None:
        """It has just answered something else."""
        self._alive_at_s = time.monotonic()

    async def is_there(self) -> bool:
        """Whether it answers; what it answers does not matter (RFC 3261, 11)."""
        if self._alive_at_s is not None and time.monotonic() - self._alive_at_s < FRESH_S:
            return True
        there = await self._asked()
        if there:
            self.seen()
        if there is not self._was_there:
            log.log(20 if there else 30, "trunk_up" if there else "trunk_down", trunk=self._trunk[0])
        self._was_there = there
        return there

    async def _asked(self) -> bool:
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def on_answer(response: Any) -> None:
            # The stack's own 408 is what it says when nothing came.
            if not answered.done() and response.scode != 408:
                answered.set_result(True)

        host, port = self._trunk
        where = f"[{host}]" if ":" in host else host
        request = SipRequest(
            method="OPTIONS",
            ruri=SipURL(host=where, port=port),
            target=((where, port), "udp"),
        )
        request.getHFBody("from").genTag()
        self._endpoint.config["_sip_tm"].newTransaction(request, on_answer)
        try:
            return await asyncio.wait_for(answered, ANSWER_WAIT_S)
        except TimeoutError:
            return False
