"""Somebody who takes our webhooks: a server with TLS, and a check of Standard Webhooks written from its specification.

Nothing of the product is used here, so that both would have to be wrong in the same way.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NAME = "crm.test"
TOLERANCE_S = 300


class WrongSignature(Exception):
    """The message is not from whoever has the secret, or not of now."""


def verify(secret: str, headers: Any, body: bytes, now_s: float | None = None) -> str:
    """The webhook-id, if one of the signatures fits (specification 1.0, "Verifying webhook authenticity")."""
    key = base64.b64decode(secret.split("_", 1)[1])
    name, stamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs((now_s or time.time()) - int(stamp)) > TOLERANCE_S:
        raise WrongSignature("too old or too new")
    expected = hmac.new(key, b".".join([name.encode(), stamp.encode(), body]), "sha256").digest()
    for one in headers["webhook-signature"].split(" "):
        version, _, signature = one.partition(",")
        if version == "v1" and hmac.compare_digest(base64.b64decode(signature), expected):
            return str(name)
    raise WrongSignature("no signature fits")


@dataclass
class Got:
    """One request as it came."""

    path: str
    headers: Any
    body: bytes


@dataclass
class Receiver:
    """Answers 200, or what `answers` holds next: a status, or a coroutine function that answers by itself."""

    url: str = ""
    port: int = 0
    got: list[Got] = field(default_factory=list)
    answers: deque[Any] = field(default_factory=deque)

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.got.append(Got(request.path_qs, request.headers.copy(), await request.read()))
        answer = self.answers.popleft() if self.answers else 200
        if callable(answer):
            made: web.StreamResponse = await answer(request)
            return made
        return web.Response(status=answer)

    def ids(self, secret: str) -> list[str]:
        """The webhook-ids of what came, each signature checked."""
        return [verify(secret, one.headers, one.body) for one in self.got]


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None, *, name: str = NAME) -> AsyncIterator[Receiver]:
    """A receiver on a port of loopback."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", receiver.take)
    runner = web.AppRunner(app, shutdown_timeout=1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        receiver.port = runner.addresses[0][1]
        receiver.url = f"https://{name}:{receiver.port}/hooks" if tls else f"http://127.0.0.1:{receiver.port}/hooks"
        yield receiver
    finally:
        await runner.cleanup()


def make_certificate(folder: Path, name: str = NAME) -> tuple[ssl.SSLContext, Path]:
    """(context of a server of this name, the file that trusts it)."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / f"{name}.pem", folder / f"{name}.key"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    return context, trusted


async def never(request: web.Request) -> web.StreamResponse:
    """Takes the request and says nothing."""
    del request
    await asyncio.sleep(60)
    return web.Response()


async def endless(request: web.Request) -> web.StreamResponse:
    """Says 200 and goes on talking."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b"x" * 65_536)


async def to_elsewhere(request: web.Request) -> web.StreamResponse:
    """Leads on to another path."""
    return web.Response(status=302, headers={"Location": str(request.url.with_path("/elsewhere"))})
