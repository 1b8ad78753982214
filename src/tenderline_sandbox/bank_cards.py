"""Cards as the bank takes them by its API: of every length and code, with Stripe's numbers that are always declined.

The server behind knows sixteen digits and a code of three only, and declines at the charge one number only. So another
number stands in for a card there, and the answer shows the card's own brand and last four. Test numbers as Stripe
publishes them.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl, urlencode

from tenderline_sandbox.bank_wire import Answer, BankError, Json

_TAKEN: Final = "4242" * 4
_TEST_PREFIX: Final = "4" + "0" * 11
_DECLINED: Final = f"{_TEST_PREFIX}0341"
ALWAYS_DECLINED: Final = frozenset(
    f"{_TEST_PREFIX}{last}" for last in ("0002", "9995", "9987", "9979", "0069", "0127", "0119", "6975")
)
_BRANDS: Final = (
    ("34", "amex"), ("37", "amex"), ("62", "unionpay"), ("81", "unionpay"), ("6011", "discover"), ("65", "discover"),
    ("644", "discover"), ("35", "jcb"), ("30", "diners"), ("36", "diners"), ("38", "diners"), ("5", "mastercard"),
    ("2", "mastercard"), ("4", "visa"),
)  # fmt: skip
_FIELDS_MAX: Final = 100


def stand_in(body: bytes) -> tuple[bytes, Json]:
    """The form with a number that the server takes, and what of the real card its answer is to show.

    Raises `BankError` as Stripe does for numbers that are none.
    """
    pairs = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_FIELDS_MAX))
    number, code = pairs.get("card[number]"), pairs.get("card[cvc]")
    if number is None:
        return body, {}
    if not number.isdecimal() or not 12 <= len(number) <= 19 or not passes_luhn(number):
        raise BankError(402, "Your card number is incorrect.", code="incorrect_number", param="number")
    brand = next((name for prefix, name in _BRANDS if number.startswith(prefix)), "unknown")
    if code is not None and len(code) != (4 if brand == "amex" else 3):
        raise BankError(402, "Your card's security code is invalid.", code="invalid_cvc", param="cvc")
    is_known = len(number) == 16 and number not in ALWAYS_DECLINED
    pairs["card[number]"] = number if is_known else _DECLINED if number in ALWAYS_DECLINED else _TAKEN
    if code is not None:
        pairs["card[cvc]"] = code[:3]
    return urlencode(pairs).encode(), {"last4": number[-4:], "brand": brand}


def shown(answer: Answer, card: Json) -> Answer:
    """The answer with the card's own brand and last four."""
    told = answer.json()
    if not answer.succeeded or not card or not isinstance(told.get("card"), dict):
        return answer
    told["card"] = {**told["card"], **card}
    return Answer.of(told)


def passes_luhn(number: str) -> bool:
    """The checksum of a card number."""
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
