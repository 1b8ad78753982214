"""The composed application over HTTP: in this process without a socket, or behind the real server on a port."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from argon2 import PasswordHasher
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar

from tenderline import serve
from tenderline.store import credentials, oauth, users
from tenderline.web import routes as web_routes

# Tests sign in often, and argon2 is slow on purpose: here it is made quick. test_web_sign_in.py looks at the real one.
REAL_HASHER = credentials._hasher
credentials._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)

ORIGIN = "http://127.0.0.1:4000"
PASSWORD = "four random words here"
START_TRIES_MAX = 500


_idle: list[Litestar] = []


@contextmanager
def application(services: Any) -> Iterator[Litestar]:
    """The application, nobody else's for the length of a block. Reading its routes' signatures takes a third
    of a second, so one is given on to the next test; all that it holds is its state."""
    app = _idle.pop() if _idle else serve.litestar_app(services)
    app.state.clear()
    app.state["services"] = services
    try:
        yield app
    finally:
        app.state.clear()
        _idle.append(app)


@asynccontextmanager
async def client(services: Any, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the application directly."""
    with application(services) as app:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN, **options) as made:
            yield made


@asynccontextmanager
async def server(services: Any, *, port: int) -> AsyncIterator[tuple[str, Any]]:
    """(address, application) of the application behind the real server."""
    with application(services) as app:
        async with serving(app, port=port) as base:
            yield base, app


@asynccontextmanager
async def serving(app: Any, *, port: int) -> AsyncIterator[str]:
    """The address of an application behind the real server."""
    running = Server(
        app, address="127.0.0.1", port=port, interface=Interfaces.ASGI, log_enabled=False, websockets=False
    )
    task = asyncio.create_task(running.serve())
    try:
        await _answers(port, task)
        yield f"http://127.0.0.1:{port}"
    finally:
        await web_routes.close_streams(getattr(app, "rest", app))
        running.stop()
        await task


async def _answers(port: int, serving: asyncio.Task[Any]) -> None:
    for _ in range(START_TRIES_MAX):
        assert not serving.done(), "the server ended before it answered"
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise AssertionError("the server never answered")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def make_user(pool: Any, role: str = "supervisor", email: str | None = None) -> str:
    """A user's e-mail address; her password is `PASSWORD`."""
    email = email or f"{role}@example.org"
    async with pool.acquire() as connection, connection.transaction():
        await users.create_user(connection, email=email, name=role.capitalize(), password=PASSWORD, role=role)
    return email


async def make_client(pool: Any, *scopes: str) -> tuple[str, str]:
    """(id, secret) of an API client."""
    async with pool.acquire() as connection, connection.transaction():
        return await oauth.create_client(connection, name="A test", scopes=scopes or ("outbound:read",))


async def token(http: httpx.AsyncClient, pool: Any, *scopes: str) -> dict[str, str]:
    """The header of a fresh token with these scopes."""
    client_id, secret = await make_client(pool, *scopes)
    answer = await http.post(
        "/oauth/token", data={"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    )
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def csrf_of(html: str) -> str:
    """The CSRF token of a page's form."""
    found = re.search(r'name="csrf_token" value="([^"]+)"', html)
    assert found, html
    return found[1]


async def sign_in(http: httpx.AsyncClient, email: str, password: str = PASSWORD, **fields: str) -> httpx.Response:
    """Fetches the form and posts it, as a browser would."""
    form = await http.get("/sign-in")
    data = {"email": email, "password": password, "csrf_token": csrf_of(form.text), **fields}
    return await http.post("/sign-in", data=data)
