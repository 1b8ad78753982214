"""Asking a CRM over HTTPS: one request with a bound to its time, size and form; whatever goes wrong has a reason.

A host may be slow, be replaced by a page that says it is, or send megabytes. None of it may cost a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp
import msgspec
from yarl import URL

from tenderline.crm.base import ANSWER_BYTES_MAX, CrmRefusedError, CrmUnavailableError, Failure, LookupFailed

CONNECTIONS_MAX: Final = 40
CONNECT_TIMEOUT_S: Final = 5.0
ANSWER_TIMEOUT_S: Final = 20.0
"""For one request. A look-up is given up sooner by whoever waits for it; its answer may come late, not never."""

T = TypeVar("T")

_REFUSALS: Final = frozenset({Failure.ACCESS_REFUSED, Failure.REDIRECTED, Failure.WRONG_SHAPE})
"""Of a write, what waiting alone does not mend."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a body within its bound."""

    status: int
    body: bytes

    def read(self, into: type[T], who: str) -> T:
        """The body as JSON of this shape. Raises `LookupFailed`."""
        return read_json(self.body, into, who)


def read_json(body: bytes, into: type[T], who: str) -> T:
    """`body` as JSON of a shape; the reason tells a page of HTML from JSON of another shape. Raises `LookupFailed`."""
    try:
        return msgspec.json.decode(body, type=into)
    except msgspec.ValidationError as error:
        where = str(error).rpartition(" - at ")[2][:80]
        raise LookupFailed(Failure.WRONG_SHAPE, f"{who} answered in another shape than expected ({where}).") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        what = "a page of HTML" if body.lstrip()[:1] == b"<" else "something that is no JSON"
        raise LookupFailed(Failure.NO_JSON, f"{who} answered with {what}.") from None


class Web:
    """Requests to one CRM. No redirect is followed, no cookie kept, no proxy of the environment used."""

    def __init__(self, who: str) -> None:
        self.who = who
        self._opened: aiohttp.ClientSession | None = None

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "Tenderline"},
                timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S),
                trust_env=False,
            )
        return self._opened

    async def ask(
        self,
        method: str,
        url: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        json: object = None,
        form: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request; any status below 300, and 401 and 404, are answers. Raises `LookupFailed`."""
        body: Any = form
        sent = dict(headers or {})
        if json is not None:
            body, sent["Content-Type"] = msgspec.json.encode(json), "application/json"
        try:
            async with self._session().request(method, url, data=body, headers=sent, allow_redirects=False) as response:
                self._refuse(response)
                return Answer(response.status, await self._read(response))
        except TimeoutError:
            raise LookupFailed(Failure.TIMED_OUT, f"{self.who} did not answer in {ANSWER_TIMEOUT_S:.0f} s.") from None
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError):
            raise LookupFailed(
                Failure.CUT_OFF, f"{self.who} closed the connection before its answer was over."
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            why = type(error).__name__
            raise LookupFailed(Failure.UNREACHABLE, f"{self.who} cannot be reached ({why}).") from None

    def _refuse(self, response: aiohttp.ClientResponse) -> None:
        status = response.status
        if status < 300 or status in (401, 404):
            return
        if status < 400:
            reason, said = Failure.REDIRECTED, "wants to send us elsewhere; correct its address"
        elif status == 403:
            reason, said = Failure.ACCESS_REFUSED, "does not let us; give our user the permission"
        elif status == 429:
            reason, said = Failure.BUSY, "is asked more often than it allows"
        elif status < 500:
            reason, said = Failure.WRONG_SHAPE, "does not understand the question; check its version and the settings"
        else:
            reason, said = Failure.SERVER_ERROR, "has an error of its own"
        raise LookupFailed(reason, f"{self.who} {said} (HTTP {status}).")

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        told = response.content_length
        if told is not None and told > ANSWER_BYTES_MAX:
            raise self._too_large()
        read = bytearray()
        async for chunk in response.content.iter_any():
            read += chunk
            if len(read) > ANSWER_BYTES_MAX:
                raise self._too_large()
        return bytes(read)

    def _too_large(self) -> LookupFailed:
        return LookupFailed(Failure.TOO_LARGE, f"{self.who} sends more than {ANSWER_BYTES_MAX // 1024} KB.")

    async def close(self) -> None:
        """Closes connections."""
        if self._opened is not None:
            await self._opened.close()
            self._opened = None


def as_write_error(failed: LookupFailed) -> CrmUnavailableError | CrmRefusedError:
    """What stopped a write, in the words of writing; the job repeats it either way, and is parked at last."""
    if failed.reason in _REFUSALS:
        return CrmRefusedError(failed.detail)
    return CrmUnavailableError(failed.detail)


async def cancelled_quietly(task: asyncio.Task[Any] | None) -> None:
    """Ends a task, if there is one, and waits for its end."""
    if task is not None and not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
