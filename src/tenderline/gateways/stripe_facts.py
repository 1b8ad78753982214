"""Stripe's objects as payment facts: what a webhook, or a read of the API, says about one debt.

The key of a debt is its payment intent. Every place that may name one holds an id or, expanded, the object itself, and
moved between API versions: since 2025-03-31 ("basil") an invoice tells its payment intents only through `payments`, and
webhooks leave even that out, so the invoice has to be read (`PaymentFact.lookup`). A field of a wrong type counts as
absent: one odd field must not lose the news. A setup intent is not a payment and makes no fact.

Sources: Stripe API reference, "Types of events", and the objects named there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from tenderline.core.errors import MalformedWebhookError
from tenderline.core.facts import FactKind, Payer, PaymentFact
from tenderline.core.reasons import FailureReason
from tenderline.gateways.stripe_declines import Decline

Json = dict[str, Any]

MARK: Final = "tenderline_transaction"
"""Metadata key on what our pay page creates: this payment settles the debt of that transaction."""

_ID_CHARACTERS_MAX: Final = 255
_TEXT_CHARACTERS_MAX: Final = 500
_ADDRESS_CHARACTERS_MAX: Final = 40
_URL_CHARACTERS_MAX: Final = 2_000
_INVOICE_PAYMENTS_MAX: Final = 100
_INT64_MAX: Final = 2**63 - 1
_INSTANT_MAX_UNIX_S: Final = 2**36
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_COUNTRY: Final = re.compile("[A-Za-z]{2}")
_PHONE_KEYS: Final = ("phone", "phone_number", "customer_phone", "customer_phone_number")


class Family(StrEnum):
    """Which object an event carries."""

    INTENT = "payment_intent"
    CHARGE = "charge"
    DISPUTE = "dispute"
    SESSION = "checkout.session"
    INVOICE = "invoice"
    SUBSCRIPTION = "subscription"


EVENTS: Final[dict[str, tuple[Family, FactKind]]] = {
    "payment_intent.payment_failed": (Family.INTENT, FactKind.FAILED),
    "payment_intent.requires_action": (Family.INTENT, FactKind.ACTION_REQUIRED),
    "payment_intent.processing": (Family.INTENT, FactKind.PROCESSING),
    "payment_intent.succeeded": (Family.INTENT, FactKind.SUCCEEDED),
    "payment_intent.canceled": (Family.INTENT, FactKind.STOPPED),
    "charge.failed": (Family.CHARGE, FactKind.FAILED),
    "charge.succeeded": (Family.CHARGE, FactKind.SUCCEEDED),
    "charge.captured": (Family.CHARGE, FactKind.SUCCEEDED),
    "charge.refunded": (Family.CHARGE, FactKind.REFUNDED),
    "charge.dispute.created": (Family.DISPUTE, FactKind.DISPUTED),
    "checkout.session.completed": (Family.SESSION, FactKind.SUCCEEDED),
    "checkout.session.async_payment_succeeded": (Family.SESSION, FactKind.SUCCEEDED),
    "checkout.session.async_payment_failed": (Family.SESSION, FactKind.FAILED),
    "invoice.payment_failed": (Family.INVOICE, FactKind.FAILED),
    "invoice.payment_action_required": (Family.INVOICE, FactKind.ACTION_REQUIRED),
    "invoice.paid": (Family.INVOICE, FactKind.SUCCEEDED),
    "invoice.payment_succeeded": (Family.INVOICE, FactKind.SUCCEEDED),
    "invoice.voided": (Family.INVOICE, FactKind.STOPPED),
    "invoice.marked_uncollectible": (Family.INVOICE, FactKind.STOPPED),
    "customer.subscription.deleted": (Family.SUBSCRIPTION, FactKind.STOPPED),
}


# --- reading one field, whatever it holds ---------------------------------------------------------------------------


def _dict(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _int(value: object) -> int | None:
    """An integer as it came. Beyond 64 bits it is cut there: still absurd, so still judged, but it can be stored."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return max(-_INT64_MAX, min(value, _INT64_MAX))


