"""Webhooks to the product as Stripe delivers them: signed anew at each try, tried again until the product says 2xx.

The Stripe server behind the bank posts each event once, to the relay; made-up events enter here directly. Bodies are
passed on byte for byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import aiohttp

from tenderline_sandbox.bank_ledger import Bounded
from tenderline_sandbox.bank_wire import TIMEOUT_S, BankError, BankSettings, Json
from tenderline_sandbox.faults import FaultSwitches

_log = logging.getLogger(__name__)

EVENTS_KEPT_MAX: Final = 2_000
TRIES_MAX: Final = 30
_UNDELIVERED_MAX: Final = 2_000
_AT_ONCE_MAX: Final = 16
_PAUSE_S_FIRST: Final = 0.25
_PAUSE_S_MAX: Final = 10.0
_ANSWER_BYTES_READ: Final = 1_024
_SECRETS_MAX: Final = 2
_SIGNATURE: Final = re.compile(r"t=([0-9]{1,12}),v1=([0-9a-f]{64})")


class DeliveryState(StrEnum):
    """What became of an event."""

    PENDING = "pending"
    DELIVERED = "delivered"
    LOST = "lost"
    GIVEN_UP = "given up"
    NOWHERE = "nowhere to go"


@dataclass
class Delivery:
    """One event on its way to the product."""

    event_id: str
    event_type: str
    subject: str
    body: bytes
    created_unix_s: int
    origin: str
    """Who made it: `bank` or `localstripe`."""
    state: DeliveryState = DeliveryState.PENDING
    tries: int = 0
    status: int | None = None
    """The product's last HTTP status; None while it has not answered."""
    error: str | None = None
    finished: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    def summary(self) -> Json:
        """One row of the list of events."""
        return {
            "id": self.event_id,
            "type": self.event_type,
            "subject": self.subject,
            "origin": self.origin,
            "created": self.created_unix_s,
            "state": self.state.value,
            "tries": self.tries,
            "status": self.status,
            "error": self.error,
        }


def signature(body: bytes, secrets: tuple[str, ...], at_unix_s: int) -> str:
    """The `Stripe-Signature` header: one v1 a secret, so that a receiver may know either of two."""
    signed = b"%d.%b" % (at_unix_s, body)
    digests = (hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets)
    return ",".join([f"t={at_unix_s}", *(f"v1={digest}" for digest in digests)])


class Relay:
    """Takes events in, delivers them, and remembers the last of them."""

    def __init__(self, settings: BankSettings, faults: FaultSwitches) -> None:
        self._settings = settings
        self._faults = faults
        self._secrets: tuple[str, ...] = (settings.webhook_secret,)
        self._deliveries: Bounded[Delivery] = Bounded(EVENTS_KEPT_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(_AT_ONCE_MAX)
        self._http: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Opens the connection to the product (which need not be there yet)."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def stop(self) -> None:
        """Gives up what is still on its way."""
        await self.forget()
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    async def forget(self) -> None:
        """Drops every event, delivered or not."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._deliveries.clear()

    def sign_with(self, secrets: list[str]) -> None:
        """Rotates the signing secret: with two, every delivery carries a signature of each."""
        usable = all(isinstance(secret, str) and 0 < len(secret) <= 200 for secret in secrets)
        if not usable or not 0 < len(secrets) <= _SECRETS_MAX:
            raise BankError(400, "secrets takes one or two texts.", param="secrets")
        self._secrets = tuple(secrets)

    def submit(self, event: Json, *, origin: str = "bank", body: bytes | None = None) -> Delivery:
        """Starts to deliver an event. Raises `BankError` when too many are undelivered."""
        if len(self._tasks) >= _UNDELIVERED_MAX:
            raise BankError(503, f"{_UNDELIVERED_MAX} events wait for the product already.", kind="api_error")
        subject = event["data"]["object"]
        delivery = Delivery(
            event_id=event["id"],
            event_type=event["type"],
            subject=str(subject.get("id") or subject.get("object")),
            body=json.dumps(event, indent=2).encode() if body is None else body,
            created_unix_s=event["created"],
            origin=origin,
        )
        self._deliveries.put(delivery.event_id, delivery)
        task = asyncio.create_task(self._deliver(delivery), name=f"deliver {delivery.event_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return delivery

    def take_in(self, body: bytes, header: str, secret: str, notice: Callable[[Json], None]) -> None:
        """An event the Stripe server posted: verified, noticed, passed on. Raises `BankError` for a forgery."""
        found = _SIGNATURE.fullmatch(header)
        if found is None or not hmac.compare_digest(header, signature(body, (secret,), int(found[1]))):
            raise BankError(400, "This is not the bank's own server.")
        try:
            event = json.loads(body)
            known = event["id"] in self._deliveries
            subject, _ = event["data"]["object"], (event["type"], int(event["created"]))
        except (ValueError, KeyError, TypeError) as error:
            raise BankError(400, "This is not an event.") from error
        if not known and isinstance(subject, dict):
            notice(event)
            self.submit(event, origin="localstripe", body=body)

    def deliveries(self, limit: int) -> list[Delivery]:
        """The newest events first."""
        return [delivery for delivery, _ in zip(self._deliveries.newest(), range(limit), strict=False)]

    def delivery(self, event_id: str) -> Delivery | None:
        """One event by its id."""
        return self._deliveries.get(event_id)

    async def _deliver(self, delivery: Delivery) -> None:
        try:
            if not self._settings.product_url:
                delivery.state = DeliveryState.NOWHERE
            elif self._faults.take("lose_callbacks_next"):
                delivery.state = DeliveryState.LOST
            else:
                copies = 2 if self._faults.take("duplicate_callbacks_next") else 1
                arrived = await asyncio.gather(*(self._until_accepted(delivery) for _ in range(copies)))
                delivery.state = DeliveryState.DELIVERED if any(arrived) else DeliveryState.GIVEN_UP
        finally:
            delivery.finished.set()

    async def _until_accepted(self, delivery: Delivery) -> bool:
        for tried in range(TRIES_MAX):
            if tried:
                pause_s = min(_PAUSE_S_MAX, _PAUSE_S_FIRST * 2 ** min(tried - 1, 10))
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            async with self._at_once:
                if await self._try(delivery):
                    return True
        _log.warning("gave up %s after %d tries", delivery.event_id, delivery.tries)
        return False

    async def _try(self, delivery: Delivery) -> bool:
        assert self._http is not None
        delivery.tries += 1
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(delivery.body, self._secrets, int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        url = self._settings.product_url.rstrip("/") + self._settings.stripe_webhook_path
        try:
            async with self._http.post(url, data=delivery.body, headers=headers, allow_redirects=False) as response:
                await response.content.read(_ANSWER_BYTES_READ)
                delivery.status, delivery.error = response.status, None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            delivery.status, delivery.error = None, type(error).__name__
        return delivery.status is not None and 200 <= delivery.status < 300
