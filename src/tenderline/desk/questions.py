"""Questions to the gate as people and programs put them: text in, a question or a plain refusal out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from tenderline.compliance.facts import Purpose
from tenderline.compliance.rule import CHANNELS
from tenderline.core import mailbox
from tenderline.core.errors import InvalidInputError
from tenderline.core.phone import normalise as read_phone
from tenderline.store.explanations import KINDS, Question

YEAR_MIN: Final = 2000
YEAR_MAX: Final = 2100
DEFAULT_CHANNELS: Final = {"phone": "sms", "email": "email"}
_EXAMPLE: Final = "2026-11-21T20:55-05:00 or 2026-11-22T01:55Z"


class InvalidQuestionError(InvalidInputError):
    """The question cannot be asked; correct what is named and ask again."""

    code = "invalid_question"


def of(
    *,
    channel: str | None,
    purpose: str,
    at: str | datetime | None,
    person_id: UUID | None = None,
    address: str | None = None,
    case_id: UUID | None = None,
    region: str | None = None,
) -> Question:
    """A question in checked words; raises `InvalidInputError` naming what is wrong.

    Without a channel that of the address: SMS for a number. `region` reads numbers without a country code.
    """
    kind, value = address_of(address, region) if address is not None else ("phone", None)
    wanted = channel or DEFAULT_CHANNELS[kind]
    if wanted not in CHANNELS:
        raise InvalidQuestionError(f"There is no channel {wanted!r}; there is {', '.join(CHANNELS)}.")
    if value is not None and KINDS[wanted] != kind:
        what = "a telephone number" if kind == "phone" else "an e-mail address"
        raise InvalidQuestionError(f"{wanted} does not reach {what}; choose another channel or another address.")
    return Question(
        channel=wanted,
        purpose=purpose_of(purpose),
        at=instant_of(at),
        person_id=person_id,
        address=value,
        case_id=case_id,
        subject=str(case_id) if case_id else None,
    )


def address_of(text: str, region: str | None) -> tuple[str, str]:
    """(kind, one form) of a telephone number or an e-mail address; raises `InvalidInputError` with the reason."""
    if "@" in text:
        return "email", mailbox.normalise(text)
    return "phone", read_phone(text, region)


def typed_address_of(*, phone: str | None, email: str | None, region: str | None) -> tuple[str, str]:
    """The same of a text that is said to be the one or the other."""
    if phone is not None:
        return "phone", read_phone(phone, region)
    assert email is not None
    return "email", mailbox.normalise(email)


def purpose_of(text: str) -> Purpose:
    """A purpose by its name."""
    try:
        return Purpose(text)
    except ValueError:
        raise InvalidQuestionError(f"There is no purpose {text!r}; there is {', '.join(Purpose)}.") from None


def _read(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise InvalidQuestionError(f"{text[:40]!r} is no instant; write it as {_EXAMPLE}.") from None


def instant_of(at: str | datetime | None) -> datetime | None:
    """An instant with its offset; a wall clock without one names none."""
    if at is None:
        return None
    if isinstance(at, str):
        at = _read(at.strip())
    if at.tzinfo is None:
        raise InvalidQuestionError(f"{at.isoformat()} does not say by which clock; write it as {_EXAMPLE}.")
    if not YEAR_MIN <= at.year <= YEAR_MAX:
        raise InvalidQuestionError(f"Ask about an instant from {YEAR_MIN} to {YEAR_MAX}.")
    return at.astimezone(UTC)