def instant(value: object) -> int | None:
    """An instant by Stripe's clock, if it is one that a calendar can hold."""
    at_unix_s = _int(value)
    return at_unix_s if at_unix_s is not None and 0 <= at_unix_s < _INSTANT_MAX_UNIX_S else None


def _text(value: object, characters_max: int = _TEXT_CHARACTERS_MAX) -> str | None:
    """Text that can be stored: no NUL, no end without a bound."""
    if not isinstance(value, str):
        return None
    text = value.replace("\x00", "").strip()
    return text if 0 < len(text) <= characters_max else None


def object_id(value: object) -> str | None:
    """The id of an object that is named by its id, or is there itself (expanded)."""
    if isinstance(value, dict):
        value = value.get("id")
    if not isinstance(value, str) or not 0 < len(value) <= _ID_CHARACTERS_MAX:
        return None
    return value if value.isascii() and value.isprintable() and " " not in value else None


def safe_url(value: object) -> str | None:
    """A web address that may be sent to a payer: https, or http on this very machine (tests, demo)."""
    url = _text(value, _URL_CHARACTERS_MAX)
    if url is None or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    return url if host and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)) else None


# --- whose debt ------------------------------------------------------------------------------------------------------


def payment_of_invoice(payments: object) -> str | None:
    """The key of an invoice's debt among its payments, whatever order they come in.

    An invoice may be paid in parts. The default payment is the one Stripe made when it finalised the invoice, and the
    one that fails first; then the oldest. A charge is named only where there is no payment intent.
    """
    candidates: list[tuple[bool, int, str]] = []
    listed = _dict(payments).get("data")
    for entry in listed[:_INVOICE_PAYMENTS_MAX] if isinstance(listed, list) else []:
        payment = _dict(_dict(entry).get("payment"))
        key = object_id(payment.get("payment_intent")) or object_id(payment.get("charge"))
        if key:
            candidates.append((entry.get("is_default") is not True, _int(entry.get("created")) or 0, key))
    return min(candidates)[2] if candidates else None


def _marked(get: Callable[[str], object]) -> str | None:
    own = object_id(_dict(get("metadata")).get(MARK))
    return own or object_id(_dict(_dict(get("payment_intent")).get("metadata")).get(MARK))


def debt_key(family: Family, get: Callable[[str], object]) -> str | None:
    """The transaction an object is about. `get` reads a field: of a dict here, of a typed struct on the hot path."""
    if family is Family.SUBSCRIPTION:
        return None
    if family is Family.INVOICE:
        return payment_of_invoice(get("payments")) or object_id(get("payment_intent")) or object_id(get("charge"))
    key = _marked(get) or (object_id(get("id")) if family is Family.INTENT else object_id(get("payment_intent")))
    if key is None and family is Family.CHARGE:
        return object_id(get("id"))
    if key is None and family is Family.DISPUTE:
        charge = _dict(get("charge"))
        return _marked(charge.get) or object_id(charge.get("payment_intent")) or object_id(get("charge"))
    return key


def lookup_of(family: Family, get: Callable[[str], object]) -> str | None:
    """The invoice to ask when an object does not name its payment."""
    if family is Family.INVOICE:
        return object_id(get("id"))
    return object_id(get("invoice")) if family is Family.SESSION else None


# --- who, how much, why ----------------------------------------------------------------------------------------------


def _payer(obj: Json, *sources: object) -> Payer:
    """The first source that tells a detail wins; the customer's own record, where it came along, comes later."""
    metadata = _dict(obj.get("metadata"))
    customer = _dict(obj.get("customer"))
    people = [_dict(source) for source in (*sources, customer, obj.get("shipping"), customer.get("shipping"))]
    people.append({"phone": next((metadata[key] for key in _PHONE_KEYS if _text(metadata.get(key))), None)})

    def first(field: str) -> str | None:
        return next((text for person in people if (text := _text(person.get(field)))), None)

    def locales() -> str | None:
        told = [person.get("preferred_locales") for person in people]
        return next((text for entry in told if isinstance(entry, list) and entry and (text := _text(entry[0]))), None)

    def address() -> tuple[str | None, str | None, str | None]:
        """Country, state and postal code of one address: parts of two would be a place where nobody is."""
        for person in people:
            told = _dict(person.get("address"))
            country = _text(told.get("country")) or ""
            if _COUNTRY.fullmatch(country):
                state, postal_code = (_text(told.get(key), _ADDRESS_CHARACTERS_MAX) for key in ("state", "postal_code"))
                return country.upper(), state, postal_code
        return None, None, None

    region, state, postal_code = address()
    return Payer(
        reference=object_id(obj.get("customer")),
        name=first("name"),
        phone=first("phone"),
        email=first("email"),
        locale=locales(),
        region=region,
        state=state,
        postal_code=postal_code,
    )


