"""Everything of a call centre in one process: screens, API and webhooks on a port, a worker, a node, a bank, a CRM
that answers when it is let, donors, agents and their telephones."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser
from pydantic import SecretStr

from support import bank_town, browser_sound, edge, postgres, screens, services, telephones, world
from support.screens import NOTE_VIOLATIONS, Watched
from tenderline import serve
from tenderline.config import StripeSettings
from tenderline.core.ids import uuid7
from tenderline.core.queue_rings import Ring
from tenderline.crm import web as crm_web
from tenderline.gateways.stripe import Stripe
from tenderline.store import agents, db, events, lines, payments, queues
from tenderline.store.payments import PaymentRow
from tenderline.store.queues import Queue
from tenderline.voice.node import VoiceNode
from tenderline.voice.prompts.pack import Prompts
from tenderline.worker import reactions
from tenderline.worker.run import Worker
from tenderline_sandbox.bank import Bank
from tenderline_sandbox.crm import PATH, DonorCrm
from tenderline_sandbox.settings import SandboxSettings

LINE = "+18005550123"
LEGACY, GENERAL, SUPERVISOR = "legacy_gifts", "general", "supervisor"
ELEANOR, RUTH, HANNAH = "+12025550161", "+12025550163", "+12025550164"
"""Whom the sandbox's CRM knows: a Platinum donor, one who lapsed, one who is new."""
FLOW = """
name = "donors"
title = "Donors"
language = "en"
start = "greeting"

[given]
segment = ""
tier = ""

[node.greeting]
step = "say"
text = "Thank you for calling Riverside."
next = "who"

[node.who]
step = "lookup"
variables = ["segment", "tier"]
timeout_s = 5
exits = { found = "which", unknown = "anybody", timed_out = "anybody" }

[node.which]
step = "choose"
when = { legacy = "segment == 'High_Value_Donor'" }
exits = { legacy = "specialists", otherwise = "anybody" }

[node.specialists]
step = "queue"
queue = "legacy_gifts"
skills = ["legacy_gifts"]
tier_from = "segment"
wait_max_s = 600
exits = { talked = "bye", timed_out = "bye", nobody = "bye" }

[node.anybody]
step = "queue"
queue = "general"
tier_from = "tier"
wait_max_s = 600
exits = { talked = "bye", timed_out = "bye", nobody = "bye" }

[node.bye]
step = "hangup"
text = "Goodbye."
"""


@dataclass
class HeldCrm(DonorCrm):
    """It answers a look-up when it is let."""

    held: list[str] = field(default_factory=list)
    """Numbers that were asked for, in order."""
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    answered: int = 0

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        """Its address."""

        @web.middleware
        async def hold(request: web.Request, handler: Any) -> web.StreamResponse:
            if not request.path.endswith("/lookup"):
                return await handler(request)  # type: ignore[no-any-return]
            self.held.append((await request.json())["identifier_value"])
            await self.let_go.wait()
            self.answered += 1
            return await handler(request)  # type: ignore[no-any-return]

        app = web.Application(middlewares=[hold])
        app.add_routes(self.routes())
        async with TestServer(app) as server:
            yield f"http://127.0.0.1:{server.port}{PATH}"


@dataclass
class StoryTown:
    """What a story needs to know of it."""

    base: str
    pool: db.Pool
    node: VoiceNode
    crm: HeldCrm
    browser: Browser
    edge: serve.Edge
    services: Any
    host: str = "127.0.0.1"

    @property
    def at(self) -> tuple[str, int]:
        """Where it is called."""
        return self.host, self.node.endpoint.port

    @property
    def prompts(self) -> Prompts:
        """What it says."""
        return self.node.prompts

    @asynccontextmanager
    async def signed_in(self, email: str, path: str) -> AsyncIterator[Watched]:
        """A browser of this user's own, on this page."""
        context = await self.browser.new_context(viewport={"width": 1440, "height": 900})
        await context.add_init_script(NOTE_VIOLATIONS)
        watched = Watched(await context.new_page(), self.base)
        watched.look()
        try:
            await watched.go(f"/sign-in?next={path}")
            await watched.page.fill("#email", email)
            await watched.page.fill("#password", edge.PASSWORD)
            await watched.page.keyboard.press("Enter")
            await watched.page.wait_for_url(f"{self.base}{path}")
            yield watched
        finally:
            await context.close()


