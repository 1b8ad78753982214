"""Registers us at a trunk, so that it finds us, and goes on doing so (RFC 3261, 10.2; sippy's client of it)."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog
from sippy.SipRegistrationAgent import SipRegistrationAgent
from sippy.SipURL import SipURL

from tenderline.voice.sip import Endpoint

log: structlog.stdlib.BoundLogger = structlog.get_logger()

EXPIRES_S = 180


class Registration:
    """One binding at one registrar; it renews itself until `stop`."""

    def __init__(self, endpoint: Endpoint, registrar: tuple[str, int], user: str, password: str) -> None:
        host, port = registrar
        record = SipURL(username=user, host=host, port=port)
        contact = SipURL(username=user, host=endpoint.host, port=endpoint.port)
        self._changed = asyncio.Event()
        self.registered = False
        self.refused: str | None = None
        self._agent = SipRegistrationAgent(
            endpoint.config,
            record,
            contact,
            user=user,
            passw=password,
            exp=EXPIRES_S,
            rok_cb=self._taken,
            rfail_cb=self._not_taken,
            target=(registrar, "udp"),
        )
        self._where = f"{host}:{port}"

    def start(self) -> None:
        """Sends the first REGISTER."""
        self._agent.doregister()

    def stop(self) -> None:
        """Renews it no more; it ends by itself within minutes."""
        self._agent.stopregister()

    async def settled(self) -> bool:
        """Whether it was taken, as soon as that is known."""
        await self._changed.wait()
        return self.registered

    def _taken(self, *_: Any) -> None:
        if not self.registered:
            log.info("registered", at=self._where)
        self.registered, self.refused = True, None
        self._changed.set()

    def _not_taken(self, status: Any, *_: Any) -> None:
        log.warning("registration_refused", at=self._where, status=str(status))
        self.registered, self.refused = False, str(status)
        self._changed.set()