def payer_of_customer(customer: Json) -> Payer:
    """How a customer can be reached; nothing when it was deleted."""
    if customer.get("deleted") is True:
        return Payer()
    return _payer({"customer": customer, "metadata": customer.get("metadata")})


def _payer_of(family: Family, obj: Json) -> Payer:
    if family is Family.INTENT:
        method = _dict(_dict(obj.get("last_payment_error")).get("payment_method"))
        charge = _dict(obj.get("latest_charge"))
        return _payer(
            obj,
            method.get("billing_details"),
            charge.get("billing_details"),
            _dict(obj.get("payment_method")).get("billing_details"),
            {"email": obj.get("receipt_email")},
        )
    if family is Family.CHARGE:
        return _payer(obj, obj.get("billing_details"), {"email": obj.get("receipt_email")})
    if family is Family.DISPUTE:
        charge = _dict(obj.get("charge"))
        return _payer(charge, charge.get("billing_details"))
    if family is Family.SESSION:
        locale = obj.get("locale")
        asked = {"email": obj.get("customer_email"), "preferred_locales": [locale if locale != "auto" else None]}
        shipped = _dict(obj.get("collected_information")).get("shipping_details")
        return _payer(obj, obj.get("customer_details"), asked, shipped, obj.get("shipping_details"))
    told = {
        "name": obj.get("customer_name"),
        "phone": obj.get("customer_phone"),
        "email": obj.get("customer_email"),
        "address": obj.get("customer_address"),
    }
    return _payer(obj, told, obj.get("customer_shipping"))


def _amount(family: Family, kind: FactKind, obj: Json) -> int | None:
    if family is Family.SESSION:
        return _int(obj.get("amount_total"))
    if family is Family.INVOICE:
        due = _int(obj.get("amount_due"))
        if kind is FactKind.SUCCEEDED:
            # Nothing remains of a paid invoice; the debt was what was due.
            return due if due is not None else _int(obj.get("amount_paid"))
        remaining = _int(obj.get("amount_remaining"))
        return remaining if remaining is not None else due
    # The sum in dispute may be a part: it says nothing about the debt.
    return None if family in (Family.DISPUTE, Family.SUBSCRIPTION) else _int(obj.get("amount"))


def _decline(family: Family, obj: Json) -> Decline:
    """What was said about a failure, in the object's own place for it."""
    if family is Family.CHARGE:
        said, code = _dict(obj.get("outcome")), obj.get("failure_code")
        decline_code, card = said.get("reason"), _dict(_dict(obj.get("payment_method_details")).get("card"))
    elif family is Family.INTENT:
        said = _dict(obj.get("last_payment_error"))
        code, decline_code = said.get("code"), said.get("decline_code")
        charge_card = _dict(_dict(_dict(obj.get("latest_charge")).get("payment_method_details")).get("card"))
        card = _dict(_dict(said.get("payment_method")).get("card")) or charge_card
    else:
        return Decline()
    return Decline(
        advice_code=_text(said.get("advice_code")),
        network_advice_code=_text(said.get("network_advice_code")),
        network_decline_code=_text(said.get("network_decline_code")),
        brand=_text(card.get("brand")),
        decline_code=_text(decline_code),
        code=_text(code),
    )


