"""Access tokens by OAuth client credentials (RFC 6749, 4.4): kept, renewed before they end, one renewal at a time."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal
from urllib.parse import quote_plus

import msgspec
from pydantic import SecretStr

from tenderline.crm.base import Failure, LookupFailed
from tenderline.crm.web import Answer, Web, cancelled_quietly

EARLY_SHARE: Final = 0.8
"""Of a token's life after which another one is fetched, beside whoever asks."""
LIFE_UNTOLD_S: Final = 900.0
"""Salesforce does not say how long a token lasts; fifteen minutes is the shortest that can be set there."""
LIFE_MAX_S: Final = 86_400.0
TOKEN_CHARACTERS_MAX: Final = 8_192


class _Told(msgspec.Struct):
    access_token: str
    expires_in: float | str | None = None


class Tokens:
    """The token of one client."""

    def __init__(
        self,
        web: Web,
        url: str,
        *,
        client_id: str,
        client_secret: SecretStr,
        sent: Literal["header", "form"],
        extra: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._web, self._url, self._clock = web, url, clock
        self._form = {"grant_type": "client_credentials", **(extra or {})}
        self._headers: dict[str, str] = {}
        secret = client_secret.get_secret_value()
        if sent == "header":
            login = f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(login).decode('ascii')}"
        else:
            self._form |= {"client_id": client_id, "client_secret": secret}
        self._token: str | None = None
        self._renew_at = self._ends_at = 0.0
        self._renewal: asyncio.Task[None] | None = None

    async def get(self) -> str:
        """A token that is good now. Raises `LookupFailed`.

        Who waits may be cancelled; the renewal goes on, for the next caller.
        """
        now = self._clock()
        if self._token is None or now >= self._ends_at:
            await asyncio.shield(self._renewing())
        elif now >= self._renew_at:
            self._renewing()
        assert self._token is not None, "a renewal that ends well leaves a token"
        return self._token

    def refuse(self, token: str) -> None:
        """The CRM did not take this token: it is not used again."""
        if self._token == token:
            self._token = None

    def _renewing(self) -> asyncio.Task[None]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.get_running_loop().create_task(self._renew())
            # A failure that nobody waits for is told by the next look-up that needs a token.
            self._renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._renewal

    async def _renew(self) -> None:
        asked_at = self._clock()
        answer = await self._web.ask("POST", self._url, headers=self._headers, form=self._form)
        if answer.status in (401, 404):
            raise LookupFailed(Failure.ACCESS_REFUSED, f"{self._web.who} gives us no token (HTTP {answer.status}).")
        told = answer.read(_Told, self._web.who)
        if not 0 < len(told.access_token) <= TOKEN_CHARACTERS_MAX or not told.access_token.isprintable():
            raise LookupFailed(Failure.WRONG_SHAPE, f"{self._web.who} gave a token that is none.")
        life_s = _life_s(told.expires_in)
        self._token = told.access_token
        self._renew_at, self._ends_at = asked_at + life_s * EARLY_SHARE, asked_at + life_s

    async def ask(
        self, method: str, url: str, *, json: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request with the token; once more with a new one when it is refused. Raises `LookupFailed`."""
        for _ in range(2):
            token = await self.get()
            sent = {"Authorization": f"Bearer {token}", **(headers or {})}
            answer = await self._web.ask(method, url, json=json, headers=sent)
            if answer.status != 401:
                return answer
            self.refuse(token)
        raise LookupFailed(Failure.ACCESS_REFUSED, f"{self._web.who} refuses a token that it has just given.")

    async def close(self) -> None:
        """Ends a renewal that is under way."""
        await cancelled_quietly(self._renewal)


def _life_s(told: float | str | None) -> float:
    try:
        life_s = float(told) if told is not None else LIFE_UNTOLD_S
    except ValueError:
        return LIFE_UNTOLD_S
    return min(LIFE_MAX_S, life_s) if life_s > 0 else LIFE_UNTOLD_S  # not a number is not above zero either
