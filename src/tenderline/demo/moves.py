"""What a payer, a bank or a stranger does in the demo, and what can be seen of it from outside."""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

from tenderline.demo.stage import BrokenPromiseError, Stage

_ONWARD = re.compile(r'<a [^>]*href="([^"]+)"')
LINK = re.compile(r"https?://\S+/pay/[A-Za-z0-9_.~-]+")


async def decline_live(stage: Stage, *, name: str, phone: str | None = None, email: str | None = None) -> str:
    """A real decline at the simulated bank, by Stripe's own SDK and a card that declines; the transaction id."""
    payer = {key: value for key, value in {"name": name, "phone": phone, "email": email}.items() if value}
    told = await stage.control("POST", "/control/bank/decline", {**payer, "amount": 4200, "currency": "usd"})
    return str(told["payment_intent"])


async def fail_renewal(stage: Stage, **payer: Any) -> str:
    """A subscription's renewal fails: up to three signed events about one debt; the transaction id."""
    told = await stage.control("POST", "/control/bank/failure", {"amount": 2500, "currency": "usd", **payer})
    return str(told["payment_intent"])


async def case_of(stage: Stage, transaction_id: str) -> dict[str, Any] | None:
    """The case of a transaction with its contacts and timeline, as the product's API tells it."""
    page = await stage.api("/api/v2/recovery/cases", pageSize=100)
    for entity in page["entities"]:
        if entity["transactionId"] == transaction_id:
            found: dict[str, Any] = await stage.api(f"/api/v2/recovery/cases/{entity['id']}")
            return found
    return None


async def until_case(stage: Stage, transaction_id: str, what: str, state: str | None = None) -> dict[str, Any]:
    """The case, once it is there (in that state)."""

    async def look() -> dict[str, Any] | None:
        case = await case_of(stage, transaction_id)
        return case if case and state in (None, case["state"]) else None

    found: dict[str, Any] = await stage.until(what, look)
    return found


async def until_attempt(stage: Stage, transaction_id: str, channel: str, state: str) -> dict[str, Any]:
    """The first contact of that channel that got that far."""

    async def look() -> dict[str, Any] | None:
        case = await case_of(stage, transaction_id)
        attempts = case["attempts"] if case else []
        return next((one for one in attempts if (one["channel"], one["state"]) == (channel, state)), None)

    try:
        found: dict[str, Any] = await stage.until(f"a contact by {channel} to be {state}", look)
    except BrokenPromiseError as error:
        case = await case_of(stage, transaction_id)
        seen = [one["sentence"] for one in case["timeline"]] if case else "no case"
        raise BrokenPromiseError(f"{error.detail}; the timeline says {seen}") from error
    return found


async def texts_to(stage: Stage, number: str) -> list[dict[str, Any]]:
    """The texts that the carrier took for a number."""
    told = await stage.control("GET", "/control/carrier/messages", to=number)
    return [one for one in told["messages"] if not one.get("inbound")]


async def mails_to(stage: Stage, address: str) -> list[dict[str, Any]]:
    """The messages in a mailbox."""
    told = await stage.control("GET", "/control/mailbox/messages", to=address)
    messages: list[dict[str, Any]] = told["messages"]
    return messages


def link_in(text: str) -> str:
    """The payment link of a message."""
    found = LINK.search(text)
    if found is None:
        raise BrokenPromiseError("The message holds no payment link.")
    return found[0]


async def pay_by(stage: Stage, link: str, card: str = "works") -> str:
    """Opens a link, goes on to the bank's own page and pays there; returns the bank's page."""
    async with stage.http.get(link) as response:
        if response.status != 200:
            raise BrokenPromiseError(f"The payment link answered {response.status}.")
    async with stage.http.post(link, allow_redirects=False) as response:
        found = _ONWARD.search(await response.text())
        page = html.unescape(found[1]) if found else ""
        if response.status != 200 or not page.startswith(stage.sandbox_url):
            raise BrokenPromiseError(f"The link leads to {page[:80]!r} ({response.status}), not to the bank's page.")
    session = urlsplit(page).path.rsplit("/", 1)[-1]
    await stage.control("POST", "/control/bank/pay", {"session": session, "card": card})
    return page


async def reply(stage: Stage, sender: str, recipient: str, text: str) -> None:
    """The person writes back from the handset."""
    await stage.control("POST", "/control/carrier/reply", {"from": sender, "to": recipient, "body": text})


async def post_event(stage: Stage, body: bytes, *, secret: str, at_unix_s: float | None = None) -> int:
    """Posts a webhook in Stripe's name, signed with `secret`; the product's status."""
    stamp = str(int(time.time() if at_unix_s is None else at_unix_s))
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={stamp},v1={mac}", "Content-Type": "application/json"}
    async with stage.http.post(f"{stage.product_url}/webhooks/stripe", data=body, headers=headers) as response:
        return response.status


def event(event_id: str, kind: str, subject: dict[str, Any]) -> bytes:
    """A body in Stripe's shape."""
    stamp = int(time.time())
    return json.dumps(
        {"id": event_id, "object": "event", "type": kind, "created": stamp, "data": {"object": subject}}
    ).encode()


def require(holds: bool, promise: str) -> None:
    """Breaks the scenario off when a promise does not hold."""
    if not holds:
        raise BrokenPromiseError(promise)
