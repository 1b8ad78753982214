"""What goes into a capture and comes out of it: nothing here can hold more of a card than its last four digits.

These are the only words between the process that knows a card and everybody else, so they are small, frozen and
encodable as JSON. A prompt is a name; its sentence, in the payer's language, belongs to whoever speaks it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

import msgspec

from tenderline.cardholder.brands import KEYS
from tenderline.core.errors import TenderlineError

Field = Literal["number", "expiry", "code", "postal_code"]
Result = Literal["captured", "abandoned", "tries_exhausted", "cancelled", "system_problem", "card_refused"]
FIELDS: Final[tuple[Field, ...]] = ("number", "expiry", "code", "postal_code")
_TRIES_MAX: Final = 10
_WAIT_MAX_S: Final = 300.0


class PolicyError(TenderlineError, ValueError):
    """The capture policy is not usable; correct the setting named and start again."""

    code = "capture_policy"


class Policy(msgspec.Struct, frozen=True):
    """What a merchant decides about entry. The defaults are those of a call without an agent."""

    allowed_brands: tuple[str, ...] = ()  # keys of the brand table; empty: every brand
    read_back: Literal["last_four", "full"] = "last_four"
    tries_max: int = 3
    between_keys_s: float = 5.0
    field_s: float = 30.0
    postal: bool = False
    attended: bool = False  # an agent is on the call: the code is keyed once, and each key shows as progress

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.allowed_brands) - KEYS):
            raise PolicyError(f"allowed_brands: {', '.join(unknown)} is in no brand table; known: {sorted(KEYS)}")
        if not 1 <= self.tries_max <= _TRIES_MAX:
            raise PolicyError(f"tries_max is from 1 to {_TRIES_MAX}")
        if not 0 < self.between_keys_s <= self.field_s <= _WAIT_MAX_S:
            raise PolicyError(f"between_keys_s is more than 0, field_s at least as much and at most {_WAIT_MAX_S:.0f}")


class Prompt(StrEnum):
    """What is to be said. `*_or_none`: some cards of this brand lack it, and `#` alone says so."""

    ASK_NUMBER = "ask_number"
    ASK_EXPIRY = "ask_expiry"
    ASK_EXPIRY_OR_NONE = "ask_expiry_or_none"
    ASK_CODE = "ask_code"
    ASK_CODE_OR_NONE = "ask_code_or_none"
    ASK_CODE_AGAIN = "ask_code_again"
    ASK_POSTAL_CODE = "ask_postal_code"
    CONFIRM_NUMBER = "confirm_number"
    CONFIRM_EXPIRY = "confirm_expiry"
    NUMBER_WRONG = "number_wrong"
    NUMBER_UNUSUAL = "number_unusual"  # its checksum fails where none is promised: listen well to the read-back
    BRAND_NOT_ALLOWED = "brand_not_allowed"
    EXPIRY_WRONG = "expiry_wrong"
    EXPIRED = "expired"
    CODE_WRONG = "code_wrong"
    CODES_DIFFER = "codes_differ"
    POSTAL_CODE_WRONG = "postal_code_wrong"
    ANSWER_WRONG = "answer_wrong"  # neither 1 nor 2 at a read-back
    CLEARED = "cleared"
    NOTHING_KEYED = "nothing_keyed"
    ONE_MOMENT = "one_moment"
    CARD_NOT_TAKEN = "card_not_taken"


class Say(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """Speak this. Several in one list follow one another; `prompt_ended` is due when the last has been heard."""

    prompt: Prompt
    brand: str | None = None
    last_four: str | None = None
    month: int | None = None
    year: int | None = None
    digits: int | None = None  # how many to key


class SpeakDigits(msgspec.Struct, frozen=True, tag=True):
    """Speak what is in this field's buffer, to the payer alone. Whoever holds the buffer does it."""

    field: Literal["number"]


class Wait(msgspec.Struct, frozen=True, tag=True):
    """(Re)start the one timer; 0 stops it."""

    seconds: Annotated[float, msgspec.Meta(ge=0)]


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """How far a field is, for an agent's screen."""

    field: Field
    count: int
    brand: str | None


class Tokenise(msgspec.Struct, frozen=True, tag=True):
    """Everything is keyed: ask the gateway."""


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag=True, omit_defaults=True):
    """The last word. By now every buffer is wiped."""

    result: Result
    token: str | None = None
    brand: str | None = None
    last_four: str | None = None
    month: int | None = None
    year: int | None = None


Action = Say | SpeakDigits | Wait | Progress | Tokenise | Ended


class Tokenised(msgspec.Struct, frozen=True, tag=True):
    """The gateway keeps the card under this token."""

    token: str


class TokenRefused(msgspec.Struct, frozen=True, tag=True):
    """The gateway does not take the card. `field` is ours to name; `reason` is for a log and never spoken."""

    reason: str
    field: str | None = None


class TokenUnavailable(msgspec.Struct, frozen=True, tag=True):
    """Nobody knows whether the gateway would have taken it."""

    why: str


Outcome = Tokenised | TokenRefused | TokenUnavailable
