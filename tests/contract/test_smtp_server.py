"""What the SMTP messenger makes of each answer of a mail server, and what it says to one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tenderline.config import SmtpSettings
from tenderline.core.errors import ConfigurationError
from tenderline.core.ids import uuid7
from tenderline.messengers.base import Accepted, Busy, LeaseLost, Outcome, OutgoingMessage, Refused, Unknown
from tenderline.messengers.smtp import CONFIGURATION_RETRY_S, CONNECTIONS_MAX, Smtp, SmtpUnavailableError
from tenderline_sandbox.certificate import server_context
from tenderline_sandbox.faults import FaultSwitches
from tenderline_sandbox.mailbox import Mailbox
from tenderline_sandbox.settings import SandboxSettings
from tenderline_sandbox.smtp import SmtpServer

HOST = "127.0.0.1"
CUT = "cut"
SILENT = "silent"
TIMEOUT_S = 20.0


class Server:
    """A mail server that says what it is told to say: `answers` by command; CUT hangs up, SILENT waits."""

    def __init__(self, extensions: tuple[str, ...] = ("DSN", "SMTPUTF8"), **answers: str) -> None:
        self._extensions, self._answers = extensions, answers
        self.commands: list[str] = []
        self.contents: list[bytes] = []
        self.connections = 0
        self.open_now = self.open_most = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        try:
            await self._talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over
        finally:
            self.open_now -= 1
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = self._answers.get("GREETING", "220 here")
        while answer != CUT:
            if answer != SILENT:
                writer.write(answer.encode() + b"\r\n")
            if answer.startswith("354"):
                content = await reader.readuntil(b"\r\n.\r\n")
                self.contents.append(content)
                answer = self._answers.get("END", "250 2.0.0 taken")
                continue
            line = (await reader.readuntil(b"\r\n")).decode().rstrip()
            self.commands.append(line)
            answer = self._answer(line.split(" ")[0].upper())

    def _answer(self, command: str) -> str:
        if command == "EHLO" and command not in self._answers:
            lines = ["localhost", *self._extensions]
            return "\r\n".join(f"250{' ' if line == lines[-1] else '-'}{line}" for line in lines)
        return self._answers.get(command, {"DATA": "354 go on", "QUIT": "221 bye"}.get(command, "250 2.0.0 yes"))


@asynccontextmanager
async def smtp(server: Server, **changed: Any) -> AsyncIterator[Smtp]:
    """A messenger in front of that server."""
    listening = await asyncio.start_server(server.serve, HOST, 0, limit=1024 * 1024)
    async with listening:
        values = {"host": HOST, "port": listening.sockets[0].getsockname()[1], "starttls": "never"}
        opened = Smtp(SmtpSettings(**{**values, "from_address": "give@example.org", "timeout_s": TIMEOUT_S, **changed}))
        yield opened
        await opened.close()


def message(to: str = "ann+x@example.org", **changed: Any) -> OutgoingMessage:
    values: dict[str, Any] = {"reference": uuid7(), "to": to, "text": "pay\n.dot\n", "subject": "s"}
    return OutgoingMessage(**{**values, "planned_at": datetime.now(UTC), **changed})


async def sent(server: Server, to: str = "ann+x@example.org", **changed: Any) -> Outcome:
    async with smtp(server, **changed) as one:
        return await one.send(message(to), lambda: True)


async def test_a_mail_goes_out_with_its_envelope_and_asks_for_delivery_notices() -> None:
    server = Server()
    async with smtp(server) as one:
        mail = message()
        assert await one.send(mail, lambda: True) == Accepted(f"<{mail.reference}@example.org>")
    assert server.commands[:4] == [
        "EHLO example.org",
        f"MAIL FROM:<give@example.org> RET=HDRS ENVID={mail.reference}",
        "RCPT TO:<ann+x@example.org> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;ann+2Bx@example.org",
        "DATA",
    ]
    assert b"\r\n..dot\r\n" in server.contents[0]


async def test_a_server_without_delivery_notices_is_not_asked_for_them() -> None:
    server = Server(extensions=("SIZE 1000000",))
    assert isinstance(await sent(server), Accepted)
    assert server.commands[1:3] == ["MAIL FROM:<give@example.org>", "RCPT TO:<ann+x@example.org>"]


@pytest.mark.parametrize(
    ("step", "answer", "kind", "unusable"),
    [
        ("RCPT", "550 5.1.1 no such user", Refused, True),
        ("RCPT", "550 5.1.2 no such domain", Refused, True),
        ("RCPT", "550 5.1.10 null MX", Refused, True),
        ("RCPT", "550 5.1.8 sender's domain", Refused, False),
        ("RCPT", "550 5.7.1 not here", Refused, False),
        ("RCPT", "550 5.1.1x", Refused, False),
        ("RCPT", "550 no such user", Refused, False),
        ("RCPT", "450 4.2.1 greylisted", Busy, False),
        ("RCPT", "421 4.3.2 going down", Busy, False),
        ("RCPT", "220 what", Busy, False),
        ("RCPT", CUT, Busy, False),
        ("MAIL", "451 4.3.0 later", Busy, False),
        ("MAIL", "550 5.1.8 who are you", Busy, False),
        ("MAIL", "530 5.7.0 sign in", Busy, False),
        ("MAIL", CUT, Busy, False),
        ("DATA", "554 5.5.1 no", Refused, False),
        ("DATA", "451 later", Busy, False),
        ("DATA", "250 odd", Busy, False),
        ("DATA", CUT, Busy, False),
        ("END", "550 5.7.1 spam", Refused, False),
        ("END", "550 5.1.1 no such user after all", Refused, True),
        ("END", "451 4.3.0 later", Busy, False),
        ("END", "200 odd", Unknown, False),
        ("END", "354 odd", Unknown, False),
        ("END", "garbage", Unknown, False),
        ("END", CUT, Unknown, False),
        ("GREETING", "554 go away", Busy, False),
        ("GREETING", "421 later", Busy, False),
        ("GREETING", "garbage", Busy, False),
        ("GREETING", CUT, Busy, False),
        ("EHLO", CUT, Busy, False),
    ],
)
async def test_each_answer_means_taken_refused_busy_or_unknown(
    step: str, answer: str, kind: type, unusable: bool
) -> None:
    outcome = await sent(Server(**{step: answer}))
    assert isinstance(outcome, kind)
    if isinstance(outcome, Refused):
        assert outcome.address_unusable is unusable
    assert "example.org" not in repr(outcome)
    assert "such" not in repr(outcome), "the server's own words may hold anything"


@pytest.mark.parametrize(
    ("step", "answer"), [("MAIL", "530 5.7.0 sign in"), ("MAIL", "550 5.7.1 not you"), ("GREETING", "554 go away")]
)
async def test_what_is_wrong_with_us_waits_until_somebody_put_it_right(step: str, answer: str) -> None:
    outcome = await sent(Server(**{step: answer}))
    assert isinstance(outcome, Busy)
    assert outcome.retry_after_s == CONFIGURATION_RETRY_S


async def test_a_server_that_offers_no_starttls_gets_no_mail() -> None:
    server = Server()
    outcome = await sent(server, starttls="required")
    assert isinstance(outcome, Busy)
    assert outcome.retry_after_s == CONFIGURATION_RETRY_S
    assert "STARTTLS" in outcome.why
    assert server.commands == ["EHLO example.org"]


async def test_a_server_that_offers_no_login_gets_no_password() -> None:
    server = Server()
    outcome = await sent(server, username="u", password=SecretStr("p-a-s-s"))
    assert isinstance(outcome, Busy)
    assert outcome.retry_after_s == CONFIGURATION_RETRY_S
    assert server.commands == ["EHLO example.org"]


@asynccontextmanager
async def mailbox(scratch: Path) -> AsyncIterator[SmtpServer]:
    settings = SandboxSettings(smtp_starttls=True, smtp_certificate_path=str(scratch / "server-ca.pem"))
    server = SmtpServer(Mailbox(FaultSwitches(), None), settings)  # type: ignore[arg-type]
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize("trusted", ["nobody", "another authority", "the authority, by another name"])
async def test_a_certificate_that_is_not_the_server_s_ends_the_conversation(tmp_path: Path, trusted: str) -> None:
    async with mailbox(tmp_path) as server:
        host, ca_file = HOST, None
        if trusted == "another authority":
            ca_file = tmp_path / "other-ca.pem"
            server_context(HOST, ca_file)
        elif trusted != "nobody":
            host, ca_file = "127.1", server.certificate_path  # resolves to the server, and is not in its certificate
        one = Smtp(SmtpSettings(host=host, port=server.port, from_address="give@example.org", ca_file=ca_file))
        outcome = await one.send(message(), lambda: True)
        assert isinstance(outcome, Busy)
        assert outcome.retry_after_s == CONFIGURATION_RETRY_S
        assert "ca_file" in outcome.why
        with pytest.raises(ConfigurationError, match="ca_file"):
            await one.check()
        await one.close()


async def test_connections_are_kept_for_the_next_mail_and_never_more_than_a_few() -> None:
    server = Server()
    async with smtp(server) as one:
        for _ in range(3):
            assert isinstance(await one.send(message(), lambda: True), Accepted)
        assert server.connections == 1
        outcomes = await asyncio.gather(*(one.send(message(), lambda: True) for _ in range(CONNECTIONS_MAX * 3)))
        assert all(isinstance(outcome, Accepted) for outcome in outcomes)
        assert server.open_most <= CONNECTIONS_MAX
    assert len(server.contents) == 3 + CONNECTIONS_MAX * 3


async def test_a_kept_connection_that_died_is_replaced_before_anything_is_lost() -> None:
    server = Server(RSET=CUT)
    async with smtp(server) as one:
        for _ in range(3):
            assert isinstance(await one.send(message(), lambda: True), Accepted)
    assert server.connections == 3


async def test_a_connection_whose_last_answer_is_still_to_come_is_never_used_again() -> None:
    server = Server(END=SILENT)
    async with smtp(server, timeout_s=1) as one:
        assert isinstance(await one.send(message(), lambda: True), Unknown)
        server._answers.clear()
        assert isinstance(await one.send(message(), lambda: True), Accepted)
    assert server.connections == 2
    assert "RSET" not in server.commands


async def test_a_refused_recipient_does_not_spoil_the_next_mail() -> None:
    server = Server(RCPT="550 5.1.1 gone")
    async with smtp(server) as one:
        assert isinstance(await one.send(message(), lambda: True), Refused)
        server._answers.clear()
        assert isinstance(await one.send(message(), lambda: True), Accepted)
    assert server.connections == 1
    assert server.commands.count("RSET") == 1


async def test_a_lease_lost_after_the_content_withholds_the_dot() -> None:
    server = Server()
    said = iter([True, False])
    async with smtp(server) as one:
        assert await one.send(message(), lambda: next(said)) == LeaseLost()
        assert isinstance(await one.send(message(), lambda: True), Accepted)
    assert len(server.contents) == 1
    assert server.connections == 2


async def test_a_long_mail_arrives_whole() -> None:
    server = Server()
    text = "".join(f".line {number}\n" for number in range(20_000))
    async with smtp(server) as one:
        assert isinstance(await one.send(message(text=text), lambda: True), Accepted)
    assert server.contents[0].replace(b"\r\n..", b"\r\n.").endswith(text.replace("\n", "\r\n").encode() + b".\r\n")


async def test_an_address_beyond_ascii_goes_only_to_a_server_that_takes_it() -> None:
    server = Server()
    assert isinstance(await sent(server, "änn@example.org"), Accepted)
    assert server.commands[1].startswith("MAIL FROM:<give@example.org> SMTPUTF8")
    assert server.commands[2] == "RCPT TO:<änn@example.org> NOTIFY=SUCCESS,FAILURE,DELAY"
    outcome = await sent(Server(extensions=("DSN",)), "änn@example.org")
    assert isinstance(outcome, Refused)
    assert not outcome.address_unusable


async def test_what_cannot_be_written_is_refused_before_a_connection_is_made() -> None:
    server = Server()
    assert isinstance(await sent(server, "ann@example.org\r\nRCPT TO:<eve@example.org>"), Refused)
    assert server.connections == 0


async def test_the_doctor_hears_how_the_server_is_spoken_to() -> None:
    server = Server()
    async with smtp(server) as one:
        assert "in the clear" in await one.check()
    assert server.commands == ["EHLO example.org", "NOOP", "QUIT"]
    async with smtp(Server(GREETING="421 later")) as one:
        with pytest.raises(SmtpUnavailableError):
            await one.check()


async def test_a_mail_can_never_be_asked_about() -> None:
    async with smtp(Server()) as one:
        assert not one.can_be_asked
        assert await one.find(message()) is None
        assert await one.status("<x@example.org>") is None
