"""The two messages that are built in, and what an SMS costs. Templates that users write come beside these, not here.

Both are neutral: somebody else may read the screen, so neither says why a payment failed nor what kind of debt it is
(a bank's "lost or stolen" is never passed on). Each says who writes and how to make us stop: 47 CFR 64.1200(a)(10) and
(b), 12 CFR 1006.6(e).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tenderline.core.errors import InvalidInputError
from tenderline.core.pan import mask_card_numbers
from tenderline.core.reasons import FailureReason

GSM_7: Final = "GSM-7"
UCS_2: Final = "UCS-2"
SEGMENTS_MAX: Final = {GSM_7: 2, UCS_2: 4}
"""More means that public_url or the organisation's name is far too long for a text message."""
VALUE_LENGTH_MAX: Final = 200
LINK_LENGTH_MAX: Final = 1000
NAME_LENGTH_MAX: Final = 80

# 3GPP TS 23.038, 6.2.1: the default alphabet, and what its extension table writes as two septets.
_GSM_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_GSM_EXTENDED: Final = frozenset("\f^{}\\[~]|€")
# (units in a message of one part, units in each part of several): 3GPP TS 23.040, 9.2.3.24.1
_PART_UNITS: Final = {GSM_7: (160, 153), UCS_2: (70, 67)}

# What an e-mail may say beyond "did not go through": only what the payer can do about it.
_HINTS: Final = {
    FailureReason.CARD_EXPIRED: "The card we have for you may need to be replaced by a newer one.",
    FailureReason.INVALID_CARD_DATA: "The card details may need to be entered again.",
    FailureReason.AUTHENTICATION_REQUIRED: "Your bank may ask you to confirm the payment.",
}
# Links, control characters, lone surrogates, and marks that turn the direction of the text around them.
_NOT_A_NAME = re.compile(
    r"[/@<>]|www\.|\w\.\w{2}|[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", re.IGNORECASE
)

_environment = Environment(
    loader=PackageLoader("tenderline.notify", "messages"),
    undefined=StrictUndefined,
    autoescape=select_autoescape(enabled_extensions=("html",), default_for_string=True),
    keep_trailing_newline=True,
    trim_blocks=True,
    lstrip_blocks=True,
)


class UnsafeMessageError(InvalidInputError):
    """The message cannot be written: a value is missing, too long, not a safe link, or holds a card number."""

    code = "message.unsafe"


@dataclass(frozen=True, slots=True)
class Email:
    """An e-mail in its two forms; both say the same."""

    subject: str
    text: str
    html: str


def recovery_sms(organisation: str, amount: str, link: str) -> str:
    """Asks for a failed payment by SMS. `amount` is written for people (`$25.00`), `link` is ours and signed.

    Raises `UnsafeMessageError`.
    """
    organisation, amount = _value("organisation", organisation), _value("amount", amount)
    return _short(
        f"{organisation}: your {amount} payment didn't go through. Pay: {_link('link', link)} Reply STOP to opt out."
    )


def call_link_sms(organisation: str, amount: str, link: str) -> str:
    """For somebody whose call ended before she had paid. Raises `UnsafeMessageError`."""
    organisation, amount = _value("organisation", organisation), _value("amount", amount)
    return _short(
        f"{organisation}: our call ended before your {amount} was paid. You can pay it here: {_link('link', link)}"
        " Reply STOP to opt out."
    )


def _short(text: str) -> str:
    count, encoding = segments(text)
    if count > SEGMENTS_MAX[encoding]:
        raise UnsafeMessageError(
            f"The text message would take {count} parts: shorten public_url or the organisation's name."
        )
    return text


def receipt_sms(organisation: str, amount: str, reference: str) -> str:
    """Says that the money has arrived. Raises `UnsafeMessageError`."""
    organisation, amount = _value("organisation", organisation), _value("amount", amount)
    reference = _value("reference", reference)
    return f"{organisation}: thank you, we have received {amount}. Your reference is {reference}."


def receipt_email(organisation: str, payer_name: str | None, amount: str, reference: str) -> Email:
    """The same by e-mail. Raises `UnsafeMessageError`."""
    values = {
        "organisation": _value("organisation", organisation),
        "name": _name(payer_name),
        "amount": _value("amount", amount),
        "reference": _value("reference", reference),
    }
    return Email(
        subject=f"Your payment to {values['organisation']}",
        text=_environment.get_template("receipt.txt").render(values),
        html=_environment.get_template("receipt.html").render(values),
    )


