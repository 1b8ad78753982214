"""What every message provider in the package promises, whoever it talks to; a new one is tested by being there.

The other side is a server that speaks the provider's own protocol, or a raw socket where a server would be too polite.
A new provider adds its `Side` to `SIDES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import pkgutil
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

import tenderline.messengers
from tenderline.config import SmtpSettings, TwilioSettings
from tenderline.core.errors import ConfigurationError, ForgedWebhookError, MalformedWebhookError, ProviderError
from tenderline.core.ids import uuid7
from tenderline.messengers.base import (
    Accepted,
    Busy,
    Channel,
    InboundSource,
    LeaseLost,
    Messenger,
    Outcome,
    OutgoingMessage,
    Refused,
    Unknown,
)
from tenderline.messengers.smtp import Smtp
from tenderline.messengers.twilio import Twilio
from tenderline_sandbox.carrier import Carrier
from tenderline_sandbox.carrier_api import CarrierApi
from tenderline_sandbox.faults import FaultSwitches
from tenderline_sandbox.mailbox import Mailbox
from tenderline_sandbox.settings import SandboxSettings
from tenderline_sandbox.smtp import SmtpServer
from tenderline_sandbox.webhook import WebhookPoster

# The successor of that fixture is a hook for all tests of a folder at once.
pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy:pytest.PytestDeprecationWarning")

SECRET = "contract-secret-0123456789"
TIMEOUT_S = 20.0
SHORT_S = 2.0
TEXT = "Hope House: your $25.00 payment didn't go through. Pay: https://pay.example.org/pay/"
HOST = "127.0.0.1"


def may() -> bool:
    return True


def members(protocol: Any) -> set[str]:
    return {name for name, member in vars(protocol).items() if inspect.isfunction(member) and name[0] != "_"}


def found(protocol: Any) -> list[type[Any]]:
    """Every class in the package that has all that the protocol asks for."""
    classes: list[type[Any]] = []
    for module_info in pkgutil.iter_modules(tenderline.messengers.__path__):
        module = importlib.import_module(f"{tenderline.messengers.__name__}.{module_info.name}")
        for _, member in inspect.getmembers(module, inspect.isclass):
            own = member.__module__ == module.__name__ and not getattr(member, "_is_protocol", False)
            if own and all(hasattr(member, name) for name in members(protocol)):
                classes.append(member)
    return classes


class Side(ABC):
    """The other side of one provider."""

    faults: FaultSwitches

    @abstractmethod
    async def start(self, stack: AsyncExitStack, scratch: Path) -> None: ...

    @abstractmethod
    def messenger(self, *, secret: str = SECRET, port: int | None = None, timeout_s: float = TIMEOUT_S) -> Messenger:
        """The provider, pointed at this side or at any port of this machine."""

    @abstractmethod
    def nowhere(self) -> Messenger:
        """The provider, pointed at a name that does not exist."""

    @abstractmethod
    def address(self, number: int = 0) -> str: ...

    @abstractmethod
    def forget(self, address: str) -> None:
        """From now on nobody has this address."""

    @abstractmethod
    def arrived(self) -> list[str]:
        """The text of each message that was taken."""

    @abstractmethod
    def play(self, connection: socket.socket) -> Callable[[bytes], bool]:
        """Speaks up to the point where only the message itself is missing; tells then whether bytes complete one."""

    def message(self, number: int = 0) -> OutgoingMessage:
        reference = uuid7()
        return OutgoingMessage(
            reference=reference,
            to=self.address(number),
            text=f"{TEXT}{reference.hex}",
            subject="Your payment to Hope House",
            planned_at=datetime.now(UTC),
        )


class CarrierSide(Side):
    """Twilio's: the carrier of the sandbox."""

    async def start(self, stack: AsyncExitStack, scratch: Path) -> None:
        self.settings = SandboxSettings(auth_token=SECRET, callback_delay_ms=0)
        self.faults = FaultSwitches()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        self.carrier = Carrier(self.settings, self.faults, WebhookPoster(http, FaultSwitches(), SECRET))
        stack.push_async_callback(self.carrier.stop)
        app = web.Application()
        app.add_routes(CarrierApi(self.carrier, self.settings).routes())
        self.server = await stack.enter_async_context(TestServer(app))

    def messenger(self, *, secret: str = SECRET, port: int | None = None, timeout_s: float = TIMEOUT_S) -> Messenger:
        return self._at(f"http://{HOST}:{port or self.server.port}", secret, timeout_s)

    def nowhere(self) -> Messenger:
        return self._at("http://nowhere.invalid", SECRET, TIMEOUT_S)

    def _at(self, api_url: str, secret: str, timeout_s: float) -> Messenger:
        settings = TwilioSettings(
            account_sid=self.settings.account_sid,
            auth_token=SecretStr(secret),
            from_number=self.settings.carrier_numbers[0],
            api_url=api_url,
            timeout_s=timeout_s,
        )
        return Twilio(settings, f"http://{HOST}:{unused_port()}")

    def address(self, number: int = 0) -> str:
        return f"+1202555{number:04d}"

    def forget(self, address: str) -> None:
        self.carrier.opted_out.add(address)

    def arrived(self) -> list[str]:
        return [message.body for message in self.carrier.messages.values()]

    def play(self, connection: socket.socket) -> Callable[[bytes], bool]:
        return lambda raw: b"SmartEncoded=false" in raw.partition(b"\r\n\r\n")[2]


