"""Calls while the CRM is asked: what the caller hears does not depend on it, where the call goes does."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from call.conftest import nothing_left, put_line
from tenderline.store import conversations, donors, lines
from tenderline.voice.trial_phone import TrialPhone
from tenderline_sandbox.crm import PATH, DonorCrm, KnownDonor
from tenderline_sandbox.settings import SandboxSettings

FLOW = """
name = "donors"
title = "Who calls"
language = "en"
start = "greet"
[node.greet]
step = "say"
text = "Welcome."
exits = { next = "who" }
[node.who]
step = "lookup"
variables = ["segment", "tier", "lifetime_value", "donor_id"]
timeout_s = 5
exits = { found = "donor", unknown = "stranger", timed_out = "stranger" }
[node.donor]
step = "hangup"
text = "Thank you."
[node.stranger]
step = "hangup"
text = "Goodbye."
"""


@asynccontextmanager
async def a_node(make_node, pool, let_go, **flags):
    """A node whose CRM answers when it is let go."""

    @web.middleware
    async def hold(request, handler):
        if request.path.endswith("/lookup"):
            await let_go.wait()
        return await handler(request)

    crm = DonorCrm(SandboxSettings())
    app = web.Application(middlewares=[hold])
    app.add_routes(crm.routes())
    async with TestServer(app) as server:
        async with pool.acquire() as connection, connection.transaction():
            await lines.put_flow(connection, "donors", FLOW, by="test")
            await put_line(connection, "give", "donors", look_up_by="DNIS")
        rest = {
            "crm__kind": "rest", "crm_rest__url": f"http://127.0.0.1:{server.port}{PATH}",
            "crm_rest__client_id": "tenderline", "crm_rest__client_secret": "sandbox-crm-secret",
        }  # fmt: skip
        node = await make_node(**rest, **flags)
        crm.donors["give"] = KnownDonor("D-9", "The spring appeal", "give", "Line", lifetime="9000.00")
        node.crm_town = crm
        yield node
        await node.close()
        await node.rig.services.crm.close()


async def way_of(pool):
    async with pool.acquire() as connection:
        (call,) = await conversations.latest(connection, 1)
        return call.id, [(one.node, one.exit) for one in await conversations.steps(connection, call.id)]


async def until_state(pool, call_id, state):
    async with asyncio.timeout(20):
        while True:
            async with pool.acquire() as connection:
                found = await donors.get(connection, call_id)
            if found is not None and found.state == state:
                return found
            await asyncio.sleep(0.02)


async def test_a_call_while_the_crm_hangs_is_greeted_and_ends_as_that_of_a_stranger(make_node, pool):
    let_go = asyncio.Event()
    async with a_node(make_node, pool, let_go, crm__budget_s=0.5) as node:
        async with nothing_left(node), TrialPhone() as phone:
            await phone.dial("give", ("127.0.0.1", node.endpoint.port))
            await phone.is_hung_up(within_s=20)
        call_id, way = await way_of(pool)
        assert way[:2] == [("greet", "next"), ("who", "timed_out")]
        assert (await until_state(pool, call_id, "late")).segment == "Acquisition_New"
        let_go.set()
        found = await until_state(pool, call_id, "found")
        assert found.is_late
        assert found.segment == "High_Value_Donor"


@pytest.mark.parametrize("mood", ["good", "down"])
async def test_where_a_call_goes_is_decided_by_what_is_known(make_node, pool, mood):
    let_go = asyncio.Event()
    let_go.set()
    async with a_node(make_node, pool, let_go) as node:
        node.crm_town.set_mood(mood)
        async with nothing_left(node), TrialPhone() as phone:
            await phone.dial("give", ("127.0.0.1", node.endpoint.port))
            await phone.is_hung_up(within_s=20)
        call_id, way = await way_of(pool)
        assert way[1] == ("who", "found" if mood == "good" else "unknown")
        await until_state(pool, call_id, "found" if mood == "good" else "failed")
