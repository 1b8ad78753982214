"""Which brand a number belongs to while it is being keyed, and what that brand's cards look like.

Sources: ISO/IEC 7812-1 for the form of a number; the ranges are those that the schemes publish to their acquirers, as
collected in Braintree's credit-card-type 10 (github.com/braintree/credit-card-type, src/lib/card-types.ts), with the
old 13-digit Visa and 15-digit JCB, Diners' 3095, Discover's co-brand with UnionPay and RuPay (npci.org.in) added.

The longest known prefix wins. Where two brands claim equally long ones, the table's order decides, and a brand that
the merchant takes goes before one that it does not: only the gateway knows which of the two a shared range is.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from tenderline.cardholder.digits import PREFIX_DIGITS_MAX, Digits, luhn_ok

Luhn = Literal["yes", "no", "warn"]
Verdict = Literal["right", "doubtful", "wrong"]
NUMBER_DIGITS_MAX: Final = 19


class Brand(msgspec.Struct, frozen=True, kw_only=True):
    """One row: prefixes whose cards look alike. A brand with two kinds of numbers has two rows under one key."""

    key: str
    name: str
    prefixes: tuple[tuple[int, int], ...]  # first and last of a range, both of equally many digits
    lengths: tuple[int, ...]
    usual_length: int = 16  # from here on a short silence ends the number, though it could be longer
    code_length: int = 3  # 0: cards of this brand have none
    code_needed: bool = True
    expiry_needed: bool = True
    luhn: Luhn = "yes"
    catch_all: bool = False  # these prefixes count only when no other brand has the number


def _row(key: str, name: str, prefixes: str, lengths: tuple[int, ...], **more: object) -> Brand:
    """A row from prefixes as people write them: `300..305, 36`."""
    ranges = [one.strip().partition("..") for one in prefixes.split(",")]
    row = {
        "key": key,
        "name": name,
        "prefixes": tuple((int(first), int(last or first)) for first, _, last in ranges),
        "lengths": lengths,
    }
    return msgspec.convert(row | more, Brand)


_16_TO_19: Final = (16, 17, 18, 19)
_14_OR_16_TO_19: Final = (14, *_16_TO_19)
_14_TO_19: Final = (14, 15, *_16_TO_19)
_12_TO_19: Final = (12, 13, *_14_TO_19)

_ELO: Final = """
    401178..401179, 431274, 438935, 451416, 457393, 457631..457632, 504175, 506699..506778, 509000..509999, 627780,
    636297, 636368, 650031..650033, 650035..650051, 650405..650439, 650485..650538, 650541..650598, 650700..650718,
    650720..650727, 650901..650978, 651652..651679, 655000..655019, 655021..655058
"""
_VERVE: Final = """
    506099..506127, 506129, 506133..506150, 506158..506163, 506166, 506168, 506170, 506173, 506176..506180, 506184,
    506187..506188, 506191, 506195, 506197, 507865..507866, 507868..507877, 507880..507888, 507900, 507941
"""
_MAESTRO: Final = "5018, 5020, 5038, 5893, 56..58, 63, 67, 6304, 6759, 6760..6769"

TABLE: Final[tuple[Brand, ...]] = (
    _row("visa", "Visa", "4", (13, 16, 19)),
    _row("mastercard", "Mastercard", "51..55, 2221..2720", (16,)),
    _row("amex", "American Express", "34, 37", (15,), code_length=4, usual_length=15),
    _row("discover", "Discover", "6011, 644..649, 65", _16_TO_19),
    _row("discover", "Discover", "622126..622925", _16_TO_19, luhn="warn"),  # co-branded, see UnionPay
    _row("diners", "Diners Club", "36", _14_TO_19, usual_length=14),
    _row("diners", "Diners Club", "300..305, 3095, 38..39", _14_OR_16_TO_19, usual_length=14),
    _row("jcb", "JCB", "3528..3589", _16_TO_19),
    _row("jcb", "JCB", "1800, 2131", (15,), usual_length=15),
    # No checksum is promised, and debit cards may have no code: the gateway decides.
    _row("unionpay", "UnionPay", "62, 81", _14_TO_19, luhn="warn", code_needed=False),
    _row("maestro", "Maestro", _MAESTRO, _12_TO_19, code_needed=False, expiry_needed=False),
    _row("maestro", "Maestro", "50, 6", _12_TO_19, code_needed=False, expiry_needed=False, catch_all=True),
    _row("mir", "Mir", "2200..2204", _16_TO_19),
    _row("rupay", "RuPay", "60, 65, 81, 82, 508, 353, 356", (16,)),
    _row("elo", "Elo", _ELO, (16,)),
    _row("hiper", "Hiper", "637095, 63737423, 63743358, 637568, 637599, 637609, 637612", (16,)),
    _row("hipercard", "Hipercard", "606282", (16,)),
    _row("verve", "Verve", _VERVE, _16_TO_19),
)
KEYS: Final = frozenset(brand.key for brand in TABLE)


def brand_of(digits: Digits, allowed: tuple[str, ...] = ()) -> Brand | None:
    """The brand of what is keyed so far; None while, or because, no prefix is known. `allowed` empty: all are."""
    best: Brand | None = None
    best_rank = (False, False, 0)
    for brand in TABLE:
        matched = _longest_match(brand, digits)
        rank = (not brand.catch_all, not allowed or brand.key in allowed, matched)
        if matched and rank > best_rank:
            best, best_rank = brand, rank
    return best


def luhn_verdict(brand: Brand, digits: Digits) -> Verdict:
    """What the checksum says under this brand's rule; `doubtful` is for the caller to check and the gateway to say."""
    if brand.luhn == "no" or luhn_ok(digits):
        return "right"
    return "doubtful" if brand.luhn == "warn" else "wrong"


def _longest_match(brand: Brand, digits: Digits) -> int:
    """How many digits of the longest of this row's prefixes are there; 0 when none is."""
    longest = 0
    for first, last in brand.prefixes:
        compared = len(str(first))
        if longest < compared <= min(len(digits), PREFIX_DIGITS_MAX) and first <= digits.prefix(compared) <= last:
            longest = compared
    return longest
