"""What the other sides of all CRMs have in common: whom they know, what was written to them, and their moods.

Each knows the same donors. What is written lands in `entries` under its own key, so that a repetition shows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiohttp import web
from aiohttp.test_utils import TestServer

from tenderline.crm.base import Crm

SECRET = "contract-secret-0123456789"
HUGE_BYTES = 5 * 1024 * 1024
KNOWN = "+12025550161"
UNKNOWN = "+12025550199"
OTHER = "+12025550162"
NAME = "Eleanor Whitfield"
LIFETIME_MINOR = 1_250_000
WITH = {"currency": "USD", "region": "US"}


@dataclass
class Side(ABC):
    """The other side of one kind of CRM."""

    mood: str = "good"
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens_given: int = 0
    asked: int = 0
    silenced: list[str] = field(default_factory=list)
    """Whose row was set to no contact, by the CRM's own id."""
    can_write: bool = True
    has_tokens: bool = True
    moods: tuple[str, ...] = ("html", "huge", "wrong_types", "another", "cut", "down", "redirect", "no_token")

    @abstractmethod
    async def start(self, stack: AsyncExitStack) -> None: ...

    @abstractmethod
    def crm(self, *, url: str | None = None, secret: str = SECRET) -> Crm: ...

    def set_mood(self, mood: str) -> None:
        self.mood = mood

    def share_number(self) -> set[str]:
        """Everybody in the household of the known donor: a second one is made."""
        first, number = next((str(id), one) for id, one in self.contacts.items() if NAME in one.values())
        second = 17 if isinstance(next(iter(self.contacts)), int) else str(UUID(int=17))
        shared = {name: value for name, value in number.items() if "hone" in name or name == "gifts"}
        self.contacts[second] = {
            self.name_field: "B. Whitfield",
            **shared,
            **({"gifts": []} if "gifts" in shared else {}),
        }
        return {first, str(second)}

    def give_email(self, email: str) -> None:
        """Somebody new who has nothing but an address."""
        new = 18 if isinstance(next(iter(self.contacts)), int) else str(UUID(int=18))
        self.contacts[new] = {self.name_field: "Ruth", self.email_field: email, "phone": "", "gifts": []}

    async def _bad(self, request: web.Request, wrong: object) -> web.StreamResponse | None:
        match self.mood:
            case "html":
                return web.Response(text="<!doctype html><h1>Down</h1>", content_type="text/html")
            case "huge":
                answer = web.StreamResponse()  # chunked: its length is not told
                await answer.prepare(request)
                try:
                    for _ in range(HUGE_BYTES // 65_536):
                        await answer.write(b" " * 65_536)
                except ConnectionError:
                    return answer
                return answer
            case "wrong_types":
                return web.json_response(wrong)
            case "down":
                return web.json_response({"error": "down"}, status=503)
            case "redirect":
                return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/elsewhere"})
            case "cut":
                answer = web.StreamResponse(headers={"Content-Length": "500"})
                await answer.prepare(request)
                await answer.write(b'{"values": [')
                assert request.transport is not None
                request.transport.abort()
                return answer
        return None


async def serve(stack: AsyncExitStack, routes: list[web.RouteDef]) -> str:
    """Its address."""
    app = web.Application(client_max_size=1024 * 1024)
    app.add_routes(routes)
    server = await stack.enter_async_context(TestServer(app))
    return f"http://127.0.0.1:{server.port}"