async def _people(pool: db.Pool) -> None:
    """Anna answers in her browser what anybody calls about, maria knows legacy gifts, carol supervises."""
    users = {name: await edge.make_user(pool, role, f"{name}@example.org") for name, role in
             (("anna", "agent"), ("carol", "supervisor"))}  # fmt: skip
    async with pool.acquire() as connection, connection.transaction():
        await queues.put_skill(connection, LEGACY, "Legacy gifts", by="test")
        for name, title in ((GENERAL, "General"), (SUPERVISOR, "Supervisors")):  # it rings while pages are looked at
            await queues.put(connection, Queue(name=name, title=title, ring_s=60), by="test")
        rings = (Ring(), Ring(after_s=1, skills_dropped=(LEGACY,), queues_joined=(GENERAL,)))
        legacy = Queue(name=LEGACY, title="Legacy gifts", rings=rings, tiers={"High_Value_Donor": 3}, wrap_up_s=600)
        await queues.put(connection, legacy, by="test")
        for name, queue in (("maria", LEGACY), ("carol", SUPERVISOR)):
            await telephones.put(connection, name, queue)
        maria = next(one for one in await agents.every(connection) if one.name == "maria")
        await agents.assign(connection, maria.id, of_queues=[LEGACY], skills={LEGACY: 4}, by="test")
        for name, telephone, queue in (("anna", None, GENERAL), ("carol", "carol", SUPERVISOR)):
            user = await connection.fetchval("SELECT id FROM app_user WHERE email = $1", users[name])
            await agents.make(
                connection, name=name.capitalize(), user_id=user, telephone=telephone, of_queues=[queue], by="test"
            )


async def _donors(pool: db.Pool) -> None:
    """Eleanor and ruth gave so much through us that we need no CRM to know their segment."""
    for number in (ELEANOR, RUTH):
        person_id, _, _ = await world.make_person(pool, address=number)
        async with pool.acquire() as connection, connection.transaction():
            row = PaymentRow(
                person_id=person_id, id=uuid7(), gateway="stripe", transaction_id=f"pi_{number[-4:]}",
                status="succeeded", transaction_status="COMPLETED", amount_minor=600_000, currency="USD", reason=None,
                invoice_reference=None, subscription_reference=None, payer_conflict=False, observed="{}",
            )  # fmt: skip
            await payments.save(connection, row)


async def _line(pool: db.Pool) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await lines.put_flow(connection, "donors", FLOW, by="test")
        await lines.put_line(
            connection, number=LINE, flow="donors", campaign="spring", language="en", currency="USD", fund="Wells",
            record=False, by="test",
        )  # fmt: skip


@asynccontextmanager
async def _working(made: Any) -> AsyncIterator[None]:
    worker = Worker(made)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await task


class _Bank:
    """A bank whose webhooks go where the product's go."""

    def __init__(self, product_url: str) -> None:
        self._bank = Bank(bank_town.settings(product_url))

    async def __aenter__(self) -> Self:
        await self._bank.start()
        app = web.Application()
        app.add_routes(self._bank.routes())
        self._runner, self.url = await bank_town.serve(app)
        self._bank.public_url = self.url
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._bank.stop()


@asynccontextmanager
async def open_story_town(server_url: str, folder: Path) -> AsyncIterator[StoryTown]:
    """The town for as long as the block lasts."""
    async with AsyncExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(crm_web, "ANSWER_TIMEOUT_S", 120.0)  # an answer that is let go after many pages were looked at
        browser = await stack.enter_async_context(
            screens.launched(*browser_sound.microphone(folder / "microphone.wav"))
        )
        url = await stack.enter_async_context(postgres.fresh_database(server_url, db.migrate))
        pool = await stack.enter_async_context(db.open_pool(url, size_max=12))
        calls_pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
        port = edge.free_port()
        base = f"http://127.0.0.1:{port}"
        bank = await stack.enter_async_context(_Bank(base))
        crm = HeldCrm(SandboxSettings())
        crm_url = await stack.enter_async_context(crm.served())
        stripe = Stripe(
            StripeSettings(
                api_key=SecretStr(bank_town.API_KEY), api_url=bank.url, webhook_secrets=[SecretStr(bank_town.SECRET)]
            )
        )
        stack.push_async_callback(stripe.close)
        made = services.make(
            pool, gateways=[stripe], data_dir=str(folder), public_url=base, organisation="Riverside",
            crm__kind="rest", crm__budget_s=0.5, crm__late_wait_s=60, crm_rest__url=crm_url,
            crm_rest__client_id="tenderline", crm_rest__client_secret="sandbox-crm-secret",
            capture__enabled="true", capture__strict="false", capture__between_keys_s=20,
            voice__sip_port="0", voice__unlimited_networks="127.0.0.0/8", worker__tick_s=0.1,
        )  # fmt: skip
        assert made.crm is not None
        stack.push_async_callback(made.crm.close)
        await _people(pool)
        await _donors(pool)
        await _line(pool)
        events.subscribe(reactions.subscriptions())
        node = VoiceNode(dataclasses.replace(made, pool=calls_pool))
        await node.start()
        stack.push_async_callback(node.close)
        whole = await stack.enter_async_context(serve.open_edge(made))
        await stack.enter_async_context(edge.serving(whole, port=port))
        await stack.enter_async_context(_working(made))
        yield StoryTown(base, pool, node, crm, browser, whole, made)
