"""Telephone numbers that regulators keep free for fiction, thousands of them, where it is day now.

Nothing is ever sent: the carrier is a simulated one on this machine. Should that fail one day, nobody is behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from tenderline.compliance.facts import PersonFacts
from tenderline.core import phone
from tenderline.core.errors import InvalidInputError
from tenderline.demo.daytime import is_hour_of
from tests.bench.ground import BenchmarkError

AHEAD = timedelta(minutes=10)
# ACMA (Australia): 10,000 behind each. Ofcom (United Kingdom): 1,000 behind each. North America: 555-0100 to 555-0199.
_AUSTRALIA = tuple(f"+61{area}{block}" for block in ("5550", "7010") for area in "237")
_UNITED_KINGDOM = (
    "+442079460", "+441134960", "+441144960", "+441164960", "+441174960", "+441184960", "+441214960", "+441314960",
    "+441414960", "+441514960", "+441614960", "+441914980", "+442890180", "+442920180",
)  # fmt: skip


def _candidates() -> Iterator[str]:
    for prefix in _AUSTRALIA:
        yield from _block(prefix, 4)
    for prefix in _UNITED_KINGDOM:
        yield from _block(prefix, 3)
    for area in range(200, 990):
        yield from _block(f"+1{area}55501", 2)


def _block(prefix: str, digits: int) -> Iterator[str]:
    """The numbers of a block, when it is one and lies where it is day; the first of them speaks for all."""
    if _is_day(f"{prefix}{0:0{digits}d}"):
        for number in range(10**digits):
            yield f"{prefix}{number:0{digits}d}"


def _is_day(number: str) -> bool:
    now = datetime.now(UTC)
    try:
        given = phone.normalise(number)
    except InvalidInputError:
        return False
    person = PersonFacts(zones=phone.zones(given), regions=phone.regions(given))
    return bool(person.zones) and all(is_hour_of(person, instant) for instant in (now, now + AHEAD))


def numbers(count: int) -> list[str]:
    """That many different numbers, all of which the gate would let pass now."""
    found = list(islice(_candidates(), count))
    if len(found) < count:
        raise BenchmarkError(f"Only {len(found)} fictional numbers lie where it is day now; {count} are needed.")
    return found
