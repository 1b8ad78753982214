"""Which segment a donor is of: rules in CEL over what is known of her, versioned, and safe to be wrong.

How ties are broken: the first rule that is true counts. Two gifts on one day are two gifts, and the larger is the last
one. A refunded gift is none, and is not in the lifetime value. Amounts of another currency are converted by the rules'
own rates, and count as not known without one. What is not known is zero, which no "over" is true of. A rule that has
no answer puts the donor into the default segment, and the problem is shown: nobody waits for a rule to be mended.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import cache
from importlib import resources
from typing import Annotated, Final

import msgspec
from babel.numbers import get_currency_precision

from tenderline.core.condition import Condition, InvalidConditionError, UnansweredError, Value
from tenderline.core.donor import Donor
from tenderline.core.errors import InvalidInputError
from tenderline.core.money import AMOUNT_MINOR_MAX, Money

TEXT_CHARACTERS_MAX: Final = 16_384
SEGMENTS_MAX: Final = 20
NUMBER_MAX: Final = 1_000_000
FACTS: Final = {
    "known": "whether anybody is known by the number",
    "gave": "whether there was a gift",
    "lifetime": "all gifts less refunds, in the rules' currency",
    "last_gift": "the last gift",
    "largest_gift": "the largest gift",
    "gift_count": "how many gifts",
    "gifts_last_year": "how many within the last twelve months",
    "months_since_last_gift": "whole months; 0 without a gift",
    "recurring": "whether she gives regularly",
    "tier": "the CRM's own word",
    "crm_segment": "the CRM's own segment",
    "urgency_score": "the CRM's own score",
    "language": "such as es",
    "tags": "the CRM's tags, a list",
}


class InvalidSegmentsError(InvalidInputError):
    """The rules of segments cannot be used; the message says which line of them and why."""

    code = "invalid_segments"


class SegmentRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One segment and who is of it."""

    name: Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9_]{0,39}$")]
    when: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    currency: str
    default: Annotated[str, msgspec.Meta(pattern="^[A-Za-z][A-Za-z0-9_]{0,39}$")]
    segment: list[SegmentRule]
    amounts: dict[str, str] = {}
    numbers: dict[str, Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]] = {}
    rates: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Segments:
    """Rules that can be used. `thresholds` holds amounts in minor units, and numbers."""

    currency: str
    default: str
    rules: tuple[tuple[SegmentRule, Condition], ...]
    thresholds: Mapping[str, int]
    amounts: frozenset[str]
    """Which of the thresholds are amounts."""
    rates: Mapping[str, Decimal]
    version: int | None = None
    """None: as shipped."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every segment there can be, in order, each once."""
        return tuple(dict.fromkeys((*(rule.name for rule, _ in self.rules), self.default)))


@dataclass(frozen=True, slots=True)
class Segmented:
    """The segment of a donor, and why. `problems`: what could not be answered or compared."""

    name: str
    why: str
    version: int | None
    problems: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """Why, with what went wrong."""
        return "; ".join((self.why, *self.problems))


def parse(text: str, *, version: int | None = None) -> Segments:
    """The rules of a TOML text. Raises `InvalidSegmentsError` naming what is wrong."""
    if len(text) > TEXT_CHARACTERS_MAX:
        raise InvalidSegmentsError(f"The rules are longer than {TEXT_CHARACTERS_MAX} characters; write fewer.")
    try:
        read = msgspec.convert(tomllib.loads(text), _File)
        currency = Money.parse(1, read.currency).currency
    except (ValueError, msgspec.ValidationError, RecursionError) as error:  # a number may have thousands of digits
        raise InvalidSegmentsError(f"The rules cannot be read: {str(error)[:300]}") from None
    if not 1 <= len(read.segment) <= SEGMENTS_MAX:
        raise InvalidSegmentsError(f"There are 1 to {SEGMENTS_MAX} segments; write each as [[segment]].")
    exponent = get_currency_precision(currency)
    amounts = {name: _minor(name, amount, exponent) for name, amount in read.amounts.items()}
    thresholds = {**amounts, **read.numbers}
    if clash := sorted((set(thresholds) & set(FACTS)) | (set(amounts) & set(read.numbers))):
        raise InvalidSegmentsError(f"The name {clash[0]!r} means two things; choose another one for the threshold.")
    rules = tuple((rule, _condition(rule, thresholds)) for rule in read.segment)
    rates = {code: _rate(code, rate) for code, rate in read.rates.items()}
    return Segments(currency, read.default, rules, thresholds, frozenset(amounts), rates, version)


