"""Sessions of agents' browsers at a node, by peers that speak a browser's protocols: replaced, lost, forged."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from call.conftest import NUMBER, is_heard, nothing_left
from support import edge, reached, tones
from support.trial_browser import HOST, TrialBrowser, identity
from tenderline.core.ids import uuid7
from tenderline.flows.spoken import said
from tenderline.store import agents as agents_store
from tenderline.store import browser_phones, presence, waiting
from tenderline.voice.browser import dtls
from tenderline.voice.browser import path as paths
from tenderline.voice.browser import phone as phones
from tenderline.voice.trial_phone import CallFailedError, Sample, TrialPhone, speech_like
from tenderline.web.phone import NotTakenError

SILENCE = b"\xff" * 160


class Agent:
    """An agent's page without a page: a session as a row, and a peer on the wire."""

    def __init__(self, pool, node, name):
        self.pool, self.node, self.email = pool, node, f"{name}@example.org"
        self.peer = self.session = self.user_id = self.task = None
        self.speech, self.is_silent = SILENCE, False

    async def begin(self):
        if self.user_id is None:
            await edge.make_user(self.pool, "agent", self.email)
            self.user_id = await self.pool.fetchval("SELECT id FROM app_user WHERE email = $1", self.email)
        await self.stop()
        self.peer, self.session = TrialBrowser(identity()), uuid7()
        async with self.pool.acquire() as connection, connection.transaction():
            await browser_phones.offer(
                connection, self.session, agent=self.email, user_id=self.user_id, text=self.peer.offer()
            )
        found = await self.until(lambda shown: shown.answer or shown.state == "ended")
        if found.answer is None:
            raise NotTakenError(found.why)
        self.peer.take(found.answer)
        self.task = asyncio.create_task(self.live())
        return self

    async def live(self):
        while True:
            self.peer.turn()
            if self.peer.is_connected and not self.is_silent:
                self.peer.send(self.speech)
            await asyncio.sleep(0.02)

    async def stop(self):
        if self.task is not None:
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task
            self.peer.socket.close()
            self.task = None

    async def shown(self):
        async with self.pool.acquire() as connection:
            return await browser_phones.shown(connection, self.session, self.user_id)

    async def until(self, holds):
        async with asyncio.timeout(15):
            while not holds(found := await self.shown()):
                await asyncio.sleep(0.02)
        return found

    async def is_(self, state):
        found = await self.until(lambda shown: shown.state == state)
        if state == "ready":
            await reached.by_browser(self.pool, self.email)
        return found

    async def ask(self, wanted):
        call = (await self.shown()).call_id
        async with self.pool.acquire() as connection:
            return await browser_phones.ask(connection, self.session, self.user_id, call, wanted)

    async def is_available(self):
        async with self.pool.acquire() as connection, connection.transaction():
            agent_id = await agents_store.of_user(connection, self.user_id)
            await presence.say(connection, agent_id, "available", reason=None, by=self.email)
            await waiting.hint(connection)

    async def hear(self, frames, *, within_s):
        sample, at = Sample(frames), len(self.peer.heard)
        try:
            async with asyncio.timeout(within_s):
                while sample.find(b"".join(self.peer.heard[at:]), 0) is None:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise CallFailedError("It was not heard.") from None

    async def hears_on(self, count):
        """So many frames more."""
        wanted = len(self.peer.heard) + count
        async with asyncio.timeout(20):
            while len(self.peer.heard) < wanted:
                await asyncio.sleep(0.02)

    async def hears_nothing_more(self):
        """Waits until what was said has arrived: it came late by more than a second, if it is not over by then."""
        async with asyncio.timeout(20):
            while set(self.peer.heard[-60:]) != {SILENCE}:
                await asyncio.sleep(0.02)


@pytest.fixture
async def agents(pool):
    made = []

    async def make(node, name="anna"):
        made.append(Agent(pool, node, name))
        await made[-1].begin()
        await made[-1].is_("ready")
        return made[-1]

    yield make
    for one in made:
        await one.stop()


