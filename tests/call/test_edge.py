"""The edge that `deploy/edge` describes, as real processes: Kamailio and rtpengine in front of two voice nodes."""

from __future__ import annotations

import asyncio
import re
import signal
from contextlib import AsyncExitStack

import aiohttp
import pytest

from call.conftest import NUMBER
from support.floor_client import PLAIN, FloorClient, of_a_browser
from support.sip_edge import HOST, edge, voice_node
from tenderline.store import voice_nodes
from tenderline.voice.trial_phone import TrialPhone

CALLS_MAX = 40
SECRET = "what only a body holds"
"""Looked for in logs."""


@pytest.fixture
async def nodes(make_node, database_url, tmp_path):
    """Two real voice nodes on one database that has lines and telephones (`make_node` puts them there)."""
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        yield await asyncio.gather(
            first.enter_async_context(voice_node(tmp_path, database_url)),
            second.enter_async_context(voice_node(tmp_path, database_url)),
        )


@pytest.fixture
async def plain_edge(nodes, tmp_path):
    """The edge, without rtpengine."""
    async with edge(tmp_path, *nodes) as running:
        yield running


@pytest.fixture
async def whole_edge(nodes, tmp_path):
    """The edge, with rtpengine for browsers."""
    async with edge(tmp_path, *nodes, media=True) as running:
        yield running


async def busy_nodes(pool, *, where="true"):
    """How many calls are in the books, by the port of their node."""
    rows = await pool.fetch(
        "SELECT n.sip_address, count(*) AS calls FROM conversation c JOIN voice_node n ON n.id = c.node_id"
        f" WHERE {where} GROUP BY 1"
    )
    return {int(row["sip_address"].rpartition(":")[2]): row["calls"] for row in rows}


def packets_of(phone):
    """How many packets of media a telephone has received."""
    return phone.party.leg._reception.packets


async def until(pool, condition):
    """Waits until a query gives true."""
    async with asyncio.timeout(20):
        while not await pool.fetchval(f"SELECT {condition}"):
            await asyncio.sleep(0.05)


async def test_calls_by_udp_tcp_and_tls_reach_both_nodes_until_one_drains(plain_edge, nodes, pool):
    made = 0
    while made < CALLS_MAX and (made < 6 or len(await busy_nodes(pool)) < 2):
        async with plain_edge.client(("udp", "tcp", "tls")[made % 3]) as client:
            answer = await client.call("check")
            assert answer.status == 200
            assert "RTP/AVP" in answer.body
            assert await client.hang_up() == 200
        made += 1
        await until(pool, f"count(*) = {made} FROM conversation WHERE ended_at IS NOT NULL")
    assert set(await busy_nodes(pool)) == {node.port for node in nodes}
    assert await pool.fetchval("SELECT count(DISTINCT ended_by) FROM conversation WHERE ended_by = 'caller'") == 1
    async with plain_edge.client("tls") as client:  # and the other way round: the node's BYE
        assert (await client.call(NUMBER)).status == 200
        await client.until_bye()  # nobody pressed a key
    first, second = nodes
    async with pool.acquire() as connection:
        drained = await pool.fetchval("SELECT id FROM voice_node WHERE sip_address LIKE '%:' || $1", str(first.port))
        assert await voice_nodes.drain(connection, drained)
    await plain_edge.nodes_up(second.port)
    for _ in range(6):
        async with plain_edge.client("tcp") as client:
            assert (await client.call("check")).status == 200
            assert await client.hang_up() == 200


async def test_a_killed_node_gets_no_new_call_and_the_others_calls_go_on(plain_edge, nodes, pool):
    async with AsyncExitStack() as stack:
        phones = []
        while len(standing := await busy_nodes(pool)) < 2 and len(phones) < CALLS_MAX:
            phones.append(await stack.enter_async_context(TrialPhone()))
            assert await phones[-1].dial("check", (HOST, plain_edge.udp)) == 200
            await until(pool, f"count(*) = {len(phones)} FROM conversation")
        # A call of its own node each, known by what the books hold.
        victim, survivor = nodes
        assert set(standing) == {victim.port, survivor.port}
        victim.process.send_signal(signal.SIGKILL)
        await victim.process.wait()
        async with plain_edge.client("udp") as client:  # before a ping has failed: tried there, then elsewhere
            assert (await client.call("check")).status == 200
            assert await client.hang_up() == 200
        await plain_edge.nodes_up(survivor.port)
        for transport in ("udp", "tcp", "tls") * 4:
            async with plain_edge.client(transport) as client:
                assert (await client.call("check")).status == 200
                assert await client.hang_up() == 200
        await until(pool, f"count(*) = {standing[victim.port]} FROM conversation WHERE why = 'the node is gone'")
        left = await busy_nodes(pool, where="c.ended_at IS NULL")
        assert left == {survivor.port: standing[survivor.port]}
        before = [packets_of(phone) for phone in phones]
        hearing = []
        async with asyncio.timeout(20):  # the other node's media flow
            while len(hearing) < standing[survivor.port]:
                await asyncio.sleep(0.05)
                hearing = [phone for phone, heard in zip(phones, before, strict=True) if packets_of(phone) > heard]
        assert len(hearing) == standing[survivor.port]
        assert not any(phone.party.is_gone for phone in hearing)
        for phone in hearing:
            phone.hang_up()
        await until(pool, "count(*) = 0 FROM conversation WHERE ended_at IS NULL")
    assert await pool.fetchval("SELECT state FROM voice_node WHERE sip_address LIKE '%:' || $1", str(victim.port)) == (
        "gone"
    )


