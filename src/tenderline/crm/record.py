"""A donor out of what a CRM says: figures checked, texts cut, card numbers masked, and surely the person who was meant.

A CRM's free text is written by people, who write anything there; nothing of it is trusted further than this file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
import phonenumbers
from babel.numbers import get_currency_precision

from tenderline.core.donor import NOTES_MAX, TAGS_MAX, TEXT_CHARACTERS_MAX, Donor, Given
from tenderline.core.errors import InvalidInputError
from tenderline.core.money import AMOUNT_MINOR_MAX, Money
from tenderline.core.pan import mask_card_numbers
from tenderline.core.phone import listed
from tenderline.crm.base import Failure, Gift, LookupFailed

COUNT_MAX: Final = 1_000_000
PHONES_MAX: Final = 20
_LANGUAGE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")

Amount = int | float | str | None
Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)] | None


class Record(msgspec.Struct, kw_only=True):
    """What a donor is told by: the fields of the document's look-up, and the columns of a query. All may be left out.

    `donor_tier`, `last_donation_date`, `donor_segment` and `urgency_score` are the document's own words.
    """

    donor_id: str | int | None = None
    name: str | None = None
    phone: str | None = None
    phones: list[str] | None = None
    email: str | None = None
    language: str | None = None
    donor_tier: str | None = None
    donor_segment: str | None = None
    urgency_score: int | float | None = None
    currency: str | None = None
    lifetime_value: Amount = None
    last_donation_date: str | None = None
    last_donation_amount: Amount = None
    largest_donation: Amount = None
    donation_count: Count = None
    donations_last_12_months: Count = None
    recurring: bool | None = None
    preferred_agent: str | None = None
    preferred_contact_windows: list[str] | None = None
    notes: list[str] | str | None = None
    tags: list[str] | None = None


def text(value: str | None, length_max: int = TEXT_CHARACTERS_MAX) -> str | None:
    """One line of it without control characters and card numbers; None when nothing is left."""
    if value is None:
        return None
    line = " ".join("".join(one if one.isprintable() else " " for one in value[: length_max * 4]).split())
    line = mask_card_numbers(line)
    return (line if len(line) <= length_max else f"{line[: length_max - 1]}…") or None


def money(amount: Amount, currency: str | None, who: str) -> Money | None:
    """An amount in units (25.00) as money; zero and less are money too (all of it was refunded)."""
    if amount is None or amount == "":
        return None
    try:
        code = Money.parse(1, currency).currency
        minor = Decimal(str(amount)).scaleb(get_currency_precision(code))
        if not minor.is_finite() or minor != minor.to_integral_value() or abs(minor) > AMOUNT_MINOR_MAX:
            raise ArithmeticError
    except (ArithmeticError, ValueError, InvalidInputError):  # a number of thousands of digits is a ValueError
        raise LookupFailed(Failure.WRONG_SHAPE, f"{who} told an amount of money that is none.") from None
    return Money(int(minor), code)


def day(value: str | None, who: str) -> date | None:
    """A day, also of an instant."""
    if not value:
        return None
    try:
        return date.fromisoformat(value) if len(value) <= 10 else datetime.fromisoformat(value).date()
    except ValueError:
        raise LookupFailed(Failure.WRONG_SHAPE, f"{who} told a date that is none.") from None


def language(value: str | None) -> str | None:
    """`es_MX` as es-MX; None for what is no language."""
    return value.replace("_", "-") if value and _LANGUAGE.fullmatch(value) else None


def require_number(said: Iterable[str | None], number: str, region: str | None, who: str) -> None:
    """The record must have the number that was asked for. Raises `LookupFailed` when it has none that is it."""
    for one in list(said)[:PHONES_MAX]:
        try:
            if one and listed(one, region) == number:
                return
        except InvalidInputError:
            continue
    raise LookupFailed(Failure.ANOTHER_PERSON, f"{who} told of a person who does not have the caller's number.")


def require_one(found: list[Donor], others: LookupFailed | None) -> list[Donor]:
    """`found`, unless only others were. Raises the failure that one of the others was."""
    if not found and others is not None:
        raise others
    return found


def of_email(found: Iterable[Donor], email: str) -> list[Donor]:
    """Those who have this address, however a search came to them."""
    return [one for one in found if one.email is not None and one.email.casefold() == email.casefold()]


def donor(record: Record, who: str, currency: str) -> Donor:
    """The donor of a record. Raises `LookupFailed` when a figure is none."""
    currency = record.currency or currency
    given_on = day(record.last_donation_date, who)
    last = None if given_on is None else Given(given_on, money(record.last_donation_amount, currency, who))
    score = record.urgency_score
    notes = [record.notes] if isinstance(record.notes, str) else record.notes or []
    return Donor(
        crm_id=text(str(record.donor_id)) or "" if record.donor_id is not None else "",
        name=text(record.name),
        phone=text(record.phone),
        email=text(record.email),
        language=language(record.language),
        tier=text(record.donor_tier),
        segment=text(record.donor_segment),
        urgency_score=round(score) if score is not None and math.isfinite(score) and abs(score) < 1e9 else None,
        lifetime_value=money(record.lifetime_value, currency, who),
        last_gift=last,
        largest_gift=money(record.largest_donation, currency, who),
        gift_count=record.donation_count,
        gifts_last_year=record.donations_last_12_months,
        is_recurring=record.recurring,
        preferred_agent=text(record.preferred_agent),
        preferred_windows=_texts(record.preferred_contact_windows, TAGS_MAX),
        notes=_texts(notes, NOTES_MAX),
        tags=_texts(record.tags, TAGS_MAX),
    )


def _texts(values: Sequence[str] | None, count_max: int) -> tuple[str, ...]:
    return tuple(one for one in (text(value) for value in (values or [])[:count_max]) if one is not None)


def choose(found: list[Donor]) -> Donor | None:
    """Of several donors with one number (a household): who gave last, then who gave more, then the smaller id."""

    def rank(one: Donor) -> tuple[int, int, str]:
        last = one.last_gift.on.toordinal() if one.last_gift else 0
        return (-last, -(one.lifetime_value.minor if one.lifetime_value else 0), one.crm_id)

    return min(found, key=rank, default=None)


def written(amount: Money) -> str:
    """Money as CRMs take it: in units, with the currency's own decimals."""
    exponent = get_currency_precision(amount.currency)
    return f"{Decimal(amount.minor).scaleb(-exponent):.{exponent}f}"