@asynccontextmanager
async def in_queue(node):
    async with nothing_left(node), TrialPhone() as caller:
        assert await caller.dial(NUMBER, (HOST, node.endpoint.port)) == 200
        await caller.press("1")
        yield caller
        caller.hang_up()


async def test_frames_pass_both_ways_unchanged_and_a_key_reaches_no_browser(node, agents):
    anna = await agents(node)
    async with in_queue(node) as caller:
        await anna.is_("ringing")
        assert await anna.ask("accept")
        await anna.is_("talking")
        anna.speech = speech_like(0.02)
        await is_heard(caller, anna)
        await caller.hear([anna.speech] * 3, within_s=20)
        await anna.hears_nothing_more()
        anna.peer.heard.clear()
        await caller.press("42")
        await anna.hears_on(60)
        assert set(anna.peer.heard) == {SILENCE}
    await anna.is_("ready")


async def test_a_browser_that_hangs_up_gives_the_caller_back_to_the_flow(node, agents):
    anna = await agents(node)
    async with in_queue(node) as caller:
        await anna.is_("ringing")
        await anna.ask("accept")
        await anna.is_("talking")
        await anna.ask("hang_up")
        await caller.is_hung_up(within_s=10)
        await anna.is_("ready")


async def test_a_command_for_a_call_that_is_over_does_nothing(node, agents):
    anna = await agents(node)
    async with in_queue(node):
        first = (await anna.is_("ringing")).call_id
        assert await anna.ask("decline")
        await anna.is_("ready")
    async with anna.pool.acquire() as connection:
        assert not await browser_phones.ask(connection, anna.session, anna.user_id, first, "accept")
        assert not await browser_phones.ask(connection, anna.session, uuid7(), first, "accept")


async def test_calls_go_to_those_who_are_free_telephone_or_browser(node, agents):
    anna, bert = await agents(node), await agents(node, "bert")
    async with nothing_left(node), AsyncExitStack() as stack:
        telephone = await stack.enter_async_context(TrialPhone(on_call=None))
        assert await telephone.register((HOST, node.endpoint.port), "bob", "secret")
        callers = [await stack.enter_async_context(TrialPhone()) for _ in range(3)]
        for caller in callers:
            assert await caller.dial(NUMBER, (HOST, node.endpoint.port)) == 200
            await caller.press("1")
        await asyncio.gather(anna.is_("ringing"), bert.is_("ringing"))
        await anna.ask("accept")
        await bert.ask("accept")
        await telephone.pick_up()
        await asyncio.gather(anna.is_("talking"), bert.is_("talking"))
        for caller in callers:
            caller.hang_up()


async def test_a_new_session_of_the_same_agent_takes_the_call_of_the_old_one_along(node, agents):
    anna = await agents(node)
    async with in_queue(node) as caller:
        await anna.is_("ringing")
        await anna.ask("accept")
        await anna.is_("talking")
        before = anna.session
        await anna.begin()
        await anna.is_("talking")
        await is_heard(caller, anna)
        assert await anna.pool.fetchval("SELECT state FROM browser_phone WHERE session_id = $1", before) == "replaced"


async def test_a_caller_is_not_told_that_nobody_is_there_while_the_only_page_is_reloaded(node, agents):
    anna = await agents(node)
    await anna.begin()
    async with in_queue(node) as caller:
        await anna.is_("ringing")
        assert not caller.party.is_gone


async def test_a_browser_that_falls_silent_is_away_and_its_call_ends_after_the_grace(make_node, agents, monkeypatch):
    monkeypatch.setattr(paths, "LOST_AFTER_S", 3.0)
    node = await make_node(voice__browser_grace_s="2")
    anna = await agents(node)
    async with in_queue(node) as caller:
        await anna.is_("ringing")
        await anna.ask("accept")
        await anna.is_("talking")
        anna.task.cancel()
        await anna.is_("away")
        await caller.is_hung_up(within_s=15)


