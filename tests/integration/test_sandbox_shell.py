"""The shell of the sandbox: its pages' manners, its switches, its life as a program, and small truths it shows."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from support.sandbox_world import ADA, World, open_world, until
from tenderline_sandbox.faults import FaultSwitches
from tenderline_sandbox.screen import linked
from tenderline_sandbox.segments import segments

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing_world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def world(standing_world: World) -> AsyncIterator[World]:
    yield standing_world
    await standing_world.clear()


# --- the shell -------------------------------------------------------------------------------------------------------


async def test_every_page_carries_a_policy_that_allows_no_foreign_and_no_inline_code(world: World) -> None:
    await world.send()
    for path in ("/", "/handsets", "/handset/%2B12025550143", "/mailbox", "/faults"):
        async with world.http.get(world.sandbox.url + path) as answer:
            page = await answer.text()
            assert answer.status == 200
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=|(?:src|href)=\"(?:https?:)?//", page)


async def test_foreign_sites_cannot_reach_in(world: World) -> None:
    reset = f"{world.sandbox.url}/control/carrier"
    await world.send()
    cases: list[tuple[str, str, dict[str, str]]] = [
        ("GET", f"{world.sandbox.url}/handsets", {"Host": "evil.example"}),
        ("DELETE", reset, {"Origin": "https://evil.example"}),
        ("DELETE", reset, {"Origin": "null"}),
    ]
    for method, url, headers in cases:
        async with world.http.request(method, url, headers=headers) as answer:
            assert answer.status in (403, 421)
    text = {"Content-Type": "text/plain"}
    async with world.http.post(
        f"{reset}/reply", data=json.dumps({"from": ADA, "body": "STOP"}), headers=text
    ) as answer:
        assert answer.status == 415
    assert len(world.sandbox.carrier.messages) == 1


async def test_the_faults_page_sets_switches_and_explains_wrong_ones(world: World) -> None:
    form = {"latency_ms": "20", "rate_limit_next": "3"}
    async with world.http.post(f"{world.sandbox.url}/faults/mailbox", data=form) as answer:
        assert answer.status == 200
    assert (await world.control("GET", "/faults/mailbox"))["rate_limit_next"] == 3
    async with world.http.post(f"{world.sandbox.url}/faults/mailbox", data={"latency_ms": "soon"}) as answer:
        assert answer.status == 422
        assert "latency_ms takes a whole number" in await answer.text()
    async with world.http.post(f"{world.sandbox.url}/faults/mailbox", data={"reset": "yes"}) as answer:
        assert answer.status == 200
    assert world.sandbox.faults["mailbox"] == FaultSwitches()


async def test_the_program_says_where_it_is_and_stops_when_told(tmp_path: Path) -> None:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tenderline_sandbox", "--smtp-starttls"),
        *("--smtp-certificate-path", str(tmp_path / "ca.pem")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert program.stdout is not None
    try:
        ready: dict[str, Any] = json.loads(await asyncio.wait_for(program.stdout.readline(), 30))
        assert ready["ready"] is True
        assert (tmp_path / "ca.pem").read_text().startswith("-----BEGIN CERTIFICATE")
        async with aiohttp.ClientSession() as http, http.get(ready["url"]) as answer:
            assert answer.status == 200
        program.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(program.wait(), 10) == 0
        assert program.stderr is not None
        assert await program.stderr.read() == b""
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


async def test_a_stopped_sandbox_lets_open_pages_and_messages_go() -> None:
    async with open_world(callback_delay_ms=60_000) as world:
        await world.send()
        address = f"{world.sandbox.url}/live?topic=carrier&since={world.sandbox.carrier.changes.version}"
        async with world.http.get(address) as stream:
            await until(lambda: world.sandbox.carrier.pending == 1, "the message is on its way")
            await asyncio.wait_for(world.sandbox.stop(), 20)
            assert world.sandbox.carrier.pending == 0
            assert stream.status == 200


# --- small truths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 153, 3),
        ("ç" * 71, 2),
        ("’" * 70, 1),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("a" * 66 + "😀" + "a" * 66, 3),
    ],
)
async def test_parts_are_counted_as_carriers_count_them(text: str, parts: int) -> None:
    assert segments(text) == parts


async def test_only_web_addresses_become_links_and_their_full_stop_stays_outside() -> None:
    shown = linked('See http://a.example/x, "https://b.example" and ftp://c.example <i>')
    assert shown.count("<a ") == 2
    assert '<a href="http://a.example/x" target="_blank" rel="noopener noreferrer">http://a.example/x</a>,' in shown
    assert "&lt;i&gt;" in shown