class MailboxSide(Side):
    """SMTP's: the mailbox of the sandbox, with STARTTLS and a login."""

    async def start(self, stack: AsyncExitStack, scratch: Path) -> None:
        settings = SandboxSettings(
            smtp_username="tenderline",
            smtp_password=SECRET,
            smtp_starttls=True,
            smtp_certificate_path=str(scratch / "ca.pem"),
        )
        self.faults = FaultSwitches()
        http = await stack.enter_async_context(aiohttp.ClientSession())
        self.mailbox = Mailbox(self.faults, http)
        self.server = SmtpServer(self.mailbox, settings)
        stack.push_async_callback(self.server.stop)
        await self.server.start()

    def messenger(self, *, secret: str = SECRET, port: int | None = None, timeout_s: float = TIMEOUT_S) -> Messenger:
        values: dict[str, Any] = {"host": HOST, "port": port, "starttls": "never"}
        if port is None:
            values = {"host": HOST, "port": self.server.port, "ca_file": self.server.certificate_path}
            values |= {"username": "tenderline", "password": SecretStr(secret)}
        return Smtp(SmtpSettings(from_address="Hope House <give@hope.example.org>", timeout_s=timeout_s, **values))

    def nowhere(self) -> Messenger:
        return Smtp(SmtpSettings(host="nowhere.invalid", from_address="give@hope.example.org", timeout_s=TIMEOUT_S))

    def address(self, number: int = 0) -> str:
        return f"ann{number}@example.org"

    def forget(self, address: str) -> None:
        self.mailbox.reject(address)

    def arrived(self) -> list[str]:
        return [mail.text.strip() for mail in self.mailbox.mails.values()]

    def play(self, connection: socket.socket) -> Callable[[bytes], bool]:
        connection.sendall(b"220 here\r\n")
        with connection.makefile("rb") as lines:
            for line in lines:
                if line.startswith(b"DATA"):
                    break
                connection.sendall(b"250 yes\r\n")
        connection.sendall(b"354 go on\r\n")
        return lambda raw: raw.endswith(b"\r\n.\r\n")


SIDES: dict[type[Any], type[Side]] = {Twilio: CarrierSide, Smtp: MailboxSide}
MESSENGERS = found(Messenger)


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    """Both loops: the product runs on uvloop, whose transports are not asyncio's."""
    policy: asyncio.AbstractEventLoopPolicy = request.param()
    return policy


@pytest.fixture(params=MESSENGERS, ids=lambda kind: str(kind.name))
async def side(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Side]:
    assert request.param in SIDES, f"{request.param.__name__} needs a Side in SIDES to be tested against"
    other: Side = SIDES[request.param]()
    async with AsyncExitStack() as stack:
        await other.start(stack, tmp_path)
        yield other


@pytest.fixture
async def messenger(side: Side) -> AsyncIterator[Messenger]:
    opened = side.messenger()
    yield opened
    await opened.close()


async def handed_over(messenger: Messenger, message: OutgoingMessage, may_send: Callable[[], bool] = may) -> Outcome:
    """Sends, and looks at every word of the outcome: it goes to logs and timelines."""
    outcome = await messenger.send(message, may_send)
    told = repr(outcome)
    assert SECRET not in told
    assert message.text not in told
    assert isinstance(outcome, Accepted) or message.to not in told
    assert isinstance(outcome, Accepted | Refused | Busy | Unknown | LeaseLost)
    return outcome