async def test_a_browser_that_goes_while_it_rings_is_rung_again_when_it_is_back_and_not_before(
    node, agents, monkeypatch
):
    monkeypatch.setattr(paths, "LOST_AFTER_S", 3.0)
    monkeypatch.setattr(phones, "RETURN_S", 0.5)
    anna = await agents(node)
    phone = node.browsers.phones[0]
    async with in_queue(node) as caller:
        await anna.is_("ringing")
        anna.task.cancel()
        await caller.hear(await node.prompts.prepare(said("en", ("Nobody is there.",))), within_s=20)
    async with asyncio.timeout(10):
        while phone.taken or phone.is_there:
            await asyncio.sleep(0.02)
    await anna.begin()
    await anna.is_("ready")
    await anna.is_available()
    async with in_queue(node):
        await anna.is_("ringing")
        await anna.ask("accept")
        await anna.is_("talking")
    await anna.is_("ready")


async def test_whoever_fails_to_come_back_gets_no_new_time_of_grace_for_it(make_node, agents, monkeypatch):
    node = await make_node(voice__browser_grace_s="3")
    anna = await agents(node)
    async with in_queue(node) as caller:
        await anna.is_("ringing")
        await anna.ask("accept")
        await anna.is_("talking")
        leg = node.browsers.phones[0].party.leg
        await anna.stop()
        node.browsers.phones[0].drop_path()
        away_since_s = leg._away_since_s
        for _ in range(3):
            await anna.begin()
            await anna.stop()
        assert leg._away_since_s == away_since_s
        await caller.is_hung_up(within_s=15)


async def test_masked_means_that_not_one_frame_of_the_caller_reaches_the_browser(node, agents):
    anna = await agents(node)
    async with in_queue(node) as caller:
        await anna.is_("ringing")
        await anna.ask("accept")
        await anna.is_("talking")
        await is_heard(caller, anna)  # so the two are joined
        await anna.hears_nothing_more()
        node.browsers.phones[0].party.leg.peer.mask(True)
        anna.peer.heard.clear()
        await caller.speak(tones.ulaw(700, 1.0))
        await anna.hears_on(60)
        assert set(anna.peer.heard) == {SILENCE}
        node.browsers.phones[0].party.leg.peer.mask(False)
        await is_heard(caller, anna)


