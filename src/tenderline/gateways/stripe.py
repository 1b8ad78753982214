"""Stripe as a payment gateway: its webhooks (`stripe_webhooks`, `stripe_facts`) and, here, its API by the official SDK.

One call here is one request or a few, each with a time-out and never repeated: whoever calls decides when to try again.
What comes back is read as plain JSON with the same eyes as a webhook, so that a read and an event agree.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import stripe

from tenderline.config import StripeSettings
from tenderline.core.facts import FactKind, Payer, PaymentFact, RefundFact
from tenderline.core.webhooks import Envelope
from tenderline.gateways import stripe_charges, stripe_refunds
from tenderline.gateways.base import (
    CardTarget,
    ChargeAnswer,
    ChargeRequest,
    GatewayRefusedError,
    PayPage,
    PayPageState,
    PayRequest,
    RefundRequest,
)
from tenderline.gateways.stripe_api import NotThereError, ask
from tenderline.gateways.stripe_facts import (
    MARK,
    Family,
    debt_key,
    fact_of,
    facts_of,
    instant,
    object_id,
    payer_of_customer,
    payment_of_invoice,
    safe_url,
)
from tenderline.gateways.stripe_webhooks import authenticate, envelope_of

_PRODUCT_NAME_CHARACTERS_MAX: Final = 250
_INTENT_PREFIX: Final = "pi_"
_CHARGE_PREFIXES: Final = ("ch_", "py_")
# What may stand inside a search expression of Stripe's.
_SEARCHABLE: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")

_INTENT_KINDS: Final = {
    "requires_action": FactKind.ACTION_REQUIRED,
    "processing": FactKind.PROCESSING,
    # Authorised: the payer has nothing left to do, and the money has not arrived.
    "requires_capture": FactKind.PROCESSING,
    "succeeded": FactKind.SUCCEEDED,
    "canceled": FactKind.STOPPED,
}
_CHARGE_KINDS: Final = {
    "failed": FactKind.FAILED,
    "pending": FactKind.PROCESSING,
    "succeeded": FactKind.SUCCEEDED,
}


class Stripe:
    """The gateway `stripe`. Without an API key its webhooks still work; every call to the API is refused."""

    name = "stripe"

    def __init__(self, settings: StripeSettings) -> None:
        self._settings = settings
        # An empty secret would be one that everybody knows.
        self._secrets = [key for secret in settings.webhook_secrets if (key := secret.get_secret_value().encode())]
        self._http: stripe.AIOHTTPClient | None = None
        self._opened: stripe.StripeClient | None = None

    def verify(self, headers: Mapping[str, bytes], body: bytes, now_unix_s: float) -> Envelope:
        """See `Gateway.verify`; the subject is `stripe:` and the id of the payment intent, where the event tells it."""
        authenticate(headers, body, now_unix_s, self._secrets)
        return envelope_of(body)

    def normalise(self, body: bytes) -> list[PaymentFact]:
        """See `Gateway.normalise`. Raises `MalformedWebhookError` for what is not an event of Stripe's."""
        return facts_of(body)

    async def read_payer(self, reference: str) -> Payer:
        """The customer `cus_…`. A deleted or unknown customer is nobody: an empty payer."""
        try:
            customer = await ask(f"customer {reference}", self._api.v1.customers.retrieve_async(reference))
        except NotThereError:
            return Payer()
        return payer_of_customer(customer.fields)

    async def read_transaction_id(self, reference: str) -> str | None:
        """The payment intent of the invoice `in_…`: by its list of payments, or as API versions before basil say it."""
        what = f"payments of invoice {reference}"
        try:
            payments = await ask(what, self._api.v1.invoice_payments.list_async({"invoice": reference, "limit": 100}))
            if key := payment_of_invoice(payments.fields):
                return key
        except GatewayRefusedError:
            # An API version or a restricted key without this list; the invoice itself may say it.
            pass
        try:
            invoice = await ask(f"invoice {reference}", self._api.v1.invoices.retrieve_async(reference))
        except NotThereError:
            return None
        return debt_key(Family.INVOICE, invoice.fields.get)

    async def read_payment(self, transaction_id: str) -> PaymentFact | None:
        """How a payment stands now. None when Stripe does not know it, or nothing has happened to it yet.

        A debt that was paid through our pay page was paid by a payment intent of its own, which carries its mark; so an
        unpaid answer is checked by a search for that (best effort: Stripe's search lags by about a minute).
        """
        try:
            if transaction_id.startswith(_CHARGE_PREFIXES):
                what = f"charge {transaction_id}"
                return self._charge_fact(*await ask(what, self._api.v1.charges.retrieve_async(transaction_id)))
            answer = await ask(
                f"payment intent {transaction_id}",
                self._api.v1.payment_intents.retrieve_async(transaction_id, {"expand": ["latest_charge"]}),
            )
        except NotThereError:
            return None
        fact = self._intent_fact(answer.fields, answer.at_unix_s)
        if fact is not None and fact.kind in (FactKind.SUCCEEDED, FactKind.REFUNDED, FactKind.DISPUTED):
            return fact
        return await self._paid_by_our_page(transaction_id) or fact

    async def pay_page(self, request: PayRequest) -> PayPage:
        """The page Stripe already has for this debt (its hosted invoice), else a new Checkout Session.

        An open invoice is always paid on its own page: paid beside it, it would stay open and Stripe would charge the
        card again.
        """
        if url := safe_url(request.known_url) or await self._invoice_page(request.transaction_id):
            return PayPage(url=url)
        mark = {MARK: request.transaction_id}
        price: stripe.params.checkout.SessionCreateParamsLineItemPriceData = {
            "currency": request.money.currency.lower(),
            "unit_amount": request.money.minor,
            "product_data": {"name": request.description[:_PRODUCT_NAME_CHARACTERS_MAX]},
        }
        session = await ask(
            f"pay page of {request.transaction_id}",
            self._api.v1.checkout.sessions.create_async(
                {
                    "mode": "payment",
                    "line_items": [{"quantity": 1, "price_data": price}],
                    "metadata": mark,
                    "payment_intent_data": {"metadata": mark},
                    "success_url": request.return_url,
                },
                {"idempotency_key": request.key},
            ),
        )
        url = safe_url(session.fields.get("url"))
        if url is None:
            raise GatewayRefusedError(f"Stripe gave no usable address for the pay page of {request.transaction_id}.")
        reference = object_id(session.fields)
        if reference is None:
            raise GatewayRefusedError(f"Stripe gave no id for the pay page of {request.transaction_id}.")
        return PayPage(url=url, reference=reference, expires_at_unix_s=instant(session.fields.get("expires_at")))

    async def read_pay_page(self, reference: str) -> PayPageState:
        """The Checkout Session as it stands; of one that is complete, what became of its payment."""
        what = f"pay page {reference}"
        try:
            session = await ask(
                what, self._api.v1.checkout.sessions.retrieve_async(reference, {"expand": ["payment_intent"]})
            )
        except NotThereError:
            return PayPageState.UNKNOWN
        state = _page_state(session.fields)
        if state is None:
            raise GatewayRefusedError(f"Stripe did not say how the {what} stands; its dashboard shows it.")
        return state

    async def close_pay_page(self, reference: str) -> PayPageState:
        """Expires the Checkout Session. Stripe refuses that for one that is not open: then it is read."""
        try:
            await ask(f"end of pay page {reference}", self._api.v1.checkout.sessions.expire_async(reference))
        except NotThereError:
            return PayPageState.UNKNOWN
        except GatewayRefusedError:
            pass
        return await self.read_pay_page(reference)

    def card_target(self) -> CardTarget | None:
        """A payment method, made with our key; none without one."""
        if self._settings.api_key is None:
            return None
        key = self._settings.api_key.get_secret_value()
        return CardTarget(kind="stripe", url=self._settings.api_url, api_key=key, timeout_s=self._settings.timeout_s)

    async def prepare_charge(self, request: ChargeRequest) -> str:
        """A payment intent with the card, not confirmed yet."""
        return await stripe_charges.prepare(self._api, request, moto=self._settings.moto)

    async def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Confirms the payment intent."""
        return await stripe_charges.charge(self._api, request)

    async def read_charge(self, transaction_id: str) -> ChargeAnswer | None:
        """The payment intent as it stands."""
        return await stripe_charges.read(self._api, transaction_id)

    async def cancel_charge(self, transaction_id: str) -> ChargeAnswer:
        """Cancels the payment intent. Stripe refuses that for one that is paid: then it is read."""
        return await stripe_charges.cancel(self._api, transaction_id)

    async def refund(self, request: RefundRequest) -> RefundFact:
        """A refund of the payment intent, or of the one that was paid on our pay page for it."""
        return await stripe_refunds.refund(self._api, request, await self._paid_by(request.transaction_id))

    async def read_refund(self, request: RefundRequest) -> RefundFact | None:
        """The refund that carries our key."""
        return await stripe_refunds.read(self._api, request, await self._paid_by(request.transaction_id))

    def refunds_in(self, body: bytes) -> list[RefundFact]:
        """See `Gateway.refunds_in`."""
        return stripe_refunds.refunds_in(body)

    async def check(self) -> str:
        """One line for the doctor. A restricted key may not read the account; then the balance has to do."""
        try:
            account = await ask("account", self._api.v1.accounts.retrieve_current_async())
            return f"Stripe answers (account {account.fields.get('id')})"
        except GatewayRefusedError:
            await ask("balance", self._api.v1.balance.retrieve_async())
            return "Stripe answers (this key may not read the account)"

    async def close(self) -> None:
        """Closes the connections, if any were opened."""
        http, self._http, self._opened = self._http, None, None
        if http is not None:
            await http.close_async()  # type: ignore[no-untyped-call]

    @property
    def _api(self) -> stripe.StripeClient:
        """The SDK's client; opened on first use, inside the event loop that it belongs to."""
        if self._opened is None:
            if self._settings.api_key is None:
                raise GatewayRefusedError("Stripe is off: no API key is configured; set stripe.api_key.")
            self._http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s))
            self._opened = stripe.StripeClient(
                self._settings.api_key.get_secret_value(),
                base_addresses={"api": self._settings.api_url},
                http_client=self._http,
                max_network_retries=0,
            )
        return self._opened

    @staticmethod
    def _intent_fact(intent: dict[str, Any], at_unix_s: int) -> PaymentFact | None:
        status = intent.get("status")
        kind = _INTENT_KINDS.get(status) if isinstance(status, str) else None
        if status == "requires_payment_method" and intent.get("last_payment_error"):
            kind = FactKind.FAILED
        charge = intent.get("latest_charge")
        if kind is FactKind.SUCCEEDED and isinstance(charge, dict):
            kind = _after_success(charge)
        marked = debt_key(Family.INTENT, intent.get) != intent.get("id")
        if kind is None or (kind is FactKind.STOPPED and marked):
            return None
        return fact_of(Family.INTENT, kind, intent, event_id=f"read:{intent.get('id')}", at_unix_s=at_unix_s)

    @staticmethod
    def _charge_fact(charge: dict[str, Any], at_unix_s: int) -> PaymentFact | None:
        status = charge.get("status")
        kind = _CHARGE_KINDS.get(status) if isinstance(status, str) else None
        if kind is FactKind.SUCCEEDED:
            kind = FactKind.PROCESSING if charge.get("captured") is False else _after_success(charge)
        if kind is None:
            return None
        return fact_of(Family.CHARGE, kind, charge, event_id=f"read:{charge.get('id')}", at_unix_s=at_unix_s)

    async def _paid_by(self, transaction_id: str) -> str:
        """The object that took the money of a debt: itself, or what our pay page was paid with."""
        if transaction_id.startswith(_CHARGE_PREFIXES):
            return transaction_id
        if transaction_id.startswith(_INTENT_PREFIX):
            what = f"payment intent {transaction_id}"
            with contextlib.suppress(NotThereError):
                intent = await ask(what, self._api.v1.payment_intents.retrieve_async(transaction_id))
                if intent.fields.get("status") == "succeeded":
                    return transaction_id
        found = await self._marked_intent(transaction_id)
        identity = object_id(found[0]) if found else None
        if identity is None:
            raise GatewayRefusedError(f"Stripe shows no money taken for {transaction_id}; look in its dashboard.")
        return identity

    async def _paid_by_our_page(self, transaction_id: str) -> PaymentFact | None:
        found = await self._marked_intent(transaction_id)
        fact = self._intent_fact(*found) if found else None
        return fact if fact is not None and fact.transaction_id == transaction_id else None

    async def _marked_intent(self, transaction_id: str) -> tuple[dict[str, Any], int] | None:
        """The payment intent that carries our pay page's mark and took the money, and when Stripe said so."""
        if not _SEARCHABLE.fullmatch(transaction_id):
            return None
        query = f"metadata['{MARK}']:'{transaction_id}' AND status:'succeeded'"
        try:
            found = await ask(
                f"search for {transaction_id}",
                self._api.v1.payment_intents.search_async(
                    {"query": query, "limit": 1, "expand": ["data.latest_charge"]}
                ),
            )
        except GatewayRefusedError:
            return None  # not every account and key may search
        intents = found.fields.get("data")
        if not isinstance(intents, list) or not intents or not isinstance(intents[0], dict):
            return None
        return intents[0], found.at_unix_s

    async def _invoice_page(self, transaction_id: str) -> str | None:
        """The hosted page of the open invoice that a payment intent belongs to."""
        if not transaction_id.startswith(_INTENT_PREFIX):
            return None
        try:
            payments = await ask(
                f"invoice of {transaction_id}",
                self._api.v1.invoice_payments.list_async(
                    {
                        "payment": {"type": "payment_intent", "payment_intent": transaction_id},
                        "expand": ["data.invoice"],
                        "limit": 1,
                    }
                ),
            )
        except GatewayRefusedError:
            return None
        entries = payments.fields.get("data")
        entry = entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else {}
        invoice = entry.get("invoice")
        if payment_of_invoice(payments.fields) != transaction_id or not isinstance(invoice, dict):
            return None
        return safe_url(invoice.get("hosted_invoice_url")) if invoice.get("status") == "open" else None


def _page_state(session: dict[str, Any]) -> PayPageState | None:
    match session.get("status"):
        case "open":
            return PayPageState.OPEN
        case "expired":
            return PayPageState.OVER
        case "complete":
            intent = session.get("payment_intent")
            # A bank debit that bounced after the page was done: the page cannot be used again.
            is_lost = isinstance(intent, dict) and intent.get("status") in ("requires_payment_method", "canceled")
            is_unpaid = session.get("payment_status") == "unpaid"
            return PayPageState.OVER if is_unpaid and is_lost else PayPageState.USED
        case _:
            return None


def _after_success(charge: dict[str, Any]) -> FactKind:
    """A charge that went through may have been taken back since."""
    if charge.get("disputed") is True:
        return FactKind.DISPUTED
    return FactKind.REFUNDED if charge.get("refunded") is True else FactKind.SUCCEEDED
