"""A sender that the machine stops while it connects, and that goes on after its lease ran out, sends nothing.

The sender is a process of its own, stopped by SIGSTOP as a suspended container is. The other side lets it connect and
takes no further step until the lease is over: no greeting by SMTP, no TLS handshake for HTTPS.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tenderline.core.clock import steady_s
from tenderline_sandbox.certificate import server_context

HOST = "127.0.0.1"
WAIT_S = 20.0
LEASE_S = 4.0

SENDER = """
import sys
from datetime import UTC, datetime
import uvloop
from pydantic import SecretStr
from tenderline.config import SmtpSettings, TwilioSettings
from tenderline.core.clock import steady_s
from tenderline.core.ids import uuid7
from tenderline.messengers.base import OutgoingMessage
from tenderline.messengers.smtp import Smtp
from tenderline.messengers.twilio import Twilio

kind, port, lease_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])

async def main():
    if kind == "smtp":
        to = "ann@example.org"
        one = Smtp(SmtpSettings(host="127.0.0.1", port=port, starttls="never", from_address="give@example.org"))
    else:
        to = "+12025550123"
        token, url = SecretStr("a-token"), f"https://127.0.0.1:{port}"
        settings = TwilioSettings(account_sid="AC1", auth_token=token, from_number="+12025550100", api_url=url)
        one = Twilio(settings, "https://pay.example.org")
    message = OutgoingMessage(reference=uuid7(), to=to, text="THE-TEXT", subject="s", planned_at=datetime.now(UTC))
    until = steady_s() + lease_s
    print(until, flush=True)
    print(type(await one.send(message, lambda: steady_s() < until)).__name__, flush=True)
    await one.close()

uvloop.run(main())
"""


def smtp_until_the_dot(connection: socket.socket) -> bytes:
    connection.sendall(b"220 here\r\n")
    seen = bytearray()
    with connection.makefile("rb") as lines:
        for line in lines:
            if line.startswith(b"DATA"):
                connection.sendall(b"354 go on\r\n")
                break
            connection.sendall(b"250 yes\r\n")
        for line in lines:
            seen += line
            if line == b".\r\n":
                connection.sendall(b"250 taken\r\n")
                break
    return bytes(seen)


def https_until_the_body(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head and (part := connection.recv(65_536)):
        head += part
    if b"SmartEncoded=false" in head:
        answer = b'{"sid": "SM1"}'
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(answer), answer))
    return head.partition(b"\r\n\r\n")[2]


class SlowServer:
    """Lets one client connect, and goes on when it is told to."""

    def __init__(self, kind: str, scratch: Path) -> None:
        self.ca_path = scratch / "ca.pem"
        self._tls: ssl.SSLContext | None = server_context(HOST, self.ca_path) if kind == "twilio" else None
        self._talk: Callable[[socket.socket], bytes] = {"smtp": smtp_until_the_dot, "twilio": https_until_the_body}[
            kind
        ]
        self._listener = socket.create_server((HOST, 0))
        self._listener.settimeout(WAIT_S)
        self.port = self._listener.getsockname()[1]
        self.connected, self.go_on, self.seen = threading.Event(), threading.Event(), b""
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(WAIT_S)
        with self._listener:
            self.connected.set()
            self.go_on.wait(WAIT_S)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            # Hanging up without a word is what it should do.
            with connection, contextlib.suppress(ConnectionResetError, ssl.SSLError):
                self.seen = self._talk(connection)


def outcome_of(kind: str, scratch: Path, lease_s: float, *, stopped: bool) -> tuple[str, bytes]:
    server = SlowServer(kind, scratch)
    environment = {**os.environ, "SSL_CERT_FILE": str(server.ca_path)}
    with subprocess.Popen(
        [sys.executable, "-c", SENDER, kind, str(server.port), str(lease_s)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as sender:
        assert sender.stdout is not None
        until = float(sender.stdout.readline())
        assert server.connected.wait(WAIT_S)
        if stopped:
            sender.send_signal(signal.SIGSTOP)
            assert steady_s() < until, "the machine is too slow to say anything about this lease"
            while steady_s() <= until:
                time.sleep(0.01)  # the lease is a matter of time: nothing else can be waited for
        server.go_on.set()
        sender.send_signal(signal.SIGCONT)
        outcome = sender.stdout.readline().strip()
        server.thread.join(WAIT_S)
        return outcome, server.seen


@pytest.mark.parametrize("kind", ["smtp", "twilio"])
def test_a_sender_stopped_while_it_connects_and_woken_after_its_lease_sends_nothing(kind: str, tmp_path: Path) -> None:
    outcome, seen = outcome_of(kind, tmp_path, LEASE_S, stopped=True)
    assert outcome == "LeaseLost"
    assert seen == b""


@pytest.mark.parametrize("kind", ["smtp", "twilio"])
def test_the_same_sender_left_alone_sends_its_message(kind: str, tmp_path: Path) -> None:
    outcome, seen = outcome_of(kind, tmp_path, WAIT_S, stopped=False)
    assert outcome == "Accepted"
    assert b"THE-TEXT" in seen