def about(entry: Gift, *, length_max: int) -> str:
    """A gift in one line, with what became of it: for CRMs that have no field for that."""
    back = entry.given_back if entry.left != entry.amount else None
    part = f"({back.format()} of {entry.amount.format()} given back)" if back else None
    ended = None if entry.standing == "completed" else f"({entry.standing})"
    said = " ".join(filter(None, ("Telephone gift", part, ended, entry.campaign, entry.fund, entry.reference)))
    return said[:length_max]


def without_none(fields: Mapping[str, object]) -> dict[str, object]:
    """What is not given stays as it is there."""
    return {name: value for name, value in fields.items() if value is not None}


def spellings(number: str) -> tuple[str, ...]:
    """How people write a number (E.164) into a CRM that compares texts."""
    parsed = phonenumbers.parse(number)
    forms = phonenumbers.PhoneNumberFormat
    international = phonenumbers.format_number(parsed, forms.INTERNATIONAL)
    national = phonenumbers.format_number(parsed, forms.NATIONAL)
    bare = phonenumbers.national_significant_number(parsed)
    dashed = f"{bare[:3]}-{bare[3:6]}-{bare[6:]}" if parsed.country_code == 1 and len(bare) == 10 else national
    return tuple(dict.fromkeys((number, number[1:], international, national, bare, dashed)))
