"""Asking a generic gateway: one JSON request, one JSON answer, our errors. Nothing is repeated here.

TLS with a verified chain and host name; no redirects, so the key goes nowhere else; every answer has a bound.
"""

from __future__ import annotations

import ssl
from email.utils import parsedate_to_datetime
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from tenderline.config import GenericSettings
from tenderline.core.clock import utc_now
from tenderline.gateways.base import GatewayRefusedError, GatewayUnavailableError

ANSWER_BYTES_MAX: Final = 256 * 1024
_CONNECTIONS_MAX: Final = 20

Json = dict[str, Any]


class NotThereError(GatewayRefusedError):
    """The gateway knows no such object."""


class Told(NamedTuple):
    """What it answered, and when by its own clock."""

    fields: Json
    at_unix_s: int


class GenericApi:
    """The connection to one gateway, opened on first use inside the event loop that it belongs to."""

    def __init__(self, settings: GenericSettings) -> None:
        self._settings = settings
        self._http: aiohttp.ClientSession | None = None

    async def ask(self, what: str, method: str, path: str, *, body: Json | None = None, key: str | None = None) -> Told:
        """One request. Raises `NotThereError`, `GatewayRefusedError` or `GatewayUnavailableError`; none of them quotes
        what was sent or answered."""
        headers = {"Idempotency-Key": key} if key is not None else {}
        data = msgspec.json.encode(body) if body is not None else None
        if data is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method, URL(f"{self._url}{path}", encoded=True), data=data, headers=headers, allow_redirects=False
            ) as response:
                raw = await response.content.read(ANSWER_BYTES_MAX + 1)
                while not response.content.at_eof() and len(raw) <= ANSWER_BYTES_MAX:
                    raw += await response.content.read(ANSWER_BYTES_MAX + 1 - len(raw))
                fields = _object(raw) if len(raw) <= ANSWER_BYTES_MAX else None
                return _judged(what, response.status, fields, _date(response.headers.get("Date")))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = type(error).__name__
        raise GatewayUnavailableError(f"The gateway did not answer ({what}: {why}); try later.")

    async def close(self) -> None:
        """Closes the connections, if any were opened."""
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    @property
    def _url(self) -> str:
        if self._settings.api_url is None:
            raise GatewayRefusedError("The generic gateway is off: it has no address; set generic.api_url.")
        return self._settings.api_url

    @property
    def _session(self) -> aiohttp.ClientSession:
        if self._http is None:
            if self._settings.api_key is None:
                raise GatewayRefusedError("The generic gateway has no key; set generic.api_key.")
            ca_file = str(self._settings.ca_file) if self._settings.ca_file is not None else None
            context = ssl.create_default_context(cafile=ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._http = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
                connector=aiohttp.TCPConnector(ssl=context, limit=_CONNECTIONS_MAX),
                headers={
                    "Authorization": f"Bearer {self._settings.api_key.get_secret_value()}",
                    "Accept": "application/json",
                },
            )
        return self._http


def _object(raw: bytes) -> Json | None:
    try:
        found = msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _date(told: str | None) -> int:
    try:
        return int(parsedate_to_datetime(told or "").timestamp())
    except (ValueError, OverflowError):
        return int(utc_now().timestamp())


def _judged(what: str, status: int, fields: Json | None, at_unix_s: int) -> Told:
    # A redirect is not followed; whoever sent it may have let the request through.
    if status in (408, 409, 425, 429) or 300 <= status < 400 or status >= 500:
        raise GatewayUnavailableError(f"The gateway could not answer ({what}: {status}); try later.")
    if 200 <= status < 300:
        if fields is None:
            raise GatewayUnavailableError(f"The gateway's answer cannot be read ({what}: {status}); try later.")
        return Told(fields, at_unix_s)
    if status in (401, 403):
        raise GatewayRefusedError(
            f"The gateway does not take the key ({what}: {status}); check generic.api_key."
        ) from None
    # A 404 that is no JSON comes from something that is not the gateway: no proof that the object is missing.
    refused = NotThereError if status == 404 and fields is not None else GatewayRefusedError
    raise refused(f"The gateway refused the request ({what}: {status}).") from None