def refund_sms(organisation: str, amount: str, reference: str) -> str:
    """Says that money has gone back; `reference` may be empty. Raises `UnsafeMessageError`."""
    organisation, amount = _value("organisation", organisation), _value("amount", amount)
    about = f" Your reference is {_value('reference', reference)}." if reference else ""
    return f"{organisation}: we have given {amount} back to you; your bank shows it within some days.{about}"


def refund_email(organisation: str, payer_name: str | None, amount: str, reference: str) -> Email:
    """The same by e-mail. Raises `UnsafeMessageError`."""
    values = {
        "organisation": _value("organisation", organisation),
        "name": _name(payer_name),
        "amount": _value("amount", amount),
        "reference": _value("reference", reference) if reference else None,
    }
    return Email(
        subject=f"Your refund from {values['organisation']}",
        text=_environment.get_template("refund.txt").render(values),
        html=_environment.get_template("refund.html").render(values),
    )


def opt_out_confirmation_sms(organisation: str) -> str:
    """Confirms an opt-out, and says nothing else: 47 CFR 64.1200(a)(12). Raises `UnsafeMessageError`."""
    organisation = _value("organisation", organisation)
    return f"{organisation}: you will get no more messages from us. Reply START if you want them again."


def recovery_email(
    organisation: str,
    payer_name: str | None,
    amount: str,
    link: str,
    unsubscribe_url: str,
    own_page_url: str,
    reason_hint: FailureReason | None = None,
) -> Email:
    """Asks for a failed payment by e-mail; `reason_hint` adds a sentence only where the payer can do something.

    Raises `UnsafeMessageError`.
    """
    values = {
        "organisation": _value("organisation", organisation),
        "name": _name(payer_name),
        "amount": _value("amount", amount),
        "link": _link("link", link),
        "unsubscribe_url": _link("unsubscribe_url", unsubscribe_url),
        "own_page_url": _link("own_page_url", own_page_url),
        "hint": _HINTS.get(reason_hint) if reason_hint is not None else None,
    }
    return Email(
        subject=f"Your payment to {values['organisation']}",
        text=_environment.get_template("recovery.txt").render(values),
        html=_environment.get_template("recovery.html").render(values),
    )


def segments(text: str) -> tuple[int, str]:
    """How many SMS parts carriers bill for `text`, and the encoding they use: `GSM-7` or `UCS-2`.

    A character of two septets or of two UTF-16 units never lies across two parts, so a part may end one unit early.
    """
    if all(character in _GSM_BASIC or character in _GSM_EXTENDED for character in text):
        encoding, sizes = GSM_7, [2 if character in _GSM_EXTENDED else 1 for character in text]
    else:
        encoding, sizes = UCS_2, [2 if ord(character) > 0xFFFF else 1 for character in text]
    single, part = _PART_UNITS[encoding]
    if sum(sizes) <= single:
        return 1, encoding
    count, used = 1, 0
    for size in sizes:
        if used + size > part:
            count, used = count + 1, 0
        used += size
    return count, encoding


def _value(field: str, value: str) -> str:
    """One line without control characters. CLDR's narrow spaces become plain: one of them doubles what an SMS costs."""
    plain = " ".join(value.split())
    if not plain:
        raise UnsafeMessageError(f"The message needs a value for {field!r}.")
    if len(plain) > VALUE_LENGTH_MAX or any(unicodedata.category(character) in ("Cc", "Cs") for character in plain):
        raise UnsafeMessageError(f"The value for {field!r} is too long, or holds control characters.")
    if mask_card_numbers(plain) != plain:
        raise UnsafeMessageError(f"The value for {field!r} holds a card number; no message may.")
    return plain


def _name(name: str | None) -> str | None:
    """The payer's name, unless it is none: strangers type names into pay pages; mail programs make links of them."""
    if name is None or not name.strip() or len(name) > NAME_LENGTH_MAX or _NOT_A_NAME.search(name):
        return None
    return _value("payer_name", name)


def _link(field: str, url: str) -> str:
    """An https address; http only for a server on this machine, where nobody listens in."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        parts.port  # noqa: B018  # raises for a port that is none
    except ValueError as error:
        raise UnsafeMessageError(f"The value for {field!r} is not a link.") from error
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \"'<>\\")
    safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not host or not plain or not safe or parts.username is not None or len(url) > LINK_LENGTH_MAX:
        raise UnsafeMessageError(f"The value for {field!r} is not a link that begins with https://.")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
