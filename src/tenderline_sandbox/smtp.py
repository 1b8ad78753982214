"""The mailbox's wire: a real SMTP server on loopback, with STARTTLS and a login when the settings ask for them.

Once TLS is on it is required: a client that falls back to clear text is found out here, not in production.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import ssl
import tempfile
import weakref
from pathlib import Path
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session, TLSSetupException

from tenderline_sandbox.certificate import server_context
from tenderline_sandbox.mailbox import MAIL_BYTES_MAX, Mailbox, MailboxError
from tenderline_sandbox.settings import LOOPBACK, SandboxSettings

_log = logging.getLogger(__name__)

IDLE_TIMEOUT_S: Final = 300.0
RECIPIENTS_MAX: Final = 100


class SmtpServer:
    """Listens on loopback and fills the mailbox."""

    def __init__(self, mailbox: Mailbox, settings: SandboxSettings) -> None:
        self._mailbox = mailbox
        self._settings = settings
        self._server: asyncio.Server | None = None
        self._tls: ssl.SSLContext | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._connections: weakref.WeakSet[SMTP] = weakref.WeakSet()
        self.host: Final = LOOPBACK
        self.port = settings.smtp_port
        self.certificate_path: Path | None = None
        """What clients trust; None without STARTTLS."""

    async def start(self) -> None:
        """Opens the port; the certificate is there before the first client can be."""
        if self._settings.smtp_starttls:
            self._tls = await asyncio.to_thread(self._make_certificate)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Closes the port and every connection."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                _abort(connection)
            await self._server.wait_closed()
            self._server = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def _make_certificate(self) -> ssl.SSLContext:
        if self._settings.smtp_certificate_path is not None:
            self.certificate_path = Path(self._settings.smtp_certificate_path)
        else:
            self._scratch = tempfile.TemporaryDirectory(prefix="tenderline-sandbox-")
            self.certificate_path = Path(self._scratch.name) / "smtp-ca.pem"
        return server_context(self.host, self.certificate_path)

    def _connection(self) -> SMTP:
        connection = SMTP(
            _Handler(self._mailbox, login_required=self._settings.smtp_username is not None),
            hostname="localhost",
            ident="Sandbox mailbox",
            data_size_limit=MAIL_BYTES_MAX,
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            require_starttls=self._tls is not None,
            auth_require_tls=self._tls is not None,
            authenticator=self._login,
            auth_exclude_mechanism=[] if self._settings.smtp_username is not None else ["LOGIN", "PLAIN"],
            timeout=IDLE_TIMEOUT_S,
            loop=asyncio.get_running_loop(),
        )
        self._connections.add(connection)
        return connection

    def _login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: Any) -> AuthResult:
        if not isinstance(given, LoginPassword) or self._settings.smtp_username is None:
            return AuthResult(success=False, handled=False)
        user, password = self._settings.smtp_username.encode(), (self._settings.smtp_password or "").encode()
        # Both are compared whatever the first says: the time taken tells nothing.
        matches = hmac.compare_digest(given.login, user) & hmac.compare_digest(given.password, password)
        return AuthResult(success=matches, handled=False)


class _Handler:
    """What happens at each step of one conversation; method names are aiosmtpd's hooks."""

    def __init__(self, mailbox: Mailbox, *, login_required: bool) -> None:
        self._mailbox = mailbox
        self._login_required = login_required

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Where a busy server turns a message away: by turns for this message (451) and for this connection (421)."""
        if self._login_required and not session.authenticated:
            return "530 5.7.0 Authentication required"
        faults = self._mailbox.faults
        this_message_only = faults.rate_limit_next % 2 == 1
        if faults.take("rate_limit_next"):
            if this_message_only:
                return f"451 4.7.1 Too many messages; try again in {faults.retry_after_s} s"
            await server.push("421 4.7.0 Too many messages; closing the connection")
            return await _hang_up(server, graceful=True)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Refuses mailboxes that are registered as gone."""
        if address.lower() in self._mailbox.rejected:
            return f"550 5.1.1 <{address}>: Recipient address rejected: no such mailbox"
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Stores the message, unless a switch says otherwise; a slow answer comes after the deed."""
        faults = self._mailbox.faults
        if faults.take("fail_before_next"):
            await asyncio.sleep(faults.latency_ms / 1000)
            return "550 5.7.1 Message refused on purpose"
        try:
            mails = self._mailbox.store(envelope.rcpt_tos, bytes(envelope.original_content or b""))
        except MailboxError as error:
            return f"554 5.6.0 {error}"
        await asyncio.sleep(faults.latency_ms / 1000)
        if faults.take("drop_after_success_next"):
            return await _hang_up(server, graceful=False)
        if faults.take("fail_after_success_next"):
            return "451 4.3.0 Local error in processing"
        return f"250 2.0.0 OK queued as {mails[0].id}"

    async def handle_exception(self, error: Exception) -> str:
        """A client that does not like our certificate goes away, which is its right; anything else is a defect here."""
        if not isinstance(error, TLSSetupException | ConnectionError):
            _log.error("an SMTP conversation failed", exc_info=error)
        return "451 4.3.0 Internal error of the sandbox"


async def _hang_up(server: SMTP, *, graceful: bool) -> str:
    """Ends the connection; the server cancels this very task as soon as it notices, so nothing more is written."""
    if graceful and server.transport is not None:
        server.transport.close()
    else:
        _abort(server)
    await asyncio.Event().wait()
    return ""


def _abort(server: SMTP) -> None:
    with contextlib.suppress(RuntimeError):  # the loop under it may be gone already
        if isinstance(server.transport, asyncio.Transport):
            server.transport.abort()
