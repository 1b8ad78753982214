"""`tenderline serve` and the demo on a port: taken ones are refused at once, and only our own process is believed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientSession, web

from support import edge, postgres, services
from tenderline import config, serve
from tenderline.api import health
from tenderline.core.errors import ConfigurationError

WAIT_S = 60.0
HOST = "127.0.0.1"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as other:
        other.bind((HOST, 0))
        other.listen()
        yield int(other.getsockname()[1])


@asynccontextmanager
async def stranger(headers: dict[str, str]) -> AsyncIterator[int]:
    """The port of somebody who says yes to everything."""

    async def well(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"}, headers=headers)

    app = web.Application()
    app.router.add_get("/{path:.*}", well)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def environment_of(database_url: str, data_dir: Any, port: int) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(config.ENV_PREFIX)}
    ours = {"DATABASE_URL": database_url, "DATA_DIR": str(data_dir), "API__BIND_PORT": str(port), "LOG_LEVEL": "error"}
    return inherited | {f"{config.ENV_PREFIX}{key}": value for key, value in ours.items()}


@asynccontextmanager
async def tenderline(*words: str, environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tenderline", *words,
        env=environment, cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
            await asyncio.wait_for(child.communicate(), WAIT_S)


@pytest.mark.parametrize("command", ["serve", "api"])
async def test_a_taken_port_is_refused_by_name_before_anything_starts(command, taken_port, tmp_path):
    # Nobody is asked for the database first: there is none.
    environment = environment_of("postgresql://nobody@127.0.0.1:1/none", tmp_path, taken_port)
    async with tenderline(command, environment=environment) as child:
        out, err = await asyncio.wait_for(child.communicate(), WAIT_S)
    assert child.returncode == 2
    assert not out
    (line,) = err.decode().splitlines()
    assert f"Port {taken_port} of 127.0.0.1 is taken" in line
    assert "api.bind_port" in line


async def test_the_demo_does_not_take_a_stranger_for_the_product(tmp_path):
    async with stranger({}) as port:
        environment = environment_of("", tmp_path, port)
        async with tenderline("demo", "--once", "--port", str(port), environment=environment) as child:
            out, err = await asyncio.wait_for(child.communicate(), WAIT_S)
    assert child.returncode == 2
    assert not out
    assert f"Port {port} of 127.0.0.1 is taken" in err.decode()
    assert "--port" in err.decode()


async def test_it_says_that_it_runs_when_it_does(server_url, tmp_path):
    port = edge.free_port()
    async with postgres.fresh_database(server_url) as url, ClientSession() as http:
        async with tenderline("serve", environment=environment_of(url, tmp_path, port)) as child:
            assert child.stdout is not None
            line = await asyncio.wait_for(child.stdout.readline(), WAIT_S)
            assert b"runs on" in line
            async with http.get(f"http://{HOST}:{port}/health/ready") as response:
                assert response.status == 200
                assert len(response.headers[health.INSTANCE_HEADER]) == 64
        assert child.returncode == 0


async def test_only_the_process_that_was_started_is_believed_to_be_ready():
    ours = {health.INSTANCE_VARIABLE: "known to this run alone"}
    mark = health.mark_of(ours)
    for headers in ({}, {health.INSTANCE_HEADER: "known to this run alone"}):
        async with stranger(headers) as port:
            stop = asyncio.Event()
            settings = config.load({"api.bind_port": port}, {}).settings
            waiting = asyncio.create_task(serve._until_ready(settings, mark, stop))
            await asyncio.sleep(serve.READY_LOOK_S)
            assert not waiting.done()
            stop.set()
            assert await waiting is False
    async with stranger(mark) as port:
        settings = config.load({"api.bind_port": port, "api.bind_host": "0.0.0.0"}, {}).settings
        assert await serve._until_ready(settings, mark, asyncio.Event()) is True


async def test_readiness_tells_the_instance_as_a_hash_only(pool, monkeypatch):
    async with edge.client(services.make(pool)) as http:
        assert health.INSTANCE_HEADER not in (await http.get("/health/ready")).headers
        monkeypatch.setenv(health.INSTANCE_VARIABLE, "known to this run alone")
        answer = await http.get("/health/ready")
    assert answer.headers[health.INSTANCE_HEADER] == hashlib.sha256(b"known to this run alone").hexdigest()
    assert "known to this run alone" not in str(answer.headers) + answer.text


def test_a_port_that_just_ended_is_free_and_an_address_elsewhere_is_not():
    serve.require_free(HOST, edge.free_port())
    for host in ("192.0.2.1", "no.such.host.invalid"):
        with pytest.raises(ConfigurationError, match=f"api.bind_host '{host}'"):
            serve.require_free(host, edge.free_port())
