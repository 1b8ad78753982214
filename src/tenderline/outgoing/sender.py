"""One try of one webhook over HTTP: to a checked address, without redirects, and with a bound to everything."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tenderline.config import WebhooksSettings
from tenderline.core.errors import ConfigurationError
from tenderline.core.pan import mask_card_numbers
from tenderline.outgoing import addresses
from tenderline.outgoing.addresses import AddressRefusedError, Lookup, Policy, Target

CONNECTIONS_MAX: Final = 50
READ_BYTES_MAX: Final = 4_096
READ_TIMEOUT_S: Final = 2.0
EXCERPT_CHARACTERS_MAX: Final = 160
RETRY_AFTER_S_MAX: Final = 86_400.0
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a try. `why` is safe to log: it holds nothing of what was sent or answered. `excerpt` is how a
    refusal begins, in printable ASCII; a receiver may quote there what it was sent. `body`: of a yes."""

    ok: bool
    status: int | None = None
    why: str | None = None
    retry_after_s: float = 0.0
    excerpt: str = ""
    body: bytes = b""

    @property
    def is_gone(self) -> bool:
        """The receiver wants no more of it."""
        return self.status == _GONE


_target: ContextVar[Target] = ContextVar("tenderline_webhook_target")
"""Of the try that is being made: the client looks its host up in the same task."""


class _Checked(AbstractResolver):
    """Gives the client only addresses that were checked a moment ago, in the very look-up it connects by."""

    def __init__(self, policy: Policy, lookup: Lookup | None) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See `AbstractResolver.resolve`."""
        del family
        found = await addresses.resolve(_target.get(), self._policy, self._lookup)
        return [
            ResolveResult(
                hostname=host,
                host=str(one),
                port=port,
                family=socket.AF_INET if isinstance(one, IPv4Address) else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for one in found
        ]

    async def close(self) -> None:
        """See `AbstractResolver.close`."""


def policy_of(settings: WebhooksSettings) -> Policy:
    """What the operator lets pass."""
    return Policy(allowed=settings.allowed_networks, http_on_loopback=settings.http_on_loopback)


class Sender:
    """Posts webhooks. `lookup` stands in for the name server in tests."""

    def __init__(self, settings: WebhooksSettings, *, lookup: Lookup | None = None) -> None:
        self.policy = policy_of(settings)
        self._settings = settings
        self._resolver = _Checked(self.policy, lookup)
        self._opened: aiohttp.ClientSession | None = None

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                # Each try asks the name server anew and has a connection of its own.
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX,
                    resolver=self._resolver,
                    use_dns_cache=False,
                    force_close=True,
                    ssl=_trusted(self._settings),
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": "Tenderline", "Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
                auto_decompress=False,
                trust_env=False,
            )
        return self._opened

    async def post(self, url: str, headers: dict[str, str], body: bytes, *, read_bytes_max: int = 0) -> Answer:
        """Posts once. Of an answer that is no yes a little is read; whatever follows is left where it is. A yes is read
        up to `read_bytes_max`; one that is longer is no answer."""
        try:
            target = addresses.target_of(url, self.policy)
            if target.literal is not None:
                addresses.require_allowed(str(target.literal), target, self.policy)  # no name: no look-up
            read = URL(url, encoded=True)
            if ((read.raw_host or "").lower(), read.port) != (target.host, target.port):
                raise AddressRefusedError("The webhook's address can be read in two ways.")
            _target.set(target)
            async with self._session().post(read, data=body, headers=headers, allow_redirects=False) as response:
                status, retry_after_s = response.status, _retry_after_s(response)
                excerpt = "" if status < 400 else await _excerpt(response)
                said = await _read(response, read_bytes_max) if read_bytes_max and status < 300 else b""
                response.close()
        except AddressRefusedError as error:
            return Answer(False, why=error.detail)
        except TimeoutError:
            return Answer(False, why=f"no answer within {self._settings.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(False, why=_reason(error))
        if 200 <= status < 300:
            return Answer(True, status, body=said)
        if 300 <= status < 400:
            return Answer(False, status, "it answered with a redirect, which is not followed; name the right address")
        return Answer(False, status, f"it answered {status}", retry_after_s, excerpt)

    async def close(self) -> None:
        """Closes what is open."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None


def _trusted(settings: WebhooksSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise ConfigurationError(f"webhooks.ca_file {settings.ca_file} cannot be read: {error.strerror}.") from error


async def _excerpt(response: aiohttp.ClientResponse) -> str:
    """How a refusal begins. What cannot be read in time is no part of it."""
    found = bytearray()
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(READ_TIMEOUT_S):
            while len(found) < READ_BYTES_MAX and (chunk := await response.content.read(READ_BYTES_MAX - len(found))):
                found += chunk
    text = mask_card_numbers(found.decode("utf-8", "replace"))
    plain = " ".join(text.split()).encode("ascii", "backslashreplace").decode()
    return "".join(one if one.isprintable() else "?" for one in plain)[:EXCERPT_CHARACTERS_MAX]


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    found = bytearray()
    while chunk := await response.content.read(bytes_max + 1 - len(found)):
        found += chunk
        if len(found) > bytes_max:
            raise ValueError("an answer that is too long")
    return bytes(found)


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return "its host's name is not known"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted; see webhooks.ca_file"
        case aiohttp.ClientSSLError():
            return "no TLS connection could be made"
        case aiohttp.ClientConnectorError():
            return "it cannot be connected to"
        case _:
            return f"no answer that can be read ({type(error).__name__})"


def _retry_after_s(response: aiohttp.ClientResponse) -> float:
    """Of a receiver that is busy: seconds, or an instant (RFC 9110, 10.2.3); up to a day."""
    told = response.headers.get("Retry-After", "")
    if response.status not in (429, 503) or len(told) > 64:
        return 0.0
    if re.fullmatch(r"[0-9]{1,9}", told):
        return min(float(told), RETRY_AFTER_S_MAX)
    try:
        at = parsedate_to_datetime(told)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), RETRY_AFTER_S_MAX)