class RawServer:
    """One connection, served by a thread: what it does goes on while the event loop stands still."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(TIMEOUT_S)
        self.port = self._listener.getsockname()[1]
        self._serve = serve
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(TIMEOUT_S)
        with connection, self._listener:
            self._serve(connection)

    async def ended(self) -> None:
        await asyncio.to_thread(self._thread.join)


def rest_of(connection: socket.socket, is_enough: Callable[[bytes], bool] = lambda _: False) -> bytes:
    """All that still comes, until it is enough or the other end hangs up."""
    raw = b""
    with contextlib.suppress(ConnectionResetError):  # so a message without its end is thrown away
        while not is_enough(raw) and (part := connection.recv(65_536)):
            raw += part
    return raw


def test_the_package_holds_the_messengers_that_are_tested() -> None:
    assert set(MESSENGERS) == set(SIDES)
    assert len({kind.name for kind in MESSENGERS}) == len(MESSENGERS)
    assert all(isinstance(kind.channel, Channel) for kind in MESSENGERS)


async def test_a_message_is_taken_once_and_named(side: Side, messenger: Messenger) -> None:
    message = side.message()
    outcome = await handed_over(messenger, message)
    assert isinstance(outcome, Accepted)
    assert outcome.provider_reference
    assert side.arrived() == [message.text]


async def test_many_messages_at_once_each_arrive_once(side: Side, messenger: Messenger) -> None:
    messages = [side.message(number) for number in range(40)]
    outcomes = await asyncio.gather(*(handed_over(messenger, message) for message in messages))
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len({outcome.provider_reference for outcome in outcomes if isinstance(outcome, Accepted)}) == 40
    assert sorted(side.arrived()) == sorted(message.text for message in messages)


async def test_without_the_right_to_send_nothing_is_sent(side: Side, messenger: Messenger) -> None:
    assert await handed_over(messenger, side.message(), lambda: False) == LeaseLost()
    assert side.arrived() == []
    assert isinstance(await handed_over(messenger, side.message()), Accepted)
    assert len(side.arrived()) == 1


async def test_the_right_to_send_is_asked_for_when_nothing_but_the_message_is_missing(side: Side) -> None:
    """The server stands ready whenever the question comes, so a process that slept before it asks when it wakes."""
    lost = 0
    for answers_yes in range(4):
        ready, seen = threading.Event(), bytearray()
        complete: list[bool] = []

        def serve(
            connection: socket.socket, ready: threading.Event = ready, seen: bytearray = seen, complete: Any = complete
        ) -> None:
            is_complete = side.play(connection)
            ready.set()
            seen += rest_of(connection, is_complete)
            complete.append(is_complete(bytes(seen)))

        asked: list[bool] = []

        def may_send(ready: threading.Event = ready, asked: list[bool] = asked, most: int = answers_yes) -> bool:
            asked.append(ready.wait(TIMEOUT_S))
            return len(asked) <= most

        server = RawServer(serve)
        messenger = side.messenger(port=server.port)
        outcome = await handed_over(messenger, side.message(), may_send)
        await messenger.close()
        await server.ended()
        assert asked, "it was never asked"
        assert all(asked), "it was asked before the connection stood"
        if answers_yes >= len(asked):
            assert isinstance(outcome, Unknown), "it was handed over, and the server hung up"
            assert complete == [True]
            break
        assert outcome == LeaseLost()
        assert complete == [False]
        assert seen == b"" or answers_yes > 0
        lost += 1
    assert lost


async def test_a_server_that_cannot_be_reached_was_surely_not_sent_to(side: Side) -> None:
    for messenger in (side.messenger(port=unused_port()), side.nowhere()):
        assert isinstance(await handed_over(messenger, side.message()), Busy)
        await messenger.close()


async def test_a_server_that_asks_us_to_slow_down_took_nothing(side: Side, messenger: Messenger) -> None:
    side.faults.update({"rate_limit_next": 2, "retry_after_s": 7})
    for _ in range(2):
        assert isinstance(await handed_over(messenger, side.message()), Busy)
    assert side.arrived() == []
    assert isinstance(await handed_over(messenger, side.message()), Accepted)


async def test_a_connection_cut_after_the_message_leaves_it_in_doubt_and_never_sends_twice(
    side: Side, messenger: Messenger
) -> None:
    side.faults.update({"drop_after_success_next": 1})
    message = side.message()
    assert isinstance(await handed_over(messenger, message), Unknown)
    assert side.arrived() == [message.text]
    if messenger.can_be_asked:
        assert isinstance(await messenger.find(message), Accepted)
        assert await messenger.find(side.message()) is None


async def test_an_answer_that_comes_too_late_leaves_the_message_in_doubt(side: Side) -> None:
    side.faults.update({"latency_ms": int(SHORT_S * 3000)})
    messenger = side.messenger(timeout_s=SHORT_S)
    assert isinstance(await handed_over(messenger, side.message()), Unknown)
    await messenger.close()


async def test_an_address_that_takes_no_messages_is_refused_and_learnt_from(side: Side, messenger: Messenger) -> None:
    side.forget(side.address(1))
    refused = await handed_over(messenger, side.message(1))
    assert isinstance(refused, Refused)
    assert refused.address_unusable or refused.opted_out
    assert isinstance(await handed_over(messenger, side.message(2)), Accepted)


async def test_wrong_credentials_are_our_fault_and_lose_nothing(side: Side) -> None:
    messenger = side.messenger(secret="wrong-secret")
    outcome = await handed_over(messenger, side.message())
    assert isinstance(outcome, Busy)
    assert outcome.retry_after_s is not None
    assert outcome.retry_after_s >= 300
    with pytest.raises((ConfigurationError, ProviderError)) as told:
        await messenger.check()
    assert "wrong-secret" not in str(told.value)
    await messenger.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"\x00" * 500,
        b"250 yes\r\n" * 8,
        b"999 what\r\n",
        b"220 " + b"x" * 70_000,
        b"554 go away\r\n",
        b"421 later\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b'HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{"sid": 4}',
        b'HTTP/1.1 201 Created\r\nContent-Length: 500\r\n\r\n{"sid": ',
        b"HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 400 Bad\r\nContent-Length: 3\r\n\r\n\xff\xfe{",
        b"HTTP/1.1 99999 Odd\r\n\r\n",
    ],
)
async def test_a_server_that_talks_nonsense_is_neither_believed_nor_feared(side: Side, answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        try:
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            return
        rest_of(connection)

    server = RawServer(serve)
    messenger = side.messenger(port=server.port, timeout_s=SHORT_S)
    assert isinstance(await handed_over(messenger, side.message()), Busy | Unknown | Refused)
    await messenger.close()
    await server.ended()


async def test_the_doctor_hears_what_answers_and_what_to_do_when_nothing_does(side: Side, messenger: Messenger) -> None:
    told = await messenger.check()
    assert told
    assert "\n" not in told
    assert SECRET not in told
    lost = side.messenger(port=unused_port())
    with pytest.raises((ConfigurationError, ProviderError)):
        await lost.check()
    await lost.close()


async def test_what_the_provider_does_not_know_teaches_nothing(messenger: Messenger) -> None:
    for reference in ("SM" + "0" * 32, "../../Accounts", "", "é\r\n"):
        assert await messenger.status(reference) is None


async def test_closing_twice_does_no_harm(side: Side, messenger: Messenger) -> None:
    await handed_over(messenger, side.message())
    await messenger.close()
    await messenger.close()


def _carrier_of(kind: type[Any]) -> Any:
    side = SIDES[kind]()
    assert isinstance(side, CarrierSide)
    side.settings = SandboxSettings(auth_token=SECRET)
    return side._at("http://127.0.0.1:1", SECRET, TIMEOUT_S)


@pytest.mark.parametrize("kind", found(InboundSource), ids=lambda kind: str(kind.name))
@given(url=st.text(max_size=40), headers=st.dictionaries(st.text(max_size=9), st.binary(max_size=9)), body=st.binary())
def test_an_unsigned_webhook_is_refused_whatever_it_holds(
    kind: type[Any], url: str, headers: dict[str, bytes], body: bytes
) -> None:
    source: Any = kind() if kind not in SIDES else _carrier_of(kind)
    with pytest.raises((ForgedWebhookError, MalformedWebhookError)):
        source.verify(url, headers, body)