async def test_strangers_packets_are_counted_and_get_no_answer(node, agents):
    anna = await agents(node)
    way = node.browsers.phones[0]._path
    forged = [b"\x00" * 40, b"\x80" + bytes(30), b"\x16" * 60, b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((HOST, 0))
        stranger.setblocking(False)
        for data in forged * 50:
            stranger.sendto(data, (HOST, way.port))
        async with asyncio.timeout(15):
            while way.forged_packets < len(forged):
                await asyncio.sleep(0.02)
        with pytest.raises(BlockingIOError):
            stranger.recv(2_000)
    assert anna.peer.is_connected
    assert way.state == "connected"


async def test_who_is_here_is_said_of_all_at_once_and_a_change_of_one_writes_no_other_row(node, agents, pool):
    anna, bert = await agents(node), await agents(node, "bert")
    reach, said = node._reach, []
    async with asyncio.timeout(10):
        while len(reach._names) < 2:
            await asyncio.sleep(0.02)
    reach._task.cancel()
    with suppress(asyncio.CancelledError):
        await reach._task
    async with pool.acquire() as connection:
        hers, his = [await agents_store.of_user(connection, one.user_id) for one in (anna, bert)]

    async def written(connection):
        said.clear()
        await reach.turn(connection)
        await asyncio.sleep(0)  # the logger is called soon
        return [set(args[0]) for query, args in said if "UPDATE agent_presence" in query]

    async with pool.acquire() as connection:
        connection.add_query_logger(lambda asked: said.append((asked.query, asked.args)))
        reach._said_at_s = float("-inf")
        assert await written(connection) == [{hers, his}]
        assert await written(connection) == []
        await anna.stop()
        phone = next(one for one in node.browsers.phones if one.name == anna.email)
        phone.drop_path()
        phone.lost_at_s -= phones.RETURN_S
        assert await written(connection) == [{hers}]
        assert await pool.fetchval("SELECT count(*) FROM agent_presence WHERE reach_node IS NOT NULL") == 1
    reach.start()


async def test_a_path_that_cannot_be_answered_leaves_no_open_port_and_ends_its_session_alone(
    node, agents, pool, monkeypatch
):
    anna, ports = await agents(node), []
    opened = node.engine.browser_socket

    def opening():
        ports.append(opened())
        return ports[-1]

    def fails(*_):
        raise ValueError("a defect")

    with monkeypatch.context() as broken:
        broken.setattr(node.engine, "browser_socket", opening)
        broken.setattr(paths.web_sdp, "answer", fails)
        with pytest.raises(NotTakenError, match="defect"):
            await Agent(pool, node, "bert").begin()
    assert [one.fileno() for one in ports] == [-1]
    assert (await anna.shown()).state == "ready"


async def test_a_caller_whose_name_no_database_takes_keeps_no_page_from_its_news(node, agents):
    anna, bert = await agents(node), await agents(node, "bert")
    hers, his = (next(one for one in node.browsers.phones if one.name == who.email) for who in (anna, bert))
    ringing = [
        asyncio.create_task(hers.ring(ring_s=20, caller="+1\0\udcff")),
        asyncio.create_task(his.ring(ring_s=20, caller="+1")),
    ]
    assert (await anna.is_("ringing")).caller is None
    assert (await bert.is_("ringing")).caller == "+1"
    await anna.ask("decline")
    await bert.ask("decline")
    assert await asyncio.gather(*ringing) == [None, None]
    await anna.is_("ready")


async def test_an_offer_that_cannot_be_used_ends_its_session_with_the_reason(node, pool):
    email = await edge.make_user(pool, "agent")
    user_id, session = await pool.fetchval("SELECT id FROM app_user WHERE email = $1", email), uuid7()
    async with pool.acquire() as connection:
        async with connection.transaction():
            await browser_phones.offer(connection, session, agent=email, user_id=user_id, text="v=0\r\ns=-\r\n")
        async with asyncio.timeout(10):
            while (shown := await browser_phones.shown(connection, session, user_id)).state != "ended":
                await asyncio.sleep(0.02)
    assert "no audio stream" in shown.why


async def test_without_the_libraries_telephones_work_and_browsers_are_told_what_is_missing(
    make_node, pool, monkeypatch
):
    with monkeypatch.context() as without:
        without.setattr(dtls.importlib.util, "find_spec", lambda name: None)
        node = await make_node()
    anna = Agent(pool, node, "anna")
    with pytest.raises(NotTakenError, match="browser-audio"):
        await anna.begin()
    async with nothing_left(node), TrialPhone() as caller:
        assert await caller.dial(NUMBER, (HOST, node.endpoint.port)) == 200
        caller.hang_up()


async def test_auto_answer_takes_no_call_for_a_browser_that_is_gone_and_takes_it_when_it_is_back(
    make_node, agents, monkeypatch
):
    monkeypatch.setattr(phones, "RETURN_S", 30.0)
    node = await make_node(voice__browser_auto_answer="true")
    anna = await agents(node)
    await anna.stop()
    node.browsers.phones[0].drop_path()
    async with in_queue(node):
        async with asyncio.timeout(10):
            while not node.browsers.phones[0].taken:
                await asyncio.sleep(0.02)
        await asyncio.sleep(3 * phones.LOOK_EVERY_S)
        assert not node.browsers.phones[0].is_on_call
        await anna.begin()
        await anna.is_("talking")


async def test_auto_answer_puts_a_call_through(make_node, agents):
    node = await make_node(voice__browser_auto_answer="true")
    anna = await agents(node)
    async with in_queue(node) as caller:
        await anna.is_("talking")
        await is_heard(caller, anna)
