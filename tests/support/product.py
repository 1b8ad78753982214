"""The product as real processes on a test's database, with the whole sandbox on the other side."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg

from tenderline.demo.stage import free_port
from tenderline_sandbox.app import Sandbox, SandboxSettings

WAIT_S = 60.0
POLL_S = 0.02
SECRET = "whsec_of_the_test"
FATAL_STEPS = Path(__file__).with_name("fatal_steps.py")


async def until(look: Callable[[], Any], what: str) -> Any:
    """Looks until there is something; fails with what was waited for."""
    deadline = time.monotonic() + WAIT_S
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {WAIT_S:.0f} s in vain for {what}"
        await asyncio.sleep(POLL_S)


@dataclass
class Town:
    """A sandbox, a database, and processes of the product that a test starts, stops and kills."""

    sandbox: Sandbox
    database_url: str
    data_dir: Path
    http: aiohttp.ClientSession
    ports: list[int]
    settings: dict[str, str] = field(default_factory=dict)
    _children: list[asyncio.subprocess.Process] = field(default_factory=list)

    def environment(self, port: int) -> dict[str, str]:
        """What a process of the product reads its settings from."""
        values = {
            "ORGANISATION": "Riverside Food Bank",
            "PUBLIC_URL": f"http://127.0.0.1:{self.ports[0]}",
            "DATA_DIR": str(self.data_dir),
            "DATABASE_URL": self.database_url,
            "SECRET_KEY": "a secret key of the tests, long enough",
            "LOG_LEVEL": "warning",
            "API__BIND_PORT": str(port),
            "STRIPE__API_KEY": self.sandbox.settings.api_key,
            "STRIPE__API_URL": self.sandbox.url,
            "STRIPE__WEBHOOK_SECRETS": SECRET,
            "TWILIO__ACCOUNT_SID": self.sandbox.settings.account_sid,
            "TWILIO__AUTH_TOKEN": self.sandbox.settings.auth_token,
            "TWILIO__FROM_NUMBER": self.sandbox.settings.carrier_numbers[0],
            "TWILIO__API_URL": self.sandbox.url,
            "SMTP__HOST": self.sandbox.smtp_host,
            "SMTP__PORT": str(self.sandbox.smtp_port),
            "SMTP__STARTTLS": "never",
            "SMTP__FROM_ADDRESS": "giving@riverside.example",
            "RECOVERY__MERGE_HOLD_S": "0",
            "WORKER__TICK_S": "0.1",
            "WORKER__LEASE_S": "1",
            "WORKER__DOUBT_SETTLE_S": "1",
            "WORKER__RECEIPT_POLL_AFTER_S": "1",
            **self.settings,
        }
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("TENDERLINE_")}
        return inherited | {f"TENDERLINE_{key}": value for key, value in values.items()}

    async def start(
        self, command: str, *, port: int = 0, fatal: str = "", log: Path | None = None
    ) -> asyncio.subprocess.Process:
        """`tenderline {command}`; with `fatal`, one that kills or stops itself at that step of its work. It writes into
        `log`, or where the test does."""
        program = [str(FATAL_STEPS), fatal] if fatal else ["-m", "tenderline"]
        environment = self.environment(port or self.ports[0])
        with log.open("ab") if log else nullcontext() as said:
            child = await asyncio.create_subprocess_exec(
                sys.executable, *program, command, env=environment, cwd="/", stdout=said, stderr=said
            )
        self._children.append(child)
        if command == "api":
            await until(lambda: self._answers(port or self.ports[0]), "the API to answer")
        return child

    async def _answers(self, port: int) -> bool:
        try:
            async with self.http.get(f"http://127.0.0.1:{port}/health/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def stop(self, child: asyncio.subprocess.Process) -> None:
        """Ends a process as an operator would."""
        if child.returncode is None:
            child.send_signal(signal.SIGCONT)
            child.terminate()
            try:
                await asyncio.wait_for(child.wait(), WAIT_S)
            except TimeoutError:
                child.kill()
                await child.wait()
                raise AssertionError("a process did not stop when asked to") from None

    async def stop_all(self) -> None:
        """Ends whatever still runs."""
        for child in self._children:
            if child.returncode is None:
                child.kill()
                await child.wait()

    async def post(self, body: bytes, *, port: int = 0, secret: str = SECRET) -> int:
        """Posts a webhook in Stripe's name; the status, or 0 when nobody answered."""
        stamp = str(int(time.time()))
        mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        url = f"http://127.0.0.1:{port or self.ports[0]}/webhooks/stripe"
        try:
            async with self.http.post(url, data=body, headers={"Stripe-Signature": f"t={stamp},v1={mac}"}) as response:
                return response.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            return 0

    def texts(self, number: str | None = None) -> list[Any]:
        """What the carrier took for a number, or for all."""
        return [one for one in self.sandbox.carrier.newest_first() if not one.inbound and number in (None, one.to)]

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Rows of the product's database."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    async def fetchval(self, sql: str, *values: Any) -> Any:
        """The first value of the first row."""
        rows = await self.fetch(sql, *values)
        return rows[0][0] if rows else None


@asynccontextmanager
async def open_town(database_url: str, data_dir: Path, **settings: str) -> AsyncIterator[Town]:
    """A town with nobody at work yet. `settings` are environment keys without their prefix."""
    ports = [free_port(), free_port()]
    product_url = f"http://127.0.0.1:{ports[0]}"
    sandbox_settings = SandboxSettings(product_url=product_url, webhook_secret=SECRET, callback_delay_ms=0)
    timeout = aiohttp.ClientTimeout(total=30)
    async with Sandbox(sandbox_settings) as sandbox, aiohttp.ClientSession(timeout=timeout) as http:
        town = Town(sandbox, database_url, data_dir, http, ports, settings)
        try:
            yield town
        finally:
            await town.stop_all()


def failed_payment(transaction_id: str, *, phone: str | None = None, email: str | None = None) -> bytes:
    """A declined card in Stripe's shape, as our own words put it."""
    contact = {key: value for key, value in {"phone": phone, "email": email, "name": "Pat Payer"}.items() if value}
    intent = {
        "id": transaction_id,
        "object": "payment_intent",
        "amount": 2500,
        "currency": "usd",
        "status": "requires_payment_method",
        "last_payment_error": {
            "code": "card_declined",
            "decline_code": "insufficient_funds",
            "payment_method": {"billing_details": contact},
        },
    }
    return event(f"evt_{transaction_id}_failed", "payment_intent.payment_failed", intent)


def succeeded_payment(transaction_id: str) -> bytes:
    """The same payment, paid."""
    intent = {
        "id": transaction_id,
        "object": "payment_intent",
        "amount": 2500,
        "currency": "usd",
        "status": "succeeded",
    }
    return event(f"evt_{transaction_id}_succeeded", "payment_intent.succeeded", intent)


def event(event_id: str, kind: str, subject: dict[str, Any]) -> bytes:
    """A webhook's body."""
    stamp = int(time.time())
    body = {"id": event_id, "object": "event", "type": kind, "created": stamp, "data": {"object": subject}}
    return json.dumps(body).encode()
