"""The card of one capture: its five buffers, what is known of it, and what is forgotten together."""

from __future__ import annotations

from typing import Final

from tenderline.cardholder.brands import NUMBER_DIGITS_MAX, Brand
from tenderline.cardholder.digits import Digits, Undisclosed
from tenderline.cardholder.entry import POSTAL_DIGITS
from tenderline.cardholder.expiry import EXPIRY_DIGITS, Expiry
from tenderline.cardholder.messages import FIELDS, Field

_CODE_DIGITS_MAX: Final = 4
# What is forgotten with a field: another card has another expiry, code and address.
DEPENDENT: Final[dict[Field, tuple[Field, ...]]] = {
    "number": FIELDS,
    "expiry": ("expiry",),
    "code": ("code",),
    "postal_code": ("postal_code",),
}


class Card(Undisclosed):
    """What was keyed so far. `brand`, `last_four` and `good_until` may be shown; the buffers may not."""

    __slots__ = ("again", "brand", "code", "done", "expiry", "good_until", "last_four", "number", "postal_code")

    def __init__(self) -> None:
        self.number = Digits(NUMBER_DIGITS_MAX)
        self.expiry = Digits(EXPIRY_DIGITS)
        self.code = Digits(_CODE_DIGITS_MAX)
        self.again = Digits(_CODE_DIGITS_MAX)  # the code a second time
        self.postal_code = Digits(POSTAL_DIGITS)
        self.done: set[Field] = set()
        self.brand: Brand | None = None
        self.last_four: str | None = None
        self.good_until: Expiry | None = None

    def buffer(self, field: Field) -> Digits:
        """Where this field's digits lie."""
        match field:
            case "number":
                return self.number
            case "expiry":
                return self.expiry
            case "code":
                return self.code
            case "postal_code":
                return self.postal_code

    def missing(self, *, postal: bool) -> Field | None:
        """The next field to ask for, in order."""
        for field in FIELDS:
            skipped = (field == "postal_code" and not postal) or (
                field == "code" and self.brand is not None and self.brand.code_length == 0
            )
            if field not in self.done and not skipped:
                return field
        return None

    def accept_number(self, brand: Brand) -> None:
        """The number is one; only its payer can say whether it is the right one."""
        self.brand, self.last_four = brand, self.number.last_four()

    def forget(self, field: Field) -> None:
        """This field and what depends on it. The second code goes always: it is of use for one comparison."""
        for dependent in DEPENDENT[field]:
            self.buffer(dependent).clear()
            self.done.discard(dependent)
        self.again.clear()
        if field == "number":
            self.brand, self.last_four = None, None
        if "expiry" in DEPENDENT[field]:
            self.good_until = None

    def wipe(self) -> None:
        """Every buffer becomes zeros for good."""
        for buffer in (self.number, self.expiry, self.code, self.again, self.postal_code):
            buffer.wipe()
