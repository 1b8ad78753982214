"""What the simulated vendors post to the product: signed as the real carrier signs, lost and doubled on demand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import aiohttp
from yarl import URL

from tenderline_sandbox.faults import FaultSwitches

POST_TIMEOUT_S: Final = 10.0
POSTS_AT_ONCE_MAX: Final = 32
TRIES_MAX: Final = 2
"""The first try and one more, which is all that this carrier gives a webhook by default."""
SERVER_ERROR: Final = 500


@dataclass(frozen=True)
class Posted:
    """What came of one webhook: the last answer, or why there was none."""

    http_status: int | None = None
    error: str | None = None
    tries: int = 0

    @property
    def taken(self) -> bool:
        """Whether the product said that it has it."""
        return self.http_status is not None and 200 <= self.http_status < 300

    def to_dict(self) -> dict[str, object]:
        """For the control interface."""
        return asdict(self)


def signature(auth_token: str, url: str, params: Mapping[str, str]) -> str:
    """X-Twilio-Signature: HMAC-SHA1 over the address and then every parameter, sorted by name, name and value."""
    signed = url + "".join(name + params[name] for name in sorted(params))
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()).decode()


class WebhookPoster:
    """Posts to the product; a bounded number at once, so that a slow product slows the carrier and nothing piles up."""

    def __init__(self, http: aiohttp.ClientSession, faults: FaultSwitches, auth_token: str) -> None:
        self._http = http
        self._faults = faults
        self._auth_token = auth_token
        self._slots = asyncio.Semaphore(POSTS_AT_ONCE_MAX)

    async def post(self, url: str, params: Mapping[str, str], retry_delay_s: float) -> list[Posted]:
        """One webhook, or none, or two of the same: what the switches say. The list tells of each that was due."""
        if self._faults.take("lose_callbacks_next"):
            return [Posted(error="lost on purpose")]
        headers = {
            "X-Twilio-Signature": signature(self._auth_token, url, params),
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        }
        copies = 2 if self._faults.take("duplicate_callbacks_next") else 1
        return [await self._delivered(url, params, headers, retry_delay_s) for _ in range(copies)]

    async def _delivered(
        self, url: str, params: Mapping[str, str], headers: Mapping[str, str], retry_delay_s: float
    ) -> Posted:
        for tries in range(1, TRIES_MAX):
            posted = await self._once(url, params, headers, tries)
            if posted.http_status is not None and posted.http_status < SERVER_ERROR:
                return posted
            await asyncio.sleep(retry_delay_s)
        return await self._once(url, params, headers, TRIES_MAX)

    async def _once(self, url: str, params: Mapping[str, str], headers: Mapping[str, str], tries: int) -> Posted:
        async with self._slots:
            return await post_form(self._http, url, params, headers, tries)


async def post_form(
    http: aiohttp.ClientSession, url: str, params: Mapping[str, str], headers: Mapping[str, str], tries: int = 1
) -> Posted:
    """Posts a form to exactly `url`: not re-quoted, because it is signed, and never following a redirect."""
    try:
        async with http.post(
            URL(url, encoded=True),
            data=dict(params),
            headers=dict(headers),
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=POST_TIMEOUT_S),
        ) as answer:
            return Posted(http_status=answer.status, tries=tries)
    except aiohttp.ClientConnectorError:
        return Posted(error="no connection", tries=tries)
    except TimeoutError:
        return Posted(error=f"no answer within {POST_TIMEOUT_S:g} s", tries=tries)
    except (aiohttp.ClientError, ValueError) as error:
        return Posted(error=f"{type(error).__name__} {error}".strip(), tries=tries)
