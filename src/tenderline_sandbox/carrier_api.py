"""The carrier's wire: the part of Twilio's REST API 2010-04-01 that sends, finds and lists messages.

Field names, status codes and error numbers are the vendor's, so the product talks to this with the adapter it uses in
production. More about an error: https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from aiohttp import web

from tenderline_sandbox.carrier import API_VERSION, BODY_LENGTH_MAX, E164, Carrier, Message
from tenderline_sandbox.cut import cut
from tenderline_sandbox.settings import SandboxSettings

PAGE_SIZE_DEFAULT: Final = 50
PAGE_SIZE_MAX: Final = 1_000
ACCOUNTS: Final = f"/{API_VERSION}/Accounts"
_FORMATTING: Final = re.compile(r"[\s().-]")

MAGIC_RECIPIENTS: Final = {
    "+15005550001": (21211, "is not a valid phone number"),
    "+15005550002": (21612, "cannot be reached from this 'From' number"),
    "+15005550004": (21610, "has unsubscribed from messages of this number"),
    "+15005550009": (21614, "is not a mobile number"),
}
"""Numbers that fail always, the same that the vendor reserves for its own test credentials."""


class ApiError(Exception):
    """A request the carrier refuses, with the vendor's error number."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code

    def answer(self, headers: Mapping[str, str] | None = None) -> web.Response:
        """The error as the vendor answers it."""
        body = {
            "code": self.code,
            "message": str(self),
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
        return web.json_response(body, status=self.status, headers=dict(headers or {}))


Act = Callable[[web.Request], Awaitable[web.Response]]


class CarrierApi:
    """The HTTP handlers in front of a `Carrier`."""

    def __init__(self, carrier: Carrier, settings: SandboxSettings) -> None:
        self._carrier = carrier
        self._account_sid = settings.account_sid
        self._auth_token = settings.auth_token

    def routes(self) -> list[web.RouteDef]:
        """What the shell mounts."""
        messages = f"{ACCOUNTS}/{{account}}/Messages"
        return [
            web.get(f"{ACCOUNTS}/{{account}}.json", self._reading(self._account)),
            web.get(f"{messages}.json", self._reading(self._list)),
            web.get(f"{messages}/{{sid}}.json", self._reading(self._fetch)),
            web.post(f"{messages}.json", self._sending(self._create)),
        ]

    def _reading(self, act: Act) -> Act:
        async def handle(request: web.Request) -> web.Response:
            return await self._guarded(request, act)

        return handle

    def _sending(self, act: Act) -> Act:
        """As a reading request, and may be carried out without the client learning of it."""
        faults = self._carrier.faults

        async def handle(request: web.Request) -> web.Response:
            response = await self._guarded(request, act)
            if response.status < 400 and faults.take("fail_after_success_next"):
                return ApiError(500, 20500, "Internal Server Error").answer()
            if response.status < 400 and faults.take("drop_after_success_next"):
                return cut(request)
            return response

        return handle

    async def _guarded(self, request: web.Request, act: Act) -> web.Response:
        """Who asks, then the faults that come before, then the deed, then the delay: a slow answer is a done deed."""
        faults = self._carrier.faults
        try:
            self._authenticate(request)
            if faults.take("rate_limit_next") or (request.method == "POST" and self._carrier.is_full):
                refusal = ApiError(429, 20429, "Too Many Requests")
                return refusal.answer({"Retry-After": str(faults.retry_after_s)})
            if faults.take("fail_before_next"):
                raise ApiError(500, 20500, "Internal Server Error")
            response = await act(request)
        except ApiError as error:
            response = error.answer()
        await asyncio.sleep(faults.latency_ms / 1000)
        response.headers["Twilio-Request-Id"] = "RQ" + secrets.token_hex(16)
        return response

    def _authenticate(self, request: web.Request) -> None:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        expected = f"{self._account_sid}:{self._auth_token}".encode()
        try:
            given = base64.b64decode(credentials, validate=True)
        except (binascii.Error, ValueError):
            given = b""
        if scheme.lower() != "basic" or not hmac.compare_digest(given, expected):
            raise ApiError(401, 20003, "Authenticate")
        if request.match_info["account"] != self._account_sid:
            raise _not_found(request)

    async def _account(self, request: web.Request) -> web.Response:
        account = {
            "sid": self._account_sid,
            "friendly_name": "Sandbox carrier",
            "status": "active",
            "type": "Full",
            "owner_account_sid": self._account_sid,
            "uri": request.path,
            "subresource_uris": {"messages": f"{ACCOUNTS}/{self._account_sid}/Messages.json"},
        }
        return web.json_response(account)

    async def _fetch(self, request: web.Request) -> web.Response:
        message = self._carrier.messages.get(request.match_info["sid"])
        if message is None:
            raise _not_found(request)
        return web.json_response(self._resource(message))

    async def _create(self, request: web.Request) -> web.Response:
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        to = self._recipient(form.get("To", ""))
        sender, service_sid = self._sender(form.get("From", ""), form.get("MessagingServiceSid", ""))
        body = form.get("Body", "")
        if not body:
            raise ApiError(400, 21602, "Message body is required.")
        if len(body) > BODY_LENGTH_MAX:
            raise ApiError(400, 21617, f"The message body is longer than {BODY_LENGTH_MAX} characters.")
        callback = form.get("StatusCallback") or None
        if callback is not None and not _is_web_address(callback):
            raise ApiError(400, 21609, f"The 'StatusCallback' URL {callback} is not a valid URL.")
        if to in self._carrier.opted_out:
            raise ApiError(400, 21610, "Attempt to send to unsubscribed recipient")
        message = self._carrier.accept(
            to=to, sender=sender, service_sid=service_sid, body=body, status_callback=callback
        )
        return web.json_response(self._resource(message), status=201)

    def _recipient(self, given: str) -> str:
        if not given.strip():
            raise ApiError(400, 21604, "A 'To' phone number is required.")
        to = _FORMATTING.sub("", given)
        if not E164.fullmatch(to):
            raise ApiError(400, 21211, f"The 'To' number {given} is not a valid phone number.")
        if to in MAGIC_RECIPIENTS:
            code, why = MAGIC_RECIPIENTS[to]
            raise ApiError(400, code, f"The 'To' number {to} {why}.")
        return to

    def _sender(self, given: str, service_sid: str) -> tuple[str | None, str | None]:
        """The number it comes from, or the messaging service that will choose one."""
        if service_sid:
            if service_sid != self._carrier.service_sid:
                raise ApiError(400, 21705, f"The Messaging Service Sid {service_sid} is invalid.")
            return None, service_sid
        if not given.strip():
            raise ApiError(400, 21603, "A 'From' phone number is required.")
        sender = _FORMATTING.sub("", given)
        if not E164.fullmatch(sender):
            raise ApiError(400, 21212, f"The 'From' number {given} is not a valid phone number.")
        if sender not in self._carrier.numbers:
            raise ApiError(400, 21606, f"The 'From' number {given} is not one of this account that can send messages.")
        return sender, None

    async def _list(self, request: web.Request) -> web.Response:
        wanted = _Filter.read(request)
        size = _page_size(request.query.get("PageSize"))
        page = _whole_number("Page", request.query.get("Page", "0"))
        found = islice(self._after_token(request, wanted), size + 1)
        messages = list(found)
        query = {name: value for name, value in request.query.items() if name not in ("Page", "PageToken", "PageSize")}
        query["PageSize"] = str(size)
        following = None
        if len(messages) > size:
            messages.pop()
            following = {**query, "Page": str(page + 1), "PageToken": f"PA{messages[-1].sid}"}
        body = {
            "messages": [self._resource(message) for message in messages],
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + max(len(messages) - 1, 0),
            "uri": request.raw_path,
            "first_page_uri": f"{request.path}?{urlencode({**query, 'Page': '0'})}",
            "next_page_uri": f"{request.path}?{urlencode(following)}" if following else None,
            "previous_page_uri": None,
        }
        return web.json_response(body)

    def _after_token(self, request: web.Request, wanted: _Filter) -> Iterator[Message]:
        """What comes after the last message of the page before: new messages never push one onto two pages."""
        token = request.query.get("PageToken")
        last = self._carrier.messages.get(token.removeprefix("PA")) if token else None
        if token and last is None:
            raise ApiError(400, 20001, "PageToken is not one of this list.")
        for message in self._carrier.newest_first():
            if (last is None or message.sequence < last.sequence) and wanted.matches(message):
                yield message

    def _resource(self, message: Message) -> dict[str, Any]:
        uri = f"{ACCOUNTS}/{self._account_sid}/Messages/{message.sid}"
        return {
            "account_sid": self._account_sid,
            "api_version": API_VERSION,
            "body": message.body,
            "date_created": _rfc2822(message.created_at),
            "date_sent": _rfc2822(message.sent_at) if message.sent_at else None,
            "date_updated": _rfc2822(message.updated_at),
            "direction": "inbound" if message.inbound else "outbound-api",
            "error_code": message.error_code,
            "error_message": None if message.error_code is None else "See the error code.",
            "from": message.sender,
            "messaging_service_sid": message.service_sid,
            "num_media": "0",
            "num_segments": str(message.segments),
            "price": None,
            "price_unit": "USD",
            "sid": message.sid,
            "status": message.status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": message.to,
            "uri": f"{uri}.json",
        }


@dataclass(frozen=True)
class _Filter:
    """What a list is narrowed to. A message that was not sent yet has no DateSent and matches no date."""

    to: str | None
    sender: str | None
    since: datetime | None
    until: datetime | None

    @classmethod
    def read(cls, request: web.Request) -> _Filter:
        query = request.query
        since, until = _moment("DateSent>", query, end=False), _moment("DateSent<", query, end=True)
        if "DateSent" in query:
            since, until = _moment("DateSent", query, end=False), _moment("DateSent", query, end=True)
        return cls(query.get("To") or None, query.get("From") or None, since, until)

    def matches(self, message: Message) -> bool:
        """Whether `message` belongs to the list."""
        if (self.to and message.to != self.to) or (self.sender and message.sender != self.sender):
            return False
        if self.since is None and self.until is None:
            return True
        if message.sent_at is None:
            return False
        return (self.since is None or message.sent_at >= self.since) and (
            self.until is None or message.sent_at < self.until
        )


def _moment(name: str, query: Mapping[str, str], *, end: bool) -> datetime | None:
    """A date (UTC; `end` gives the end of that day) or an instant in ISO 8601; bounds are inclusive to the second."""
    given = query.get(name)
    if not given:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise ApiError(400, 20001, f"{name} takes a date such as 2026-01-31, not {given}.") from error
    moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    whole_day = len(given) == len("2026-01-31")
    return moment + (timedelta(days=1) if whole_day else timedelta(seconds=1)) if end else moment


def _page_size(given: str | None) -> int:
    return min(max(_whole_number("PageSize", given or str(PAGE_SIZE_DEFAULT)), 1), PAGE_SIZE_MAX)


def _whole_number(name: str, given: str) -> int:
    if not given.isascii() or not given.isdigit() or len(given) > 6:
        raise ApiError(400, 20001, f"{name} takes a whole number.")
    return int(given)


def _not_found(request: web.Request) -> ApiError:
    return ApiError(404, 20404, f"The requested resource {request.path} was not found")


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _rfc2822(moment: datetime) -> str:
    return format_datetime(moment)
