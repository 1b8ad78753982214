"""Checkout sessions, which the Stripe server behind the bank does not have: what is sold, and the object."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from tenderline_sandbox.bank_debts import Debt, State
from tenderline_sandbox.bank_wire import BankError, Json, new_id

_DAY_S: Final = 24 * 3_600
_OPEN_S_MIN: Final = 30 * 60
_LINE_ITEMS_MAX: Final = 100
_AMOUNT_MINOR_MAX: Final = 99_999_999
_TEXT_CHARACTERS_MAX: Final = 500
_URL_CHARACTERS_MAX: Final = 2_000


@dataclass(frozen=True)
class Offer:
    """One session: the object the API shows, what it keeps to itself, and a lock so that it is paid once."""

    session: Json
    description: str
    intent_metadata: dict[str, str]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)


def _missing(param: str) -> BankError:
    return BankError(400, f"Missing required param: {param}.", code="parameter_missing", param=param)


def _invalid(param: str, why: str) -> BankError:
    return BankError(400, f"Invalid {param}: {why}.", code="parameter_invalid", param=param)


def _text(form: Json, name: str) -> str | None:
    value = form.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _TEXT_CHARACTERS_MAX:
        raise _invalid(name, f"text of at most {_TEXT_CHARACTERS_MAX} characters")
    return value


def _integer(value: Any, param: str, most: int) -> int:
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or int(value[:20]) > most:
        raise _invalid(param, f"a whole number up to {most}")
    return int(value)


def _metadata(value: Any, param: str) -> dict[str, str]:
    if value in (None, ""):
        return {}
    if not isinstance(value, dict) or len(value) > 50 or not all(isinstance(item, str) for item in value.values()):
        raise _invalid(param, "at most 50 keys with text")
    return {key[:40]: item[:_TEXT_CHARACTERS_MAX] for key, item in value.items()}


def _web_address(form: Json, name: str) -> str | None:
    value = form.get(name)
    if value in (None, ""):
        return None
    parts = urlsplit(value) if isinstance(value, str) and len(value) <= _URL_CHARACTERS_MAX else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc or not value.isprintable():
        raise BankError(400, f"Not a valid URL: {name}.", code="url_invalid", param=name)
    return str(value)


def _line(item: Any, index: int) -> tuple[int, str, str]:
    """(amount in minor units, currency, name) of one line, by `price_data` or by the older `amount`."""
    where = f"line_items[{index}]"
    if not isinstance(item, dict):
        raise _invalid(where, "an object")
    if "price" in item:
        raise BankError(
            400, f"No such price: {str(item['price'])[:60]!r}", code="resource_missing", param=f"{where}[price]"
        )
    quantity = _integer(item.get("quantity", "1"), f"{where}[quantity]", 1_000)
    price = item.get("price_data")
    if isinstance(price, dict):
        product = price.get("product_data")
        name = product.get("name") if isinstance(product, dict) else None
        amount = _integer(price.get("unit_amount"), f"{where}[price_data][unit_amount]", _AMOUNT_MINOR_MAX)
        currency = price.get("currency")
    else:
        name = item.get("name")
        amount = _integer(item.get("amount"), f"{where}[amount]", _AMOUNT_MINOR_MAX)
        currency = item.get("currency")
    if not isinstance(currency, str) or len(currency) != 3 or not currency.isalpha():
        raise _invalid(f"{where}[currency]", "a three-letter ISO code")
    if not isinstance(name, str) or not name:
        raise _missing(f"{where}[price_data][product_data][name]")
    return amount * quantity, currency.lower(), name[:_TEXT_CHARACTERS_MAX]


def _expiry(form: Json, now_unix_s: int) -> int:
    if form.get("expires_at") in (None, ""):
        return now_unix_s + _DAY_S
    expires_at = _integer(form["expires_at"], "expires_at", 2**36)
    # A minute of grace on either side for clocks that differ.
    if not now_unix_s + _OPEN_S_MIN - 60 <= expires_at <= now_unix_s + _DAY_S + 60:
        raise _invalid("expires_at", "between 30 minutes and 24 hours from now")
    return expires_at


def offer_of_form(form: Json, *, now_unix_s: int, public_url: str) -> Offer:
    """A new session as a client asked for it. Raises `BankError` as Stripe refuses."""
    mode = form.get("mode")
    if mode is None:
        raise _missing("mode")
    if mode != "payment":
        raise _invalid("mode", "the sandbox knows only `payment`")
    items = form.get("line_items")
    if not isinstance(items, list) or not 0 < len(items) <= _LINE_ITEMS_MAX:
        raise _missing("line_items")
    lines = [_line(item, index) for index, item in enumerate(items)]
    currencies = {currency for _, currency, _ in lines}
    if len(currencies) > 1:
        raise _invalid("line_items", "all in one currency")
    total = sum(amount for amount, _, _ in lines)
    if not 0 < total <= _AMOUNT_MINOR_MAX:
        raise BankError(400, "The total must be more than nothing.", code="amount_too_small", param="line_items")
    success_url = _web_address(form, "success_url")
    if success_url is None:
        raise _missing("success_url")
    intent_data = form.get("payment_intent_data")
    intent_data = intent_data if isinstance(intent_data, dict) else {}
    session = _session(
        new_id("cs_test_", 40),
        created=now_unix_s,
        amount=total,
        currency=currencies.pop(),
        metadata=_metadata(form.get("metadata"), "metadata"),
    )
    session |= {
        "cancel_url": _web_address(form, "cancel_url"),
        "client_reference_id": _text(form, "client_reference_id"),
        "customer": _text(form, "customer"),
        "customer_email": _text(form, "customer_email"),
        "expires_at": _expiry(form, now_unix_s),
        "locale": _text(form, "locale"),
        "success_url": success_url,
    }
    session["url"] = f"{public_url}/pay/{session['id']}"
    return Offer(
        session=session,
        description=_text(intent_data, "description") or ", ".join(name for _, _, name in lines)[:_TEXT_CHARACTERS_MAX],
        intent_metadata=_metadata(intent_data.get("metadata"), "payment_intent_data[metadata]"),
    )


def _session(identity: str, *, created: int, amount: int, currency: str, metadata: dict[str, str]) -> Json:
    nothing = (
        "cancel_url",
        "client_reference_id",
        "customer",
        "customer_details",
        "customer_email",
        "invoice",
        "locale",
    )
    return {
        "id": identity,
        "object": "checkout.session",
        **dict.fromkeys(nothing),
        "amount_subtotal": amount,
        "amount_total": amount,
        "created": created,
        "currency": currency,
        "expires_at": created + _DAY_S,
        "livemode": False,
        "metadata": metadata,
        "mode": "payment",
        "payment_intent": None,
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "setup_intent": None,
        "status": "open",
        "subscription": None,
        "success_url": None,
        "ui_mode": "hosted_page",
        "url": None,
    }


def session_of_debt(debt: Debt, state: State) -> Json:
    """The session a made-up payment was paid through: complete, with the money arrived or (a bank debit) not."""
    details: Json = {"email": debt.email, "name": debt.name, "phone": debt.phone, "address": None, "tax_exempt": "none"}
    if debt.country:
        details["address"] = {
            **dict.fromkeys(("city", "line1", "line2", "postal_code", "state")),
            "country": debt.country,
        }
    return _session(
        debt.session or new_id("cs_test_", 40),
        created=debt.created,
        amount=debt.amount,
        currency=debt.currency.lower(),
        metadata=dict(debt.metadata),
    ) | {
        "customer": debt.customer,
        "customer_details": details,
        "customer_email": debt.email,
        "locale": debt.locale,
        "payment_intent": debt.payment_intent,
        "payment_status": "paid" if state.paid else "unpaid",
        "status": "complete",
    }
