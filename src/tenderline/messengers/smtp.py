"""E-mail by SMTP submission (RFC 5321, RFC 6409), one message a transaction, a few connections kept for the next.

The message is the server's when it answers 250 to the dot that ends it; until that dot is written nothing can have
been sent, and a 4xx or 5xx answer to it means that nothing was (RFC 5321, 4.2.1). SMTP cannot be asked afterwards.
Bounces come back as mail; reading them is not built yet, but each message carries our reference for it (RFC 3461).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from email import policy
from email.headerregistry import Address, BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import EmailPolicy
from email.utils import parseaddr
from ipaddress import ip_address
from typing import Final, cast

import msgspec
from aiosmtplib import SMTP, SMTPException, SMTPResponseException, SMTPServerDisconnected

from tenderline.config import SmtpSettings
from tenderline.core.clock import utc_now
from tenderline.core.errors import ConfigurationError, ProviderError
from tenderline.messengers.base import (
    Accepted,
    Busy,
    Channel,
    LeaseLost,
    Outcome,
    OutgoingMessage,
    Receipt,
    Refused,
    Unknown,
)

CONNECTIONS_MAX: Final = 10
IDLE_S_MAX: Final = 15.0
CONNECT_ANSWERS_MAX: Final = 3
"""Connecting asks several questions; all together may take so many times `timeout_s`."""
CONFIGURATION_RETRY_S: Final = 300.0
CONTENT_BYTES_MAX: Final = 512 * 1024
SUBJECT_LENGTH_MAX: Final = 300
URL_LENGTH_MAX: Final = 900  # RFC 5322, 2.1.1: a line has 998 characters at most
TLS_PORT: Final = 465  # RFC 8314, 3.3: TLS from the first byte

_OK: Final = 250
_GO_ON: Final = 354
_LOGIN_CODES: Final = frozenset({530, 534, 535, 538})  # RFC 4954, 6
# RFC 3463, 3.2: of 5.1.x these speak of the sender's address, not of the recipient's.
_SENDER_STATUS: Final = frozenset({"5.1.7", "5.1.8", "5.1.9"})
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?=\s|$)", re.ASCII)
_LOCAL = re.compile(r"[^\s@<>\"(),:;\[\\\]\x00-\x1f\x7f-\x9f\u2028\u2029]{1,64}")
_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class SmtpUnavailableError(ProviderError):
    """The mail server does not answer; see that smtp.host and smtp.port are right and that it runs."""

    code = "smtp_unavailable"


class Mail(msgspec.Struct, frozen=True, kw_only=True):
    """One message, ready for the wire."""

    sender: str
    recipient: str
    message_id: str
    reference: str
    content: bytes
    """With CRLF line ends, not yet dot-stuffed."""

    @property
    def needs_utf8(self) -> bool:
        """Whether an address is beyond ASCII, which only some servers take (RFC 6531)."""
        return not (self.sender.isascii() and self.recipient.isascii())


class UnwritableMailError(Exception):
    """A message that cannot be written as mail; `code` and the text go into a `Refused`."""

    def __init__(self, code: str, why: str, *, address_unusable: bool = False) -> None:
        super().__init__(why)
        self.refused = Refused(code=code, why=why, address_unusable=address_unusable)


class _Unfolded(UnstructuredHeader, BaseHeader):
    """A header whose value is one long word. Python would fold such a word into encoded words, which break a link."""

    def fold(self, *, policy: object) -> str:
        return f"{self.name}: {self}\r\n"


def _policy(*, utf8: bool) -> EmailPolicy[EmailMessage]:
    headers = HeaderRegistry()
    for name in ("list-unsubscribe", "message-id"):
        headers.map_to_type(name, _Unfolded)
    return policy.SMTP.clone(header_factory=headers, utf8=utf8, max_line_length=76)  # RFC 2045, 6.7: 76, not 78


def compose(sender: Address, message: OutgoingMessage, now: datetime) -> Mail:
    """Writes a message as mail: text, HTML beside it, and what mailbox providers ask of bulk senders.

    List-Unsubscribe with one click: RFC 8058. Auto-Submitted: RFC 3834. Raises `UnwritableMailError`.
    """
    recipient = _address(message.to)
    for what, value, most in (
        ("subject", message.subject, SUBJECT_LENGTH_MAX),
        ("unsubscribe address", message.unsubscribe_url, URL_LENGTH_MAX),
    ):
        if _UNSAFE.search(value) or len(value) > most:
            raise UnwritableMailError("header_unsafe", f"the {what} is too long, or holds a control character")
    mail = EmailMessage(policy=_policy(utf8=not (recipient.addr_spec + sender.addr_spec).isascii()))
    mail["From"] = sender
    mail["To"] = recipient
    mail["Subject"] = message.subject
    mail["Date"] = now
    mail["Message-ID"] = f"<{message.reference}@{sender.domain}>"
    if message.unsubscribe_url:
        if not re.fullmatch(r"https?://[!-;=?-~]+", message.unsubscribe_url):
            raise UnwritableMailError("header_unsafe", "the unsubscribe address is not a link")
        mail["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    try:
        mail.set_content(message.text, charset="utf-8", cte="quoted-printable")
        if message.html:
            mail.add_alternative(message.html, subtype="html", charset="utf-8", cte="quoted-printable")
        content = mail.as_bytes()
    except UnicodeError:
        raise UnwritableMailError("text_unsafe", "the text holds half a character") from None
    if len(content) > CONTENT_BYTES_MAX:
        raise UnwritableMailError("too_large", f"the message has more than {CONTENT_BYTES_MAX} bytes")
    return Mail(
        sender=sender.addr_spec,
        recipient=recipient.addr_spec,
        message_id=str(mail["Message-ID"]),
        reference=str(message.reference),
        content=content,
    )


class Smtp:
    """One mail server that takes our messages."""

    name = "smtp"
    channel = Channel.EMAIL
    can_be_asked = False

    def __init__(self, settings: SmtpSettings) -> None:
        if settings.host is None:
            raise ConfigurationError("smtp.host is missing.")
        display_name, addr_spec = parseaddr(settings.from_address or "")
        try:
            plain = _address(addr_spec)
        except UnwritableMailError:
            raise ConfigurationError("smtp.from_address is missing or no address; write give@example.org.") from None
        if _UNSAFE.search(settings.from_address or ""):
            raise ConfigurationError("smtp.from_address holds a control character.")
        clear = settings.starttls == "never" and settings.port != TLS_PORT
        if clear and settings.password is not None and not _is_loopback(settings.host):
            raise ConfigurationError("smtp.starttls = 'never' would send the password in the clear; use 'required'.")
        try:
            self._tls = None if clear else ssl.create_default_context(cafile=settings.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(f"smtp.ca_file holds no certificates that can be read: {error}") from error
        self._sender = Address(display_name=display_name, username=plain.username, domain=plain.domain)
        self._host, self._settings = settings.host, settings
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)
        self._idle: list[tuple[SMTP, float]] = []

    async def send(self, message: OutgoingMessage, may_send: Callable[[], bool]) -> Outcome:
        """See `Messenger.send`."""
        try:
            mail = compose(self._sender, message, utc_now())
        except UnwritableMailError as error:
            return error.refused
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            return Busy(why="all connections to the mail server were taken")
        try:
            async with self._connection() as client:
                outcome = await self._offer(client, mail)
                return await self._commit(client, mail, may_send) if outcome is None else outcome
        except (SMTPException, OSError, ValueError) as error:
            return _not_sent(error)
        finally:
            self._slots.release()

    async def _offer(self, client: SMTP, mail: Mail) -> Outcome | None:
        """Everything up to the content; None when the server waits for it. Raises only what means "not sent"."""
        encoding, for_sender, for_recipient = "ascii", list[str](), list[str]()
        if mail.needs_utf8:
            if not client.supports_extension("smtputf8"):
                return Refused(code="smtputf8", why="this mail server takes no addresses beyond ASCII (RFC 6531)")
            encoding = "utf-8"
            for_sender.append("SMTPUTF8")
        if client.supports_extension("dsn"):
            for_sender += ["RET=HDRS", f"ENVID={_xtext(mail.reference)}"]
            for_recipient.append("NOTIFY=SUCCESS,FAILURE,DELAY")
            if not mail.needs_utf8:
                for_recipient.append(f"ORCPT=rfc822;{_xtext(mail.recipient)}")
        step = "MAIL"
        try:
            await client.mail(mail.sender, options=for_sender, encoding=encoding)
            step = "RCPT"
            await client.rcpt(mail.recipient, options=for_recipient, encoding=encoding)
        except SMTPResponseException as error:
            return _negative(error.code, error.message, step)
        ready = await client.execute_command(b"DATA")
        return None if ready.code == _GO_ON else _negative(ready.code, ready.message, "DATA")

    async def _commit(self, client: SMTP, mail: Mail, may_send: Callable[[], bool]) -> Outcome:
        """The content, and then the dot that makes it the server's: `may_send` is asked before either is written.

        The content leaves this process before the second question, so that a process that was stopped in between
        finds nothing but the dot left to write, and does not write it. A message without its dot is thrown away
        (RFC 5321, 4.1.1.4). Raises only what means "not sent".
        """
        # Not by isinstance: uvloop's transports do not inherit from asyncio's.
        protocol, transport = client.protocol, cast("asyncio.WriteTransport | None", client.transport)
        if protocol is None or transport is None:
            raise SMTPServerDisconnected("the connection was lost")
        if not may_send():
            _drop(client)
            return LeaseLost()
        transport.set_write_buffer_limits(high=1, low=0)
        protocol.write(mail.content.replace(b"\r\n.", b"\r\n.."))
        async with asyncio.timeout(self._settings.timeout_s):
            await protocol._drain_helper()  # what StreamWriter.drain calls; aiosmtplib has no name of its own for it
        if not may_send():
            _drop(client)
            return LeaseLost()
        protocol.write(b".\r\n")
        try:
            answer = await protocol.read_response(timeout=self._settings.timeout_s)
        except (SMTPException, OSError) as error:
            _drop(client)
            return Unknown(why=f"the mail server did not say whether it took it ({type(error).__name__})")
        if answer.code == _OK:
            return Accepted(mail.message_id)
        if 400 <= answer.code < 600:
            return _negative(answer.code, answer.message, "end of DATA")
        _drop(client)
        return Unknown(why=f"the mail server answered {answer.code} to the whole message")

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[SMTP]:
        """A connection that waits for MAIL. It is kept only when the transaction on it came to a plain end."""
        client = await self._reused() or await self._connected()
        ended_plainly = False
        try:
            yield client
            ended_plainly = client.is_connected
        finally:
            if ended_plainly and len(self._idle) < CONNECTIONS_MAX:
                self._idle.append((client, asyncio.get_running_loop().time()))
            else:
                _drop(client)

    async def _reused(self) -> SMTP | None:
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and asyncio.get_running_loop().time() - since < IDLE_S_MAX:
                try:
                    await client.rset()
                except (SMTPException, OSError):
                    pass
                else:
                    return client
            _drop(client)
        return None

    async def _connected(self) -> SMTP:
        settings = self._settings
        implicit_tls = settings.port == TLS_PORT
        client = SMTP(
            hostname=self._host,
            port=settings.port,
            username=settings.username,
            password=None if settings.password is None else settings.password.get_secret_value(),
            local_hostname=self._sender.domain,
            timeout=settings.timeout_s,
            use_tls=implicit_tls,
            start_tls=self._tls is not None and not implicit_tls,
            tls_context=self._tls,
        )
        async with asyncio.timeout(settings.timeout_s * CONNECT_ANSWERS_MAX):
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        return client

    async def find(self, message: OutgoingMessage) -> Accepted | Refused | None:
        """Never called: `can_be_asked` says no."""
        return None

    async def status(self, provider_reference: str) -> Receipt | None:
        """SMTP has nobody to ask; delivery notices come back as mail."""
        return None

    async def check(self) -> str:
        """See `Messenger.check`."""
        try:
            client = await self._connected()
            try:
                await client.noop()
                with contextlib.suppress(SMTPException, OSError):
                    await client.quit()
            finally:
                _drop(client)
        except (SMTPException, OSError, ValueError) as error:
            told = _not_sent(error)
            if told.retry_after_s is not None:
                raise ConfigurationError(f"Mail: {told.why}.") from None
            raise SmtpUnavailableError(f"{self._host}:{self._settings.port}: {told.why}.") from None
        encrypted = "in the clear" if self._tls is None else "encrypted"
        signed_in = "" if self._settings.username is None else ", signed in"
        return f"{self._host}:{self._settings.port} takes mail, {encrypted}{signed_in}"

    async def close(self) -> None:
        """See `Messenger.close`."""
        while self._idle:
            client, _ = self._idle.pop()
            with contextlib.suppress(SMTPException, OSError):
                await client.quit()
            _drop(client)


def _address(text: str) -> Address:
    """One bare address. What could end a header, start a parameter or name a second person is refused."""
    local, _, domain = text.rpartition("@")
    try:
        domain = domain.encode("idna").decode("ascii")
    except UnicodeError:
        domain = ""
    if not _LOCAL.fullmatch(local) or _UNSAFE.search(local) or not _DOMAIN.fullmatch(domain) or ".." in text:
        raise UnwritableMailError("address_malformed", "the address is not one", address_unusable=True)
    return Address(username=local, domain=domain)


def _negative(code: int, text: str, step: str) -> Refused | Busy:
    """What a negative answer means. 5xx to MAIL is about us as a sender, so it is no reason to give the person up."""
    found = _ENHANCED.match(text)
    status = found.group() if found else str(code)
    if code in _LOGIN_CODES or (step == "MAIL" and 500 <= code < 600):
        why = f"the mail server does not let us send ({status} to {step}): check smtp.*"
        return Busy(why=why, retry_after_s=CONFIGURATION_RETRY_S)
    if not 500 <= code < 600:
        return Busy(why=f"the mail server asked us to come again ({status} to {step})")
    gone = step in ("RCPT", "end of DATA") and status.startswith("5.1.") and status not in _SENDER_STATUS
    return Refused(code=status, why=f"the mail server refused it ({status} to {step})", address_unusable=gone)


def _not_sent(error: Exception) -> Busy:
    """Why a connection could not be made or was lost before the end of a message; never the server's own words."""
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(cause, ssl.SSLError):
        detail = cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else cause.reason
        why = f"TLS with the mail server failed ({detail}): check smtp.host and smtp.ca_file"
    elif isinstance(error, SMTPResponseException):
        if not 500 <= error.code < 600:
            return Busy(why=f"the mail server asked us to come again ({error.code})")
        why = f"the mail server turned us away ({error.code}): check smtp.username and smtp.password"
    elif type(error) is SMTPException:  # its subclasses are about one answer or one connection
        why = "the mail server offers no STARTTLS, or no login that we know: check smtp.*"
    else:
        return Busy(why=f"the mail server could not be reached ({type(error).__name__})")
    return Busy(why=why, retry_after_s=CONFIGURATION_RETRY_S)


def _drop(client: SMTP) -> None:
    """Ends a connection at once: what was not written yet is never written."""
    if client.transport is not None:
        cast("asyncio.WriteTransport", client.transport).abort()
    client.close()


def _xtext(text: str) -> str:
    """RFC 3461, 4: printable ASCII without `+` and `=`, the rest in hexadecimal."""
    return "".join(
        character if "!" <= character <= "~" and character not in "+=" else f"+{ord(character):02X}"
        for character in text
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
