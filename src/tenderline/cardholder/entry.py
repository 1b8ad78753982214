"""How one step of a capture goes: which keys it takes, when it is over, and how often it may be tried.

Kept apart from the order of the steps, so that either can be read without the other.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from tenderline.cardholder.brands import NUMBER_DIGITS_MAX, Brand, luhn_verdict
from tenderline.cardholder.digits import NUMBER_DIGITS_MIN, Digits
from tenderline.cardholder.messages import Field, Policy, Prompt

STAR: Final = 10
HASH: Final = 11
RIGHT: Final = 1
AGAIN: Final = 2
POSTAL_DIGITS: Final = 5  # a ZIP code of the United States, the only postal code that keys can spell everywhere
NUMBER_SETTLES_S: Final = 3.0  # silence that ends a number which could be longer but has its usual length
FIELD_SETTLES_S: Final = 0.6  # after a field that ended by itself: a key too many falls here, not into the next field
PROMPT_MAX_S: Final = 60.0  # a prompt whose end nobody reports
GATEWAY_MAX_S: Final = 90.0  # a gateway from which nobody hears; its client gives up long before
CLEARS_MAX: Final = 3  # of one try; more count as a try


class Step(StrEnum):
    """Where a capture stands."""

    NEW = "new"
    NUMBER = "number"
    CONFIRM_NUMBER = "confirm_number"
    EXPIRY = "expiry"
    CONFIRM_EXPIRY = "confirm_expiry"
    CODE = "code"
    CODE_AGAIN = "code_again"
    POSTAL_CODE = "postal_code"
    TOKENISING = "tokenising"
    ENDED = "ended"


CONFIRMATIONS: Final = frozenset({Step.CONFIRM_NUMBER, Step.CONFIRM_EXPIRY})
BEHIND_THE_NUMBER: Final = frozenset({Step.EXPIRY, Step.CODE, Step.CODE_AGAIN, Step.POSTAL_CODE})
WITHOUT_KEYS: Final = frozenset({Step.NEW, Step.TOKENISING, Step.ENDED})
# What a step belongs to, and with what an attempt at it is counted.
FIELD_OF: Final[dict[Step, Field]] = {
    Step.NUMBER: "number",
    Step.CONFIRM_NUMBER: "number",
    Step.EXPIRY: "expiry",
    Step.CONFIRM_EXPIRY: "expiry",
    Step.CODE: "code",
    Step.CODE_AGAIN: "code",
    Step.POSTAL_CODE: "postal_code",
}
ENTRY_OF: Final[dict[Field, Step]] = {
    "number": Step.NUMBER,
    "expiry": Step.EXPIRY,
    "code": Step.CODE,
    "postal_code": Step.POSTAL_CODE,
}
WRONG: Final[dict[Field, Prompt]] = {
    "number": Prompt.NUMBER_WRONG,
    "expiry": Prompt.EXPIRY_WRONG,
    "code": Prompt.CODE_WRONG,
    "postal_code": Prompt.POSTAL_CODE_WRONG,
}


class Attempts:
    """How often one step was tried. Two silences without a key are a try, so nobody is held on the line for ever."""

    __slots__ = ("clears", "silences", "silent_tries", "tries")

    def __init__(self) -> None:
        self.tries = 0
        self.silent_tries = 0
        self.silences = 0
        self.clears = 0

    def count_silence(self) -> None:
        """Nothing was keyed."""
        self.silences += 1
        if self.silences % 2 == 0:
            self.silent_tries += 1
            self.count_try()

    def count_try(self) -> None:
        """A try is over; what was cleared in it is forgotten."""
        self.tries += 1
        self.clears = 0

    @property
    def only_silence(self) -> bool:
        """Whether no try of this step had a key."""
        return self.silent_tries == self.tries


def longest(field: Field, brand: Brand | None) -> int:
    """How many digits the field can have at most: with these it ends by itself."""
    if field == "number":
        return max(brand.lengths) if brand else NUMBER_DIGITS_MAX
    if field == "code":
        return brand.code_length if brand else 3
    return POSTAL_DIGITS if field == "postal_code" else 4


def silence_s(field: Field, count: int, brand: Brand | None, policy: Policy) -> float:
    """After how much silence the field ends: soon, when a number has as many digits as its brand's usually have."""
    if field == "number" and brand is not None and count >= brand.usual_length and count in brand.lengths:
        return min(NUMBER_SETTLES_S, policy.between_keys_s)
    return policy.between_keys_s


def number_problem(number: Digits, brand: Brand | None, policy: Policy) -> Prompt | None:
    """Why this cannot be the number of a card that is taken; None when it can."""
    if brand is None or len(number) < NUMBER_DIGITS_MIN:
        return Prompt.NUMBER_WRONG
    if policy.allowed_brands and brand.key not in policy.allowed_brands:
        return Prompt.BRAND_NOT_ALLOWED
    if len(number) not in brand.lengths or luhn_verdict(brand, number) == "wrong":
        return Prompt.NUMBER_WRONG
    return None


def optional(field: Field, brand: Brand | None) -> bool:
    """Whether some cards of this brand lack it."""
    if brand is None:
        return False
    return (field == "expiry" and not brand.expiry_needed) or (field == "code" and not brand.code_needed)


def echoes(token: str, number: Digits) -> bool:
    """Whether a vault's token holds nine digits of the number in a row: it would carry the card out with it.

    Eight, the issuer's part, and the last four are in many tokens, and may be (PCI SSC, FAQ 1091).
    """
    spoken = [ord(one) - ord("0") for one in token if one.isascii() and one.isdigit()]
    window = 9
    return any(
        all(number.digit(at + step) == spoken[start + step] for step in range(window))
        for at in range(len(number) - window + 1)
        for start in range(len(spoken) - window + 1)
    )
