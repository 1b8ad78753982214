"""A generic HTTPS gateway: a protocol small enough that a merchant can put it before whatever charges his cards.

docs/reference/generic-gateway.md tells every request, answer and webhook. A charge is two requests, so that it can be
asked for whatever becomes of the answer: a transaction is made (no money moves), then it is charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from tenderline.config import GenericSettings
from tenderline.core.facts import Payer, PaymentFact, RefundFact
from tenderline.core.reasons import FailureReason
from tenderline.core.webhooks import Envelope
from tenderline.gateways import generic_facts
from tenderline.gateways.base import (
    CardTarget,
    ChargeAnswer,
    ChargeRequest,
    ChargeState,
    GatewayRefusedError,
    GatewayUnavailableError,
    PayPage,
    PayPageState,
    PayRequest,
    RefundRequest,
)
from tenderline.gateways.generic_api import GenericApi, NotThereError
from tenderline.gateways.generic_facts import (
    fact_of,
    identity,
    instant,
    is_refund_of,
    payer_of,
    reason_of,
    refund_of,
    text,
)

_STATES: Final = {
    "CREATED": ChargeState.OPEN,
    "PENDING": ChargeState.TAKEN,
    "COMPLETED": ChargeState.TAKEN,
    "REFUNDED": ChargeState.TAKEN,
    "DISPUTED": ChargeState.TAKEN,
    "FAILED": ChargeState.DECLINED,
    # Whoever pays on the telephone cannot be sent to her bank's page.
    "ACTION_REQUIRED": ChargeState.DECLINED,
    "CANCELLED": ChargeState.OVER,
}
_PAGES: Final = {"OPEN": PayPageState.OPEN, "USED": PayPageState.USED, "OVER": PayPageState.OVER}
_REFUNDS_READ_MAX: Final = 200
_LOOPBACK: Final = ("http://127.0.0.1", "http://localhost", "http://[::1]")


class Generic:
    """The gateway `generic`."""

    name = "generic"

    def __init__(self, settings: GenericSettings, public_url: str = "") -> None:
        self._settings = settings
        self._callback_url = settings.callback_url or (f"{public_url}/webhooks/{self.name}" if public_url else None)
        # An empty secret would be one that everybody knows.
        self._secrets = [key for secret in settings.webhook_secrets if (key := secret.get_secret_value().encode())]
        self._api = GenericApi(settings)

    def verify(self, headers: Mapping[str, bytes], body: bytes, now_unix_s: float) -> Envelope:
        """See `Gateway.verify`; the subject is `generic:` and the id of the transaction."""
        generic_facts.authenticate(headers, body, now_unix_s, self._secrets)
        return generic_facts.envelope_of(body)

    def normalise(self, body: bytes) -> list[PaymentFact]:
        """See `Gateway.normalise`."""
        return generic_facts.facts_in(body)

    def refunds_in(self, body: bytes) -> list[RefundFact]:
        """See `Gateway.refunds_in`."""
        return generic_facts.refunds_in(body)

    async def read_payer(self, reference: str) -> Payer:
        """`GET /payers/{id}`. An unknown one is nobody."""
        try:
            told = await self._api.ask(f"payer {reference}", "GET", f"/payers/{_part(reference)}")
        except NotThereError:
            return Payer()
        return payer_of(told.fields)

    async def read_transaction_id(self, reference: str) -> str | None:
        """`GET /references/{id}`. Its webhooks name their transaction, so nobody has to ask."""
        try:
            told = await self._api.ask(f"reference {reference}", "GET", f"/references/{_part(reference)}")
        except NotThereError:
            return None
        return identity(told.fields.get("transaction_id"))

    async def read_payment(self, transaction_id: str) -> PaymentFact | None:
        """`GET /transactions/{id}`."""
        try:
            told = await self._api.ask(f"transaction {transaction_id}", "GET", f"/transactions/{_part(transaction_id)}")
        except NotThereError:
            return None
        at_unix_s = instant(told.fields.get("updated_at")) or told.at_unix_s
        return fact_of(told.fields, event_id=f"read:{transaction_id}", at_unix_s=at_unix_s)

    async def pay_page(self, request: PayRequest) -> PayPage:
        """`POST /pay-pages`, unless the debt came with a page."""
        if request.known_url is not None:
            return PayPage(url=request.known_url)
        what = f"pay page of {request.transaction_id}"
        body = {
            "amount": str(request.money.minor),
            "currency": request.money.currency,
            "pays": request.transaction_id,
            "description": request.description,
            "return_url": request.return_url,
            **self._callback,
        }
        told = await self._api.ask(what, "POST", "/pay-pages", body=body, key=request.key)
        url, reference = text(told.fields.get("url")), identity(told.fields.get("page_id"))
        if url is None or reference is None or not url.startswith(("https://", *_LOOPBACK)):
            raise GatewayRefusedError(f"The gateway gave no usable address for the {what}.")
        return PayPage(url=url, reference=reference, expires_at_unix_s=instant(told.fields.get("expires_at")))

    async def read_pay_page(self, reference: str) -> PayPageState:
        """`GET /pay-pages/{id}`."""
        return await self._page_state(reference, "GET", "")

    async def close_pay_page(self, reference: str) -> PayPageState:
        """`POST /pay-pages/{id}/close`: how it stands then."""
        return await self._page_state(reference, "POST", "/close")

    async def _page_state(self, reference: str, method: str, action: str) -> PayPageState:
        what = f"pay page {reference}"
        try:
            told = await self._api.ask(what, method, f"/pay-pages/{_part(reference)}{action}")
        except NotThereError:
            return PayPageState.UNKNOWN
        status = told.fields.get("page_status")
        state = _PAGES.get(status) if isinstance(status, str) else None
        if state is None:
            raise GatewayRefusedError(f"The gateway did not say how the {what} stands.")
        return state

    def card_target(self) -> CardTarget | None:
        """`POST /tokens`, or the vault that `generic.token_url` names."""
        settings = self._settings
        if settings.api_key is None or settings.api_url is None:
            return None
        return CardTarget(
            kind="generic",
            url=settings.token_url or f"{settings.api_url}/tokens",
            api_key=settings.api_key.get_secret_value(),
            timeout_s=settings.timeout_s,
            ca_file=str(settings.ca_file) if settings.ca_file is not None else None,
        )

    async def prepare_charge(self, request: ChargeRequest) -> str:
        """`POST /transactions`: made, and not charged."""
        what = f"preparation of charge {request.key}"
        body = {
            "transaction_type": self._settings.transaction_type,
            "amount": str(request.money.minor),
            "currency": request.money.currency,
            "token_input_method": "KEYPAD_SECURE",
            "payment_token": request.token,
            "reference": request.reference,
            "description": request.description,
            "client_reference": request.key,
            **self._callback,
        }
        told = await self._api.ask(what, "POST", "/transactions", body=body, key=f"prepare-{request.key}")
        found = identity(told.fields.get("transaction_id"))
        if found is None:
            raise GatewayRefusedError(f"The gateway gave no id for the {what}.")
        return found

    async def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """`POST /transactions/{id}/charge`. A decline is an answer like another."""
        assert request.transaction_id is not None, "prepared before"
        key = f"charge-{request.key}"
        try:
            return await self._act(request.transaction_id, "charge", key=key)
        except GatewayRefusedError:
            # A decline may come as an error; so may a second charge. How the transaction stands is what counts.
            found = await self.read_charge(request.transaction_id)
            if found is None or found.state is ChargeState.OPEN:
                raise
            return found

    async def read_charge(self, transaction_id: str) -> ChargeAnswer | None:
        """`GET /transactions/{id}`."""
        path = f"/transactions/{_part(transaction_id)}"
        try:
            told = await self._api.ask(f"transaction {transaction_id}", "GET", path)
        except NotThereError:
            return None
        return _answer(told.fields, transaction_id)

    async def cancel_charge(self, transaction_id: str) -> ChargeAnswer:
        """`POST /transactions/{id}/cancel`: refused for one that is charged, which is read then."""
        try:
            return await self._act(transaction_id, "cancel")
        except NotThereError:
            return ChargeAnswer(state=ChargeState.OVER, transaction_id=transaction_id)
        except GatewayRefusedError:
            found = await self.read_charge(transaction_id)
            if found is None:
                raise
            return found

    async def _act(self, transaction_id: str, action: str, *, key: str | None = None) -> ChargeAnswer:
        path = f"/transactions/{_part(transaction_id)}/{action}"
        told = await self._api.ask(f"{action} of {transaction_id}", "POST", path, body={}, key=key)
        return _answer(told.fields, transaction_id)

    async def refund(self, request: RefundRequest) -> RefundFact:
        """`POST /transactions/{id}/refunds`."""
        body = {
            "amount": str(request.money.minor),
            "currency": request.money.currency,
            "client_reference": request.key,
            **self._callback,
        }
        what = f"refund {request.key}"
        path = f"/transactions/{_part(request.transaction_id)}/refunds"
        told = await self._api.ask(what, "POST", path, body=body, key=f"refund-{request.key}")
        return _refund(told.fields, what, request.transaction_id)

    async def read_refund(self, request: RefundRequest) -> RefundFact | None:
        """`GET /transactions/{id}/refunds`: the one that carries our key."""
        path = f"/transactions/{_part(request.transaction_id)}/refunds"
        try:
            told = await self._api.ask(f"refunds of {request.transaction_id}", "GET", path)
        except NotThereError:
            return None
        listed: Any = told.fields.get("refunds")
        if not isinstance(listed, list):
            raise GatewayUnavailableError(f"The gateway did not say which refunds {request.transaction_id} has.")
        ours = (one for one in listed[:_REFUNDS_READ_MAX] if is_refund_of(one, request.key))
        return next((_refund(one, f"refund {request.key}") for one in ours), None)

    async def check(self) -> str:
        """`GET /status`, for the doctor."""
        await self._api.ask("status", "GET", "/status")
        return "The generic gateway answers"

    async def close(self) -> None:
        """Closes the connections, if any were opened."""
        await self._api.close()

    @property
    def _callback(self) -> dict[str, str]:
        return {"callback_url": self._callback_url} if self._callback_url is not None else {}


def _part(value: str) -> str:
    """An id as one part of a path."""
    return quote(value, safe="")


def _refund(told: object, what: str, transaction_id: str | None = None) -> RefundFact:
    found = refund_of(told, transaction_id)
    if found is None:  # it was taken in: what is not understood is no refusal
        raise GatewayUnavailableError(f"The gateway did not say how the {what} stands.")
    return found


def _answer(transaction: dict[str, Any], transaction_id: str) -> ChargeAnswer:
    status = transaction.get("transaction_status")
    state = _STATES.get(status) if isinstance(status, str) else None
    if state is None:  # it was taken in: what is not understood is no refusal
        raise GatewayUnavailableError(f"The gateway did not say how {transaction_id} stands.")
    reason = reason_of(transaction) if state is ChargeState.DECLINED else None
    if status == "ACTION_REQUIRED":
        reason = FailureReason.AUTHENTICATION_REQUIRED
    return ChargeAnswer(state=state, transaction_id=transaction_id, reason=reason)
