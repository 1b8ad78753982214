"""A payment that an agent started, as she sees it: how far the caller is, never what she keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tenderline.store import conversations, secure_sessions
from tenderline.store.conversations import Conversation
from tenderline.store.db import Connection
from tenderline.store.secure_sessions import Progress, SecureSession

POSTAL_CODE: Final = "postal_code"
FIELDS: Final = {
    "number": "card number",
    "expiry": "expiration date",
    "code": "security code",
    POSTAL_CODE: "postal code",
}
MODES: Final = {
    "leave": "You wait outside and get the caller back",
    "attended": "You stay and talk; tones are taken out",
}
_SAID: Final = {
    "ask_number": "asked for the card number",
    "ask_expiry": "asked for the expiration date",
    "ask_expiry_or_none": "asked for the expiration date",
    "ask_code": "asked for the security code",
    "ask_code_or_none": "asked for the security code",
    "ask_code_again": "asked for the security code once more",
    "ask_postal_code": "asked for the postal code",
    "confirm_number": "asked whether the card is right",
    "confirm_expiry": "asked whether the date is right",
    "number_wrong": "the number was no card number; asked again",
    "number_unusual": "the number is unusual; asked to look at it again",
    "brand_not_allowed": "cards of this brand are not taken; asked for another",
    "expiry_wrong": "the date was no date; asked again",
    "expired": "the card has expired; asked again",
    "code_wrong": "the security code had the wrong length; asked again",
    "codes_differ": "the two security codes differed; asked again",
    "postal_code_wrong": "the postal code had the wrong length; asked again",
    "answer_wrong": "neither 1 nor 2 was pressed; asked again",
    "cleared": "began the field again",
    "nothing_keyed": "nothing was keyed; asked again",
    "one_moment": "all is keyed in; the card is being looked at",
    "card_not_taken": "the bank did not take the card; asked again",
}
_RESULTS: Final = {
    "success": ("The money has arrived.", "good"),
    "pending": ("The card was charged; the bank's word is still awaited.", "warn"),
    "elsewhere": ("Not charged on this call; a link or a provider may still bring the money.", "warn"),
    "declined": ("Declined. Nothing was charged.", "bad"),
    "abandoned": ("The caller did not finish. Nothing was charged.", "mute"),
    "cancelled": ("Stopped. Nothing was charged.", "mute"),
    "system_problem": ("It could not be taken. Nothing more will be charged.", "bad"),
    "distress": ("Stopped for the caller's sake. Nothing was charged.", "bad"),
}


@dataclass(frozen=True, slots=True)
class SecureView:
    """One session. `digits` are dots, one for each key; `said` is the last word to the caller."""

    id: UUID
    mode: str
    is_open: bool
    words: str
    tone: str
    field: str
    digits: str
    brand: str
    last_four: str
    said: str
    reference: str
    started_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class SecurePanel:
    """`can_start`: an agent talks on the call, and no payment is being taken on it."""

    can_start: bool
    sessions: tuple[SecureView, ...]

    @property
    def open(self) -> SecureView | None:
        """The one that is under way."""
        return next((one for one in self.sessions if one.is_open), None)


async def read(connection: Connection, call: Conversation) -> SecurePanel:
    """Of one call."""
    found = tuple(_view(one) for one in await secure_sessions.of_conversation(connection, call.id))
    can_start = call.ended_at is None and not any(one.is_open for one in found)
    if can_start:
        here = await conversations.participants(connection, call.id)
        can_start = any(one.purpose == "agent" and one.left_at is None for one in here)
    return SecurePanel(can_start, found)


def asked_for(*, postal_code: bool) -> dict[str, str]:
    """The fields that a caller is asked for, as the settings have it: nothing else can be asked for again."""
    return {key: words for key, words in FIELDS.items() if postal_code or key != POSTAL_CODE}


def how_far(progress: Progress) -> str:
    """`Card number: 11 digits, Visa; expired, asked again`: a count, never what is keyed."""
    field = FIELDS.get(progress.field, "")
    brand = f", {progress.brand.capitalize()}" if progress.brand else ""
    keyed = f"{field.capitalize()}: {progress.count} digits{brand}" if field else ""
    return "; ".join(part for part in (keyed, _SAID.get(progress.said, "")) if part)


def _view(one: SecureSession) -> SecureView:
    progress, result = one.progress, one.result
    if one.state == "COMPLETED":
        result = "success"
    elif (one.state == "PENDING" and result is not None) or result == "success":
        # Only the gateway's word makes money arrive, whatever a flow says.
        result = "elsewhere" if one.is_elsewhere else "pending"
    if one.state == "FAILED" and result == "pending":
        result = "declined"
    words, tone = _RESULTS.get(result or "", ("The caller keys it in.", "busy"))
    return SecureView(
        id=one.id,
        mode=one.mode,
        is_open=one.ended_at is None,
        words=words,
        tone=tone,
        field=FIELDS.get(progress.field, ""),
        digits="•" * progress.count,
        brand=progress.brand or "",
        last_four=one.last_four or progress.last_four or "",
        said=_SAID.get(progress.said, ""),
        reference=one.reference or "",
        started_at=one.started_at,
        ended_at=one.ended_at,
    )