def _why(family: Family, kind: FactKind, obj: Json) -> tuple[FailureReason | None, str | None]:
    if kind is FactKind.ACTION_REQUIRED:
        return FailureReason.AUTHENTICATION_REQUIRED, _text(_dict(obj.get("next_action")).get("type"))
    if kind is not FactKind.FAILED:
        return None, None
    decline = _decline(family, obj)
    if family is Family.INVOICE:
        # An invoice does not say why; its payment intent does, where it came along.
        decline = _decline(Family.INTENT, _dict(obj.get("payment_intent")))
    return decline.reason, decline.raw_code


# --- facts -----------------------------------------------------------------------------------------------------------


def _kind(family: Family, kind: FactKind, event_type: str, obj: Json) -> FactKind | None:
    """What an event really says of the money: some names promise more than the object in them."""
    if family is Family.CHARGE and kind is FactKind.SUCCEEDED and obj.get("captured") is False:
        return FactKind.PROCESSING  # authorised, not taken
    if kind is FactKind.REFUNDED and obj.get("refunded") is not True:
        return None  # a part was given back
    if event_type == "checkout.session.completed":
        # `unpaid`: the payer is done, the bank debit is on its way. `no_payment_required`: there was no debt.
        return {"paid": FactKind.SUCCEEDED, "unpaid": FactKind.PROCESSING}.get(_text(obj.get("payment_status")) or "")
    if family is Family.INTENT and kind is FactKind.STOPPED and _marked(obj.get):
        return None  # our pay page was left; the debt behind it stands
    return kind


def fact_of(family: Family, kind: FactKind, obj: Json, *, event_id: str, at_unix_s: int) -> PaymentFact | None:
    """One object as one fact; None when it belongs to no payment (a checkout session that only saves a card)."""
    key = debt_key(family, obj.get)
    lookup = None if key else lookup_of(family, obj.get)
    subscription = object_id(obj.get("id")) if family is Family.SUBSCRIPTION else None
    invoice = None
    if family is Family.INVOICE:
        invoice = object_id(obj.get("id"))
        parent = _dict(_dict(obj.get("parent")).get("subscription_details"))
        subscription = object_id(parent.get("subscription")) or object_id(obj.get("subscription"))
    if not (key or lookup or subscription):
        return None
    reason, raw_code = _why(family, kind, obj)
    return PaymentFact(
        kind=kind,
        transaction_id=key,
        occurred_at_unix_s=at_unix_s,
        event_id=event_id,
        amount_minor=_amount(family, kind, obj),
        currency=None if family in (Family.DISPUTE, Family.SUBSCRIPTION) else _text(obj.get("currency")),
        reason=reason,
        raw_code=raw_code,
        payer=_payer_of(family, obj),
        # Only an event of the invoice itself names it: what it says of `gateway_retries` counts, others cannot know.
        invoice_reference=invoice,
        subscription_reference=subscription,
        pay_url=safe_url(obj.get("hosted_invoice_url")) if family is Family.INVOICE else None,
        gateway_retries=family is Family.INVOICE and _int(obj.get("next_payment_attempt")) is not None,
        lookup=lookup,
    )


def facts_of(body: bytes) -> list[PaymentFact]:
    """The facts in a stored webhook: none or one. Raises `MalformedWebhookError` for what is not a Stripe event."""
    try:
        event = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        raise MalformedWebhookError(f"The body is not JSON ({error}).") from error
    event_id, event_type = object_id(_dict(event).get("id")), object_id(_dict(event).get("type"))
    if event_id is None or event_type is None:
        raise MalformedWebhookError("The body is not an event of Stripe's: it has no usable id and type.")
    if event_type not in EVENTS:
        return []
    family, named_kind = EVENTS[event_type]
    obj = _dict(_dict(event.get("data")).get("object"))
    if object_id(obj) is None:
        raise MalformedWebhookError(f"The webhook {event_id} ({event_type}) names no object.")
    kind = _kind(family, named_kind, event_type, obj)
    if kind is None:
        return []
    # An event that does not tell its time counts as the oldest: it can add, but not overrule.
    at_unix_s = instant(event.get("created")) or 0
    fact = fact_of(family, kind, obj, event_id=event_id, at_unix_s=at_unix_s)
    return [fact] if fact else []
