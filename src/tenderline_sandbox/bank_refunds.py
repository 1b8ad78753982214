"""Refunds as Stripe makes them: no more than is left, and told by `refund.created` and `charge.refunded`.

The Stripe server behind keeps them; it neither checks what is left nor tells anybody.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import parse_qsl, urlencode

from tenderline_sandbox.bank_events import event_of
from tenderline_sandbox.bank_process import Localstripe
from tenderline_sandbox.bank_relay import Relay
from tenderline_sandbox.bank_wire import Answer, BankError, Json, read_form

_UNKNOWN_TO_SERVER: Final = frozenset({"reason"})
_FIELDS_MAX: Final = 200
_KINDS: Final = {"succeeded": "refund.updated", "pending": "refund.updated", "failed": "refund.failed"}


class Refunds:
    """The one way in which money goes back at the bank."""

    def __init__(self, server: Localstripe, relay: Relay) -> None:
        self._server = server
        self._relay = relay

    async def create(self, body: bytes) -> Answer:
        """Gives back, and tells it. Raises `BankError` as Stripe answers."""
        form = read_form(body.decode("utf-8", "replace"))
        charge = await self._charge_of(form)
        _require_left(charge, form.get("amount"))
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        known = [(key, value) for key, value in pairs if key not in _UNKNOWN_TO_SERVER]
        answer = await self._server.request("POST", "/v1/refunds", urlencode(known).encode())
        if answer.succeeded:
            now_unix_s = int(time.time())
            made = {**answer.json(), "payment_intent": charge.get("payment_intent")}
            answer = Answer.of(made)
            self._relay.submit(event_of("refund.created", made, now_unix_s))
            self._relay.submit(event_of("charge.refunded", await self._charge(charge["id"]), now_unix_s))
        return answer

    async def tell(self, identity: str, status: str, why: str | None) -> Json:
        """Makes a refund end otherwise later on: its bank took it, or did not."""
        answer = await self._server.request("GET", f"/v1/refunds/{identity}")
        if not answer.succeeded or status not in _KINDS:
            raise BankError(404, f"There is no refund {identity[:60]!r}, or {status!r} is no end of one.")
        told = {**answer.json(), "status": status, "failure_reason": why}
        self._relay.submit(event_of(_KINDS[status], told, int(time.time())))
        return told

    async def _charge_of(self, form: Json) -> Json:
        identity, intent = form.get("charge"), form.get("payment_intent")
        if isinstance(intent, str):
            answer = await self._server.request("GET", f"/v1/payment_intents/{intent}")
            if not answer.succeeded:
                raise BankError(404, f"No such payment_intent: {intent[:60]!r}", code="resource_missing")
            latest = answer.json().get("latest_charge")
            identity = latest.get("id") if isinstance(latest, dict) else latest
        if not isinstance(identity, str):
            raise BankError(400, "This PaymentIntent does not have a successful charge to refund.")
        return await self._charge(identity)

    async def _charge(self, identity: str) -> Json:
        answer = await self._server.request("GET", f"/v1/charges/{identity}")
        if not answer.succeeded:
            raise BankError(404, f"No such charge: {identity[:60]!r}", code="resource_missing")
        return answer.json()


def _require_left(charge: Json, wanted: object) -> None:
    left = charge["amount"] - charge["amount_refunded"]
    if charge["status"] != "succeeded":
        raise BankError(400, "Cannot refund a failed payment.")
    if left <= 0:
        raise BankError(400, "The charge has already been refunded.", code="charge_already_refunded")
    if isinstance(wanted, str) and wanted.isdecimal() and int(wanted) > left:
        raise BankError(400, "The refund is greater than the unrefunded amount on the charge.", param="amount")
