"""The connection to a gateway that is made before the last key: used once, or made anew, and never in a key's way."""

from __future__ import annotations

import asyncio
import re
import select
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from support.card_room import Caller
from support.receiver import make_certificate
from tenderline.cardholder.digits import Digits
from tenderline.cardholder.gateway_tls import Exchange
from tenderline.cardholder.gateways.base import Keyed
from tenderline.cardholder.messages import Ended, Policy, Prompt, Say, Tokenised, TokenUnavailable
from tenderline.cardholder.room import Begin, GatewayTarget, Room, RoomPool, RoomSettings
from tenderline.cardholder.whereabouts import Whereabouts

HOST, LOOPBACK = "localhost", "127.0.0.1"
WAIT_S = 20.0
ATTENDED = Policy(attended=True)
TOKENS = {
    "stripe": b'{"id":"pm_good"}',
    "braintree": b'{"data":{"tokenizeCreditCard":{"paymentMethod":{"id":"pm_good"}}}}',
    "adyen": b'{"resultCode":"Authorised","merchantReference":"tl-1","additionalData":'
    b'{"recurring.recurringDetailReference":"pm_good"}}',
    "generic": b'{"token":"pm_good"}',
}
Manner = Callable[["Gateway", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Gateway:
    """Answers each connection in the manner that is next in `manners`, and in the last one from then on."""

    def __init__(self, certificate: Path, tls: ssl.SSLContext) -> None:
        self.kind = "generic"
        self.manners: list[Manner] = [answers]
        self.connections = 0
        self.shaken = 0
        self.requests = 0
        self.closed = asyncio.Event()
        self.opened = asyncio.Event()
        self.port = 0
        self._certificate = certificate
        self._tls = tls
        self._taking: set[asyncio.Task[None]] = set()

    def target(self, **more: object) -> GatewayTarget:
        fields = {
            "kind": self.kind,
            "url": f"https://{HOST}:{self.port}",
            "api_key": "public:private",
            "account": "Tenderline",
            "ca_file": str(self._certificate),
            "timeout_s": 20.0,
        }
        return GatewayTarget(**fields | more)  # type: ignore[arg-type]

    async def shake_hands(self, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(self._tls)
        self.shaken += 1
        self.opened.set()

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._taking.add(task)
        manner = self.manners.pop(0) if len(self.manners) > 1 else self.manners[0]
        self.connections += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await manner(self, reader, writer)
        finally:
            writer.close()
            self._taking.discard(task)
            self.closed.set()

    def stop(self) -> None:
        for task in self._taking:
            task.cancel()


async def read_request(gateway: Gateway, reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"Content-Length: (\d+)", head)
    assert found is not None
    await reader.readexactly(int(found[1]))
    gateway.requests += 1


async def answers(gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await gateway.shake_hands(writer)
    await read_request(gateway, reader)
    body = TOKENS[gateway.kind]
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()


async def closes_at_once(gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del reader
    await gateway.shake_hands(writer)


async def speaks_first(gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As servers do that have waited long enough for a request."""
    await gateway.shake_hands(writer)
    writer.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    gateway.closed.set()
    await reader.read()


async def closes_without_an_answer(
    gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await gateway.shake_hands(writer)
    await read_request(gateway, reader)


async def breaks_off(gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await gateway.shake_hands(writer)
    await read_request(gateway, reader)
    writer.write(b"H")
    await writer.drain()


async def is_silent(gateway: Gateway, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the connection and does not shake hands, for as long as the test lasts."""
    del writer
    gateway.opened.set()
    await reader.read(1)
    await asyncio.Event().wait()


@asynccontextmanager
async def serving(folder: Path, name: str = HOST) -> AsyncIterator[Gateway]:
    tls, certificate = make_certificate(folder, name)
    gateway = Gateway(certificate, tls)
    server = await asyncio.start_server(gateway.take, LOOPBACK, 0)
    gateway.port = server.sockets[0].getsockname()[1]
    try:
        yield gateway
    finally:
        server.close()
        gateway.stop()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with serving(tmp_path) as made:
        yield made


@pytest.fixture
def exchange() -> Exchange:
    return Exchange()


def a_card() -> Keyed:
    def digits(text: str) -> Digits:
        made = Digits(max(len(text), 1))
        for one in text:
            made.push(int(one))
        return made

    return Keyed(digits("4242" * 4), digits("1134"), digits("739"), digits(""))


async def connect(exchange: Exchange, target: GatewayTarget, addresses: tuple[str, ...] = (LOOPBACK,)) -> None:
    """All the steps of a connection, as the child takes them."""

    def steps() -> None:
        exchange.approach(target, addresses)
        while (watched := exchange.watched) is not None:
            poll = select.poll()
            poll.register(*watched)
            assert poll.poll(WAIT_S * 1_000)
            exchange.go_on()

    await asyncio.to_thread(steps)


async def ask(exchange: Exchange, target: GatewayTarget) -> object:
    outcome = await asyncio.wait_for(asyncio.to_thread(exchange.ask, a_card(), target), WAIT_S)
    assert not any(exchange._request._memory.view), "the request is wiped"
    assert not any(exchange._answer.view), "the answer is wiped"
    return outcome


# --- The exchange ---------------------------------------------------------------------------------------------------


async def test_a_connection_made_beforehand_takes_the_request_and_nothing_before_it(
    exchange: Exchange, gateway: Gateway
) -> None:
    await connect(exchange, gateway.target())
    await asyncio.wait_for(gateway.opened.wait(), WAIT_S)
    assert (gateway.connections, gateway.shaken, gateway.requests) == (1, 1, 0)
    assert await ask(exchange, gateway.target()) == Tokenised("pm_good")
    assert (gateway.connections, gateway.requests) == (1, 1)


async def test_one_connection_is_used_for_one_request(exchange: Exchange, gateway: Gateway) -> None:
    await connect(exchange, gateway.target())
    for _ in range(2):
        assert await ask(exchange, gateway.target()) == Tokenised("pm_good")
    assert (gateway.connections, gateway.requests) == (2, 2)


async def test_a_young_connection_is_kept_and_an_old_one_is_made_anew(exchange: Exchange, gateway: Gateway) -> None:
    for _ in range(3):
        await connect(exchange, gateway.target())
    assert gateway.connections == 1
    await connect(exchange, gateway.target(kept_s=1e-6))
    assert await ask(exchange, gateway.target(kept_s=1e-6)) == Tokenised("pm_good")
    assert (gateway.connections, gateway.requests) == (3, 1), "one for being old, one more for the request"


async def test_none_is_made_beforehand_where_the_target_says_so_or_nobody_knows_an_address(
    exchange: Exchange, gateway: Gateway
) -> None:
    await connect(exchange, gateway.target(kept_s=0.0))
    await connect(exchange, gateway.target(), ())
    assert gateway.connections == 0
    assert await ask(exchange, gateway.target(kept_s=0.0)) == Tokenised("pm_good")


async def test_addresses_are_tried_one_after_the_other(exchange: Exchange, gateway: Gateway) -> None:
    await connect(exchange, gateway.target(), ("::1", "no address", "127.0.0.9", LOOPBACK))
    assert await ask(exchange, gateway.target()) == Tokenised("pm_good")
    assert gateway.connections == 1


@pytest.mark.parametrize("manner", [closes_at_once, speaks_first])
async def test_a_connection_that_the_gateway_closed_meanwhile_is_replaced(
    exchange: Exchange, gateway: Gateway, manner: Manner
) -> None:
    gateway.manners = [manner, answers]
    await connect(exchange, gateway.target())
    await asyncio.wait_for(gateway.closed.wait(), WAIT_S)
    assert await ask(exchange, gateway.target()) == Tokenised("pm_good")
    assert (gateway.connections, gateway.requests) == (2, 1)


@pytest.mark.parametrize("kind", TOKENS)
async def test_a_request_without_an_answer_is_sent_again_only_where_a_second_token_is_harmless(
    exchange: Exchange, gateway: Gateway, kind: str
) -> None:
    gateway.kind = kind
    gateway.manners = [closes_without_an_answer, answers]
    await connect(exchange, gateway.target())
    outcome = await ask(exchange, gateway.target())
    if kind == "adyen":
        assert outcome == TokenUnavailable("the gateway closed the connection without an answer")
        assert gateway.requests == 1
    else:
        assert outcome == Tokenised("pm_good")
        assert gateway.requests == 2


async def test_it_is_sent_again_once_and_on_a_kept_connection_only(exchange: Exchange, gateway: Gateway) -> None:
    gateway.manners = [closes_without_an_answer]
    await connect(exchange, gateway.target())
    for requests in (2, 3):
        assert isinstance(await ask(exchange, gateway.target()), TokenUnavailable)
        assert gateway.requests == requests


async def test_an_answer_that_began_is_never_asked_for_again(exchange: Exchange, gateway: Gateway) -> None:
    gateway.manners = [breaks_off, answers]
    await connect(exchange, gateway.target())
    assert await ask(exchange, gateway.target()) == TokenUnavailable("the gateway's answer was cut off")
    assert gateway.requests == 1


async def test_a_handshake_that_is_stuck_costs_what_connecting_may_take_and_not_the_gift(
    exchange: Exchange, gateway: Gateway
) -> None:
    gateway.manners = [is_silent, answers]
    target = gateway.target(connect_s=1.0)
    await asyncio.to_thread(exchange.approach, target, (LOOPBACK,))
    assert await ask(exchange, target) == Tokenised("pm_good")
    assert (gateway.connections, gateway.shaken) == (2, 1)


async def test_a_handshake_that_is_under_way_is_finished_and_not_begun_again(
    exchange: Exchange, gateway: Gateway
) -> None:
    await asyncio.to_thread(exchange.approach, gateway.target(), (LOOPBACK,))
    assert await ask(exchange, gateway.target()) == Tokenised("pm_good")
    assert gateway.connections == 1


async def test_a_wrong_certificate_is_refused_early_in_silence_and_told_when_the_gateway_is_asked(
    exchange: Exchange, tmp_path: Path
) -> None:
    async with serving(tmp_path, "elsewhere.test") as gateway:
        await connect(exchange, gateway.target())
        outcome = await ask(exchange, gateway.target())
        assert isinstance(outcome, TokenUnavailable)
        assert "certificate" in outcome.why
        assert (gateway.connections, gateway.requests) == (2, 0)


async def test_plain_http_beforehand_goes_to_loopback_only_too(exchange: Exchange, gateway: Gateway) -> None:
    target = msgspec.structs.replace(gateway.target(), url=f"http://{HOST}:{gateway.port}", plain_http_on_loopback=True)
    await connect(exchange, target, ("192.0.2.1",))
    assert gateway.connections == 0
    await connect(exchange, target)
    assert exchange._opening is not None
    assert exchange._opening.is_open
    exchange.close()


# --- The room -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def room(gateway: Gateway, **more: object) -> AsyncIterator[Room]:
    rooms = RoomPool(RoomSettings(strict=False), 0)
    try:
        yield await rooms.take(Begin(policy=ATTENDED, gateway=gateway.target(**more), language="en"))
    finally:
        await rooms.close()


async def keyed(one: Room, caller: Caller, until: Prompt | None = None) -> Ended | None:
    """Keys what is asked for, up to this question, which stays open."""
    while True:
        event = await asyncio.wait_for(one.next(), WAIT_S)
        if isinstance(event, Ended):
            return event
        if isinstance(event, Say):
            if event.prompt is until:
                return None
            for code in caller.keys(event.prompt):
                one.key(code)


async def captured(one: Room, caller: Caller) -> None:
    """The question that is open is answered, and the card becomes a token."""
    for code in caller.keys(Prompt.ASK_CODE):
        one.key(code)
    ended = await keyed(one, caller)
    assert ended is not None
    assert (ended.result, ended.token) == ("captured", "pm_good"), one.why


async def test_the_child_is_connected_before_the_last_key_and_has_sent_nothing(gateway: Gateway) -> None:
    async with room(gateway) as one:
        caller = Caller()
        await keyed(one, caller, Prompt.CONFIRM_NUMBER)
        assert gateway.connections == 0, "a connection is not made before it is needed soon"
        one.key(1)
        await keyed(one, caller, Prompt.ASK_CODE)
        await asyncio.wait_for(gateway.opened.wait(), WAIT_S)
        assert (gateway.connections, gateway.shaken, gateway.requests) == (1, 1, 0)
        await captured(one, caller)
        assert (gateway.connections, gateway.requests) == (1, 1)


async def test_a_handshake_that_is_stuck_delays_no_key_and_ends_no_capture(gateway: Gateway) -> None:
    gateway.manners = [is_silent, answers]
    async with room(gateway, connect_s=1.0) as one:
        caller = Caller()
        await keyed(one, caller, Prompt.CONFIRM_EXPIRY)
        await asyncio.wait_for(gateway.opened.wait(), WAIT_S)
        one.key(1)
        await keyed(one, caller, Prompt.ASK_CODE)
        assert (gateway.connections, gateway.shaken) == (1, 0), "it is still under way"
        await captured(one, caller)
        assert gateway.requests == 1


async def test_a_connection_that_is_closed_between_keys_is_made_anew(gateway: Gateway) -> None:
    gateway.manners = [closes_at_once, answers]
    async with room(gateway) as one:
        caller = Caller()
        await keyed(one, caller, Prompt.ASK_CODE)
        await asyncio.wait_for(gateway.closed.wait(), WAIT_S)
        await captured(one, caller)
        assert gateway.requests == 1


async def test_a_wrong_certificate_does_not_end_the_call_before_the_last_key_and_then_takes_no_card(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, "elsewhere.test") as gateway, room(gateway) as one:
        caller = Caller()
        await keyed(one, caller, Prompt.ASK_CODE)
        await asyncio.wait_for(gateway.closed.wait(), WAIT_S)
        assert one.is_alive
        for code in caller.keys(Prompt.ASK_CODE):
            one.key(code)
        ended = await keyed(one, caller)
        assert ended is not None
        assert ended.result == "system_problem"
        assert one.why is not None
        assert "certificate" in one.why
        assert gateway.requests == 0


async def test_a_capture_that_ends_lets_go_of_its_connection(gateway: Gateway) -> None:
    async with room(gateway) as one:
        await keyed(one, Caller(), Prompt.ASK_CODE)
        await asyncio.wait_for(gateway.opened.wait(), WAIT_S)
        one.cancel()
        await asyncio.wait_for(gateway.closed.wait(), WAIT_S)
        assert gateway.requests == 0


# --- Where it is ----------------------------------------------------------------------------------------------------


async def test_a_hundred_callers_look_a_gateway_up_once(gateway: Gateway) -> None:
    whereabouts, heard = Whereabouts(), asyncio.Queue[list[str]]()
    for _ in range(100):
        whereabouts.tell(gateway.target(), heard.put_nowait)
    assert len(whereabouts._asked) == 1
    for _ in range(100):
        assert LOOPBACK in await asyncio.wait_for(heard.get(), WAIT_S)
    whereabouts.close()


@pytest.mark.parametrize("url", ["https://", "ftp://localhost", "http://localhost:1"])
async def test_an_address_that_is_not_right_is_not_looked_up(gateway: Gateway, url: str) -> None:
    whereabouts = Whereabouts()
    whereabouts.tell(msgspec.structs.replace(gateway.target(), url=url), pytest.fail)
    assert whereabouts._asked == {}
