"""Streams: a snapshot at once, another when something changed, and an end when there has to be one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import asyncpg
import pytest

from support import edge, services, world
from tenderline.store import events
from tenderline.web import routes as web_routes
from tenderline.web import stream
from tenderline.web.stream import Hub

TIMEOUT_S = 20.0


@pytest.fixture
async def hub(pool: Any) -> AsyncIterator[Hub]:
    made = Hub(services.make(pool))
    yield made
    await made.close()


LISTENERS = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%tenderline_event%'"


async def _listening(pool: Any) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not await pool.fetchval(f"SELECT count(*) {LISTENERS}"):
            await asyncio.sleep(0.01)


async def _yes() -> bool:
    return True


async def test_a_hint_makes_a_screen_look_again_long_before_the_tick(hub, pool, monkeypatch):
    monkeypatch.setattr(stream, "TICK_S", 3600.0)
    shown = iter(["first", "second"])

    async def draw() -> str:
        return next(shown)

    with hub.watch() as screen:
        snapshots = stream.snapshots(hub, screen, draw, _yes)
        assert await anext(snapshots) == b"id: 1\ndata: first\n\n"
        await _listening(pool)
        waiting = asyncio.ensure_future(anext(snapshots))
        await events.hint(pool)
        assert await asyncio.wait_for(waiting, TIMEOUT_S) == b"id: 2\ndata: second\n\n"


async def test_a_tick_finds_what_a_lost_hint_missed(hub, monkeypatch):
    monkeypatch.setattr(stream, "TICK_S", 0.05)
    shown = iter(["first", "first", "second"])

    async def draw() -> str:
        return next(shown)

    with hub.watch() as screen:
        snapshots = stream.snapshots(hub, screen, draw, _yes)
        assert b"first" in await anext(snapshots)
        assert b"second" in await asyncio.wait_for(anext(snapshots), TIMEOUT_S)


async def test_a_crowd_of_hints_is_a_few_redraws(hub, pool, monkeypatch):
    monkeypatch.setattr(stream, "TICK_S", 3600.0)
    drawn = 0

    async def draw() -> str:
        nonlocal drawn
        drawn += 1
        return f"{drawn}"

    async def watch(screen: stream.Screen) -> None:
        async for _ in stream.snapshots(hub, screen, lambda: hub.shared("board", draw), _yes):
            pass

    with hub.watch() as one, hub.watch() as two:
        watching = [asyncio.ensure_future(watch(one)), asyncio.ensure_future(watch(two))]
        await _listening(pool)
        began = asyncio.get_running_loop().time()
        for _ in range(200):
            await events.hint(pool)
        lasted_s = asyncio.get_running_loop().time() - began
        await hub.close()
        await asyncio.gather(*watching)
    assert drawn <= 3 + lasted_s / stream.REDRAW_GAP_S


async def test_the_hub_listens_only_while_somebody_watches_and_survives_a_lost_connection(hub, pool, monkeypatch):
    monkeypatch.setattr(stream, "LISTEN_RETRY_S", 0.01)
    with hub.watch() as screen:
        await _listening(pool)
        await pool.execute(f"SELECT pg_terminate_backend(pid) {LISTENERS}")
        screen.look.clear()
        await asyncio.wait_for(screen.look.wait(), TIMEOUT_S)
        await _listening(pool)
    assert hub.screens == 0


async def test_a_stream_ends_with_the_sign_in(hub, monkeypatch):
    monkeypatch.setattr(stream, "SESSION_CHECK_S", 0.0)

    async def no() -> bool:
        return False

    async def draw() -> str:
        return "x"

    with hub.watch() as screen:
        told = [chunk async for chunk in stream.snapshots(hub, screen, draw, no)]
    assert told == [b"event: signed-out\ndata: signed-out\n\n"]


async def test_a_silent_stream_sends_a_heartbeat(hub, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.02)

    async def draw() -> str:
        return "x"

    with hub.watch() as screen:
        snapshots = stream.snapshots(hub, screen, draw, _yes)
        assert b"data: x" in await anext(snapshots)
        assert await asyncio.wait_for(anext(snapshots), TIMEOUT_S) == b": still here\n\n"


async def test_a_screen_stays_as_it_is_while_the_database_is_away(hub, monkeypatch):
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.02)
    answers = iter(["first", OSError("away"), "second"])

    async def draw() -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    with hub.watch() as screen:
        snapshots = stream.snapshots(hub, screen, draw, _yes)
        told = [await asyncio.wait_for(anext(snapshots), TIMEOUT_S) for _ in range(3)]
    assert (
        b"".join(chunk for chunk in told if chunk.startswith(b"id")) == b"id: 1\ndata: first\n\nid: 2\ndata: second\n\n"
    )


def test_a_snapshot_of_many_lines_is_one_message():
    assert stream.message(7, "<p>\na</p>\n") == b"id: 7\ndata: <p>\ndata: a</p>\n\n"


async def test_over_http_a_stream_brings_the_board_and_lets_the_server_stop(pool, monkeypatch):
    made = services.make(pool)
    email = await edge.make_user(pool)
    await world.make_debtor(pool)
    port = edge.free_port()
    async with (
        aiohttp.ClientSession(headers={"Accept": "text/html"}, cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
        edge.server(made, port=port) as (base, app),
    ):
        assert (await http.get(f"{base}/stream/board", headers={"HX-Request": "true"})).status == 401
        form = await (await http.get(f"{base}/sign-in")).text()
        data = {"email": email, "password": edge.PASSWORD, "csrf_token": edge.csrf_of(form)}
        assert (await http.post(f"{base}/sign-in", data=data)).status == 200
        answer = await http.get(f"{base}/stream/board")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        first = await answer.content.readuntil(b"\n\n")
        assert first.startswith(b"id: 1\ndata: ")
        assert b"tile-cases-open" in first
        await web_routes.close_streams(app)
        assert b"id:" not in await asyncio.wait_for(answer.content.read(), TIMEOUT_S)
        assert (await http.get(f"{base}/stream/board")).status == 503


async def test_too_many_screens_are_told_to_ask_now_and_then(pool, monkeypatch):
    monkeypatch.setattr(stream, "SCREENS_MAX", 0)
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool))
        assert (await http.get("/stream/board")).status_code == 503
        assert (await http.get("/board/live")).status_code == 200


async def test_a_listener_ends_also_when_its_connection_cannot_be_given_back(pool, monkeypatch):
    monkeypatch.setattr(stream, "LISTEN_RETRY_S", 0.01)
    hub = Hub(services.make(pool))
    reached = asyncio.Event()

    class Broken:
        def acquire(self) -> Any:
            return self

        async def __aenter__(self) -> Any:
            return self

        async def __aexit__(self, *_: object) -> None:
            raise asyncpg.InterfaceError("cannot be given back")

    async def listen_on(connection: Any) -> None:
        del connection
        reached.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(hub, "_services", SimpleNamespace(pool=Broken()))
    monkeypatch.setattr(hub, "_listen_on", listen_on)
    with hub.watch():
        await asyncio.wait_for(reached.wait(), TIMEOUT_S)
        async with asyncio.timeout(TIMEOUT_S):
            await hub.close()
