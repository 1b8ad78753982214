"""SMS by Twilio's Programmable Messaging, API version 2010-04-01.

Twilio knows no idempotency key, so a message in doubt is looked for by its text: every text holds a signed link of its
own, and `SmartEncoded=false` keeps Twilio from respelling it. Sources: Twilio's pages on the Message resource and on
error codes. Nothing here puts a number, a text or a token into an error.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
import msgspec
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from tenderline.config import TwilioSettings
from tenderline.core.clock import utc_now
from tenderline.core.errors import ConfigurationError, ProviderError
from tenderline.core.webhooks import Envelope
from tenderline.messengers import twilio_webhooks
from tenderline.messengers.base import (
    Accepted,
    Busy,
    Channel,
    IncomingMessage,
    LeaseLost,
    Outcome,
    OutgoingMessage,
    Receipt,
    Refused,
    Throttle,
    Unknown,
)
from tenderline.messengers.twilio_webhooks import MEANINGS, OPTED_OUT, SID, UNUSABLE, receipt

CONNECTIONS_MAX: Final = 500  # as many as worker.send_concurrency may ask for
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
RETRY_AFTER_S_MAX: Final = 3600.0
CONFIGURATION_RETRY_S: Final = 300.0
VALIDITY_S: Final = 900
PAGE_SIZE: Final = 200
PAGES_MAX: Final = 20
TRIAL_PREFIX: Final = "Sent from your Twilio trial account - "

# Our account or our sender is not set up right: that is not the person's fault, and passes once it is put right.
_CONFIGURATION: Final = frozenset(
    {
        *("20003", "20005", "20008", "20404", "30002"),
        *("21212", "21603", "21606", "21608", "21659", "21660", "21661", "21701", "21703", "21704", "21705"),
    }
)
_QUEUE_FULL: Final = frozenset({"20429", "21611"})


class TwilioUnavailableError(ProviderError):
    """Twilio cannot be asked now; it is asked again with growing pauses."""

    code = "twilio_unavailable"


class TwilioAccessError(TwilioUnavailableError):
    """Twilio refused the account SID and auth token; correct twilio.account_sid and twilio.auth_token."""

    code = "twilio_access"


class _LeaseLostError(Exception):
    """Stops a request before its body is written."""


class _Answer(msgspec.Struct):
    """What we read of a message, an account or an error; they share no field that means two things."""

    sid: str | None = None
    status: str | int | None = None
    code: int | str | None = None
    error_code: int | str | None = None
    body: str | None = None


class _Page(msgspec.Struct):
    messages: list[_Answer]
    next_page_uri: str | None = None


class _GuardedForm(aiohttp.BytesPayload):
    """A form that asks whether it may still be sent in the very call that writes it to the socket.

    By then the connection stands, so a process that was stopped while it connected, and goes on after its lease ran
    out, writes nothing. Nothing is awaited between the question and the write; asyncio writes at once, uvloop at the
    end of the same turn of its loop.
    """

    def __init__(self, form: Mapping[str, str], may_send: Callable[[], bool]) -> None:
        super().__init__(urlencode(form).encode("ascii"), content_type="application/x-www-form-urlencoded")
        self._may_send = may_send
        self.lease_lost = False
        self.written = False

    async def write(self, writer: AbstractStreamWriter) -> None:
        """What aiohttp called before 3.12."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """The last instant: asks, then writes."""
        if not self._may_send():
            self.lease_lost = True
            raise _LeaseLostError
        self.written = True
        await super().write_with_length(writer, content_length)


class Twilio:
    """One Twilio account, as a messenger and as a source of webhooks."""

    name = "twilio"
    channel = Channel.SMS
    can_be_asked = True

    def __init__(self, settings: TwilioSettings, public_url: str) -> None:
        if settings.account_sid is None or not SID.fullmatch(settings.account_sid):
            raise ConfigurationError("twilio.account_sid is missing or no SID; it begins with AC.")
        if settings.auth_token is None:
            raise ConfigurationError("twilio.auth_token is missing; it also verifies Twilio's webhooks.")
        if settings.messaging_service_sid is not None:
            self._sender = {"MessagingServiceSid": settings.messaging_service_sid}
        elif settings.from_number is not None:
            self._sender = {"From": settings.from_number}
        else:
            raise ConfigurationError("Set twilio.from_number or twilio.messaging_service_sid.")
        self._settings = settings
        self._token = settings.auth_token.get_secret_value()
        login = f"{settings.account_sid}:{self._token}".encode()
        self._login = f"Basic {base64.b64encode(login).decode('ascii')}"
        self._callback = f"{public_url}/webhooks/{self.name}?attempt="
        self._account = f"{settings.api_url.rstrip('/')}/2010-04-01/Accounts/{settings.account_sid}"
        self._opened: aiohttp.ClientSession | None = None
        self.throttle: Throttle | None = None

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "Authorization": self._login, "User-Agent": "Tenderline"},
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
            )
        return self._opened

    async def send(self, message: OutgoingMessage, may_send: Callable[[], bool]) -> Outcome:
        """See `Messenger.send`."""
        callback = f"{self._callback}{message.reference}"
        form = _GuardedForm(
            {
                "To": message.to,
                **self._sender,
                "Body": message.text,
                "StatusCallback": callback,
                "SmartEncoded": "false",
                # Twilio must not keep it for later: what is lawful now may not be in an hour.
                "ValidityPeriod": str(VALIDITY_S),
            },
            may_send,
        )
        try:
            async with self._session().post(
                f"{self._account}/Messages.json", data=form, allow_redirects=False
            ) as response:
                if form.written:
                    return await self._outcome(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if form.written:
                return Unknown(why=f"no answer came from Twilio ({type(error).__name__})")
            if not form.lease_lost:
                return Busy(why=f"Twilio could not be reached ({type(error).__name__})")
        return LeaseLost() if form.lease_lost else Busy(why="Twilio answered before it was asked")

    async def _outcome(self, response: aiohttp.ClientResponse) -> Outcome:
        status = response.status
        self._note_limits(response.headers)
        if status == 408 or not (200 <= status < 300 or 400 <= status < 500):
            return Unknown(why=f"Twilio answered with HTTP {status}")
        try:
            answer = msgspec.json.decode(await _body(response), type=_Answer)
        except (aiohttp.ClientError, OSError, ValueError):
            answer = _Answer()
        if status < 300:
            if answer.sid is not None and SID.fullmatch(answer.sid):
                return Accepted(answer.sid)
            return Unknown(why="Twilio took it but named no message")
        return _refusal(status, str(answer.code or ""), _retry_after_s(response.headers, utc_now()))

    def _note_limits(self, headers: Mapping[str, str]) -> None:
        limit, remaining = headers.get("X-RateLimit-Limit", ""), headers.get("X-RateLimit-Remaining", "")
        if re.fullmatch(r"[0-9]{1,9}", limit) and re.fullmatch(r"[0-9]{1,9}", remaining) and int(limit) > 0:
            self.throttle = Throttle(remaining_share=min(1.0, int(remaining) / int(limit)))

    async def find(self, message: OutgoingMessage) -> Accepted | Refused | None:
        """See `Messenger.find`. A message that failed later was still taken: its receipt tells the rest.

        A message still in Twilio's queue has no DateSent yet, so the newest page is read without that filter too.
        """
        wanted = {"To": message.to, "PageSize": str(PAGE_SIZE)}
        since = (message.planned_at.astimezone(UTC) - timedelta(days=1)).date().isoformat()
        everything = URL(f"{self._account}/Messages.json")
        url: URL | None = everything.with_query({**wanted, "DateSent>": since})
        for _ in range(PAGES_MAX):
            found, url = await self._search(url or everything, message.text)
            if found is not None:
                return found
            if url is None:
                break
        else:
            raise TwilioUnavailableError("Twilio lists more messages to this number than can be searched.")
        return (await self._search(everything.with_query(wanted), message.text))[0]

    async def _search(self, url: URL, text: str) -> tuple[Accepted | None, URL | None]:
        """One page: the message with this text, and where the next page is."""
        raw = await self._get(url)
        try:
            page = msgspec.json.decode(raw or b"", type=_Page)
            following = None if page.next_page_uri is None else URL(urljoin(str(url), page.next_page_uri), encoded=True)
        except ValueError:
            raise TwilioUnavailableError("Twilio's list of messages cannot be read.") from None
        if following is not None and (following.origin() != url.origin() or following.path != url.path):
            raise TwilioUnavailableError("Twilio's list of messages goes on at an address that is not Twilio's.")
        for one in page.messages:
            if one.body in (text, TRIAL_PREFIX + text) and one.sid is not None and SID.fullmatch(one.sid):
                return Accepted(one.sid), None
        return None, following

    async def status(self, provider_reference: str) -> Receipt | None:
        """See `Messenger.status`."""
        if not SID.fullmatch(provider_reference):
            return None
        raw = await self._get(URL(f"{self._account}/Messages/{provider_reference}.json"))
        try:
            answer = msgspec.json.decode(raw or b"null", type=_Answer | None)
        except ValueError:
            raise TwilioUnavailableError("Twilio's answer about a message cannot be read.") from None
        if answer is None:
            return None
        return receipt(None, provider_reference, str(answer.status), str(answer.error_code or ""))

    async def check(self) -> str:
        """See `Messenger.check`."""
        raw = await self._get(URL(f"{self._account}.json"))
        try:
            status = msgspec.json.decode(raw or b"{}", type=_Answer).status
        except ValueError:
            raise TwilioUnavailableError("What answers at twilio.api_url is not Twilio.") from None
        if raw is None:
            raise ConfigurationError("Twilio does not know this account; check twilio.account_sid.")
        if status != "active":
            raise ConfigurationError(f"The Twilio account is {status}; see to it in Twilio's console.")
        return f"Twilio answers at {urlsplit(self._account).netloc}; the account is active"

    async def close(self) -> None:
        """See `Messenger.close`."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def _get(self, url: URL) -> bytes | None:
        """The body of a 200, None for a 404; raises `TwilioUnavailableError` or `ConfigurationError`."""
        try:
            async with self._session().get(url, allow_redirects=False) as response:
                self._note_limits(response.headers)
                status, body = response.status, await _body(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TwilioUnavailableError(f"Twilio could not be asked ({type(error).__name__}).") from None
        if status in (401, 403):
            raise TwilioAccessError()
        if status not in (200, 404):
            raise TwilioUnavailableError(f"Twilio answered with HTTP {status}.")
        return body if status == 200 else None

    def verify(self, url: str, headers: Mapping[str, bytes], body: bytes) -> Envelope:
        """See `InboundSource.verify`."""
        return twilio_webhooks.verify(self._token, url, headers, body)

    def read(self, body: bytes) -> Receipt | IncomingMessage | None:
        """See `InboundSource.read`."""
        return twilio_webhooks.read(body)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The answer's body, if it has a size that Twilio's may have."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > ANSWER_BYTES_MAX:
            raise ValueError("the answer is too long")
    return b"".join(parts)


def _refusal(status: int, code: str, retry_after_s: float | None) -> Refused | Busy:
    """What a 4xx means; 429 is surely not sent."""
    if code == OPTED_OUT:
        return Refused(code=code, why=f"Twilio: {MEANINGS[code]}", opted_out=True)
    if code in UNUSABLE:
        return Refused(code=code, why=f"Twilio cannot send to this number (code {code})", address_unusable=True)
    if status == 429 or code in _QUEUE_FULL:
        return Busy(why="Twilio asked us to slow down", retry_after_s=retry_after_s)
    if status in (401, 403, 404) or code in _CONFIGURATION:
        why = f"Twilio does not let this account or sender send (HTTP {status}, code {code or 'none'}): check twilio.*"
        return Busy(why=why, retry_after_s=CONFIGURATION_RETRY_S)
    return Refused(code=code or f"http_{status}", why=f"Twilio refused it (HTTP {status}, code {code or 'none'})")


def _retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Retry-After in both forms of RFC 9110, 10.2.3, kept between 0 and an hour; None when it cannot be read."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), RETRY_AFTER_S_MAX)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = until if until.tzinfo is not None else until.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), RETRY_AFTER_S_MAX)