def _condition(rule: SegmentRule, thresholds: Mapping[str, int]) -> Condition:
    try:
        condition = Condition(rule.when)
    except InvalidConditionError as error:
        raise InvalidSegmentsError(f"The condition of {rule.name} {error}.") from None
    if unknown := sorted(condition.variables - set(FACTS) - set(thresholds)):
        known = ", ".join((*FACTS, *thresholds))
        raise InvalidSegmentsError(f"The condition of {rule.name} names {unknown[0]!r}; there are {known}.")
    return condition


def _minor(name: str, amount: str, exponent: int) -> int:
    try:
        minor = Decimal(amount).scaleb(exponent)
        if minor != minor.to_integral_value() or not 0 <= minor <= AMOUNT_MINOR_MAX:
            raise InvalidOperation
    except (ArithmeticError, ValueError):
        raise InvalidSegmentsError(f'The amount {name} is none; write it as "5000" or "5000.00".') from None
    return int(minor)


def _rate(code: str, rate: str) -> Decimal:
    Money.parse(1, code)
    try:
        read = Decimal(rate)
        if not Decimal("0.000001") <= read <= Decimal(1_000_000):
            raise InvalidOperation
    except (ArithmeticError, ValueError):
        raise InvalidSegmentsError(f'The rate of {code} is none; write what one unit is worth, as "1.08".') from None
    return read


@cache
def shipped_text() -> str:
    """The rules that come with the product."""
    return resources.files("tenderline.routing").joinpath("rules", "segments.toml").read_text("utf-8")


@cache
def shipped() -> Segments:
    """The same, ready to use."""
    return parse(shipped_text())


def decide(segments: Segments, donor: Donor | None, today: date) -> Segmented:
    """The donor's segment; never raises."""
    if donor is None:
        return Segmented(segments.default, "nobody is known by this number", segments.version)
    values, problems = facts(segments, donor, today)
    for rule, condition in segments.rules:
        try:
            answer = condition.answer(values)
        except UnansweredError as error:
            return _failed(segments, rule, str(error), problems)
        if not isinstance(answer, bool):
            return _failed(segments, rule, "it comes to neither true nor false", problems)
        if answer:
            return Segmented(rule.name, rule.when, segments.version, problems)
    return Segmented(segments.default, "no rule fits", segments.version, problems)


def _failed(segments: Segments, rule: SegmentRule, why: str, problems: tuple[str, ...]) -> Segmented:
    said = f"the rule of {rule.name} has no answer, so the default counts: {why}"
    return Segmented(segments.default, said, segments.version, problems)


def facts(segments: Segments, donor: Donor, today: date) -> tuple[dict[str, Value], tuple[str, ...]]:
    """What the rules see of a donor, thresholds included; and what had to be taken as not known."""
    problems: list[str] = []

    def amount(name: str, money: Money | None) -> int:
        if money is None:
            return 0
        minor = _in_currency(segments, money)
        if minor is None:
            problems.append(f"{name} is in {money.currency}, which has no rate, and was taken as not known")
        return minor or 0

    last = donor.last_gift
    values: dict[str, Value] = {
        "known": True,
        "gave": last is not None or bool(donor.gift_count),
        "lifetime": amount("lifetime", donor.lifetime_value),
        "last_gift": amount("last_gift", last.amount if last else None),
        "largest_gift": amount("largest_gift", donor.largest_gift),
        "gift_count": donor.gift_count or 0,
        "gifts_last_year": donor.gifts_last_year or 0,
        "months_since_last_gift": months_between(last.on, today) if last else 0,
        "recurring": bool(donor.is_recurring),
        "tier": donor.tier or "",
        "crm_segment": donor.segment or "",
        "urgency_score": donor.urgency_score or 0,
        "language": donor.language or "",
        "tags": list(donor.tags),
    }
    return {**segments.thresholds, **values}, tuple(problems)


def _in_currency(segments: Segments, money: Money) -> int | None:
    if money.currency == segments.currency:
        return money.minor
    rate = segments.rates.get(money.currency)
    if rate is None:
        return None
    shift = get_currency_precision(segments.currency) - get_currency_precision(money.currency)
    return int((Decimal(money.minor) * rate).scaleb(shift))


def months_between(earlier: date, later: date) -> int:
    """Whole months: from 15 January it is one on 15 February, and none the day before. Never below zero.

    A month that has no such day is over on its last: from 31 January it is one on 1 March.
    """
    months = (later.year - earlier.year) * 12 + later.month - earlier.month
    return max(0, months - (later.day < earlier.day))