async def test_strangers_get_nowhere_and_no_body_is_logged(plain_edge, pool):
    async with plain_edge.client("udp") as client:
        assert (await client.call("check", host="elsewhere.example.org")).status == 404
        await client.ask("MESSAGE", f"sip:check@{HOST}:{plain_edge.udp}", body=SECRET)
        assert (await client.final("MESSAGE")).status == 405
        # A route of its own, to somewhere else, as if a call stood.
        through = (f"<sip:{HOST}:{plain_edge.udp};lr>",)
        await client.ask("INFO", "sip:victim@192.0.2.99:5060", to="<sip:a@b>;tag=x", body=SECRET, routes=through)
        assert (await client.final("INFO")).status == 403
        await client._send(f"INVITE nothing\r\nVia: broken\r\n\r\n{SECRET}".encode())
        await client._send(f'INVITE sip:a SIP/2.0\r\nVia: x\r\nCSeq: 1 BYE\r\nTo: "\r\n\r\n{SECRET}'.encode())
        assert await client.options() == 200
    async with plain_edge.client("tcp") as client:
        await client._send(f"GET / HTTP/1.1\r\nContent-Length: {len(SECRET)}\r\n\r\n{SECRET}".encode())
    for _ in range(10):  # numbers that lead nowhere
        async with plain_edge.client("udp") as client:
            assert (await client.call("+18005550199", body=PLAIN + f"a=x:{SECRET}\r\n")).status == 404
    await until_shut_out(plain_edge)
    assert await pool.fetchval("SELECT count(*) FROM conversation") == 0
    assert SECRET not in plain_edge.log.read_text(errors="replace")


async def until_shut_out(running):
    """Waits until the log says that this address is shut out; then it gets no answer."""
    async with asyncio.timeout(60):
        while "shut out for ten minutes: 127.0.0.1" not in running.log.read_text(errors="replace"):
            await asks(running)
    assert not await asks(running)


async def asks(running):
    """Whether this address is answered."""
    async with running.client("udp") as client:
        try:
            await asyncio.wait_for(client.options(), 2)
        except TimeoutError:
            return False
        return True


async def test_a_browsers_call_reaches_a_node_as_plain_rtp_and_is_answered_as_it_was_offered(whole_edge, nodes, pool):
    for origin, protocol in (("https://evil.example.org", "sip"), ("https://floor.example.org", "chat")):
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"ws://{HOST}:{whole_edge.ws}/", protocols=(protocol,), origin=origin)
        assert refused.value.status == 403
    async with FloorClient("udp", HOST, nodes[0].port) as direct:
        assert (await direct.call("check", body=of_a_browser())).status == 488, (
            "a node takes plain RTP and nothing else"
        )
    for number, transport in enumerate(("ws", "wss"), 1):
        async with whole_edge.client(transport) as browser:  # the upgrade: 101
            assert browser.upgraded.protocol == "sip"
            assert await browser.options() == 200
            answer = await browser.call("check", body=of_a_browser())
            assert answer.status == 200
            assert re.search(r"m=audio \d+ UDP/TLS/RTP/SAVPF ", answer.body)
            for part in ("a=fingerprint:", "a=ice-ufrag:", "a=candidate:", "a=rtcp-mux", "a=setup:"):
                assert part in answer.body
            assert await browser.hang_up() == 200
            await until(pool, f"count(*) = {number} FROM conversation WHERE ended_by = 'caller'")


async def test_a_telephone_behind_the_edge_registers_and_is_rung_from_the_queue(whole_edge, pool):
    talked = 0
    for transport in ("ws", "tls"):
        async with whole_edge.client(transport) as agent, TrialPhone() as caller:
            assert (await agent.register("anna", "wrong")).status == 401
            registered = await agent.register("anna", "secret")
            assert registered.status == 200
            assert f"<sip:anna-here@{agent.own[0]}" in registered.first("contact"), "its own contact comes back"
            for _ in range(2):
                assert await caller.dial(NUMBER, (HOST, whole_edge.udp)) == 200
                await caller.press("1")
                rung = await agent.next(lambda one: one.method == "INVITE")
                assert "telephone-event" not in rung.body, "keys are never offered to agents"
                assert bool(re.search(r"m=audio \d+ UDP/TLS/RTP/SAVPF ", rung.body)) == (transport == "ws")
                assert ("a=fingerprint:" in rung.body) == (transport == "ws")
                await agent.say_yes(rung, body=of_a_browser(setup="active") if transport == "ws" else PLAIN)
                await agent.next(lambda one: one.method == "ACK")
                talked += 1
                await until(pool, f"count(*) = {talked} FROM segment WHERE kind = 'agent'")
                caller.hang_up()
                await agent.until_bye()
            left = await agent.register("anna", "secret", expires_s=0)
            assert (left.status, left.first("contact")) == (200, None)
