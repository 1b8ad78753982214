"""Trying rules of segments over a donor before they count: the rules as written, and somebody who is really known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime

from tenderline.app import Services
from tenderline.core.condition import Value
from tenderline.core.donor import Donor
from tenderline.core.money import Money
from tenderline.core.phone import normalise
from tenderline.crm.base import LookupFailed
from tenderline.routing import segments
from tenderline.routing.lookup import merge
from tenderline.routing.segments import Segmented, Segments
from tenderline.store import donors


@dataclass(frozen=True, slots=True)
class Seen:
    """One thing that the rules see, and what it means."""

    name: str
    text: str
    about: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What the rules would say of whoever has a number. `failure`: why the CRM could not be asked."""

    number: str
    donor: Donor | None
    segmented: Segmented
    seen: tuple[Seen, ...]
    failure: str | None


async def try_out(services: Services, rules: Segments, number: str) -> Trial:
    """Asks our own database and the CRM about a number. Raises `InvalidPhoneError` when it is none."""
    wanted = normalise(number, services.settings.compliance.default_region)
    async with services.pool.acquire() as connection:
        own = await donors.own(connection, wanted, zone=services.zone.key)
    told, failure = None, None
    if services.crm is not None:
        try:
            async with asyncio.timeout(services.settings.crm.budget_s):
                told = await services.crm.find(wanted)
        except LookupFailed as error:
            failure = error.detail
        except TimeoutError:
            failure = f"No answer within {services.settings.crm.budget_s:g} s."
    donor = merge(told, own.donor(wanted) if own is not None else None)
    today = datetime.now(services.zone).date()
    seen: tuple[Seen, ...] = ()
    if donor is not None:
        values, _ = segments.facts(rules, donor, today)
        seen = tuple(Seen(name, _text(rules, name, values[name]), about) for name, about in segments.FACTS.items())
    return Trial(wanted, donor, segments.decide(rules, donor, today), seen, failure)


_AMOUNTS = frozenset({"lifetime", "last_gift", "largest_gift"})


def _text(rules: Segments, name: str, value: Value) -> str:
    if name in _AMOUNTS and isinstance(value, int):
        shown = Money(abs(value), rules.currency).format()
        return f"-{shown}" if value < 0 else shown
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(value)
        case _:
            return str(value)
