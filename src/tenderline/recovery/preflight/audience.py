"""The people of a rehearsal, read from a CSV file line by line; what cannot be read is told with line and reason."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tenderline.compliance.facts import ConsentClass
from tenderline.core import mailbox, phone, zones
from tenderline.core.errors import InvalidInputError
from tenderline.core.places import Address

LINES_MAX: Final = 5_000_000
COLUMNS: Final = {
    "phone": ("phone", "telephone", "phone_number", "mobile", "number"),
    "email": ("email", "e_mail", "mail", "email_address"),
    "country": ("country", "country_code"),
    "region": ("region", "state", "province"),
    "postal_code": ("postal_code", "zip", "zip_code", "postcode"),
    "zone": ("zone", "time_zone", "timezone"),
    "consent": ("consent", "consents", "consent_class"),
    "opted_out": ("opted_out", "opt_out", "unsubscribed", "stop"),
    "last_contact_at": ("last_contact_at", "last_contacted_at", "last_contact"),
    "failed_at": ("failed_at", "due_at", "failed"),
}
_YES: Final = frozenset({"1", "y", "yes", "true", "x"})
_NO: Final = frozenset({"", "0", "n", "no", "false"})


class UnknownColumnsError(InvalidInputError):
    """The contacts cannot be read: the first line must name the columns, one of them phone or email."""

    code = "preflight.columns"


class UnreadableLineError(InvalidInputError):
    """A line of the contacts cannot be read; the message says which and why."""

    code = "preflight.line"


@dataclass(frozen=True, slots=True)
class Contact:
    """One person of the file."""

    line: int
    phone: str | None
    email: str | None
    address: Address | None
    zone: str | None
    consents: tuple[str, ...]
    opted_out: bool
    last_contact_at: datetime | None
    failed_at: datetime | None


def columns_of(header: Iterable[str]) -> dict[str, int]:
    """Which column stands where. Raises `UnknownColumnsError` naming what is not known or missing."""
    found: dict[str, int] = {}
    unknown: list[str] = []
    for place, written in enumerate(header):
        name = written.strip().lstrip("\ufeff").lower().replace(" ", "_").replace("-", "_")
        known = next((column for column, names in COLUMNS.items() if name in names), None)
        if known is None:
            unknown.append(written.strip()[:40])
        elif known in found:
            raise UnknownColumnsError(f"Two columns tell the {known}; leave one out.")
        else:
            found[known] = place
    if unknown:
        raise UnknownColumnsError(f"No column is called {unknown[0]!r}; there are {', '.join(COLUMNS)}.")
    if not {"phone", "email"} & set(found):
        raise UnknownColumnsError("Nobody can be reached: name a column phone or email in the first line.")
    return found


def read(
    rows: Iterable[list[str]], columns: dict[str, int], *, first_line: int, default_region: str
) -> Iterator[Contact | UnreadableLineError]:
    """Each person, or why her line cannot be read. Empty lines are skipped."""
    for number, row in enumerate(rows, first_line):
        if not any(cell.strip() for cell in row):
            continue
        told = {name: row[place].strip() if place < len(row) else "" for name, place in columns.items()}
        try:
            yield _contact(number, told, default_region)
        except InvalidInputError as error:
            yield UnreadableLineError(f"line {number}: {error.detail}")
        except ValueError as error:
            yield UnreadableLineError(f"line {number}: {error}")


def _contact(line: int, told: dict[str, str], default_region: str) -> Contact:
    country = told.get("country", "").upper()
    number, address = told.get("phone"), told.get("email")
    zone = told.get("zone") or None
    if zone is not None and not zones.is_known(zone):
        raise ValueError(f"{zone[:40]!r} is no time zone, such as America/New_York")
    consents = tuple(told.get("consent", "").replace(";", " ").replace("+", " ").split())
    if unknown := [one for one in consents if one not in frozenset(ConsentClass)]:
        raise ValueError(f"{unknown[0][:40]!r} is no consent; there are {', '.join(ConsentClass)}")
    opted_out = told.get("opted_out", "").lower()
    if opted_out not in _YES | _NO:
        raise ValueError(f"opted_out is {opted_out[:20]!r}; write yes or no")
    if not number and not address:
        raise ValueError("it has neither a telephone number nor an e-mail address")
    return Contact(
        line=line,
        phone=phone.normalise(number, country or default_region) if number else None,
        email=mailbox.normalise(address) if address else None,
        address=Address(country, told.get("region") or None, told.get("postal_code") or None) if country else None,
        zone=zone,
        consents=consents,
        opted_out=opted_out in _YES,
        last_contact_at=_instant(told.get("last_contact_at")),
        failed_at=_instant(told.get("failed_at")),
    )


def _instant(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no instant; write 2026-11-20T17:00:00Z") from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def sample(count: int, start: datetime) -> Iterator[list[str]]:
    """People who are nobody, the same ones each time: for trying it out. The first row names the columns."""
    chance = random.Random(20_261_121)  # noqa: S311  # made up, and the same for everybody
    areas = ("202", "212", "305", "312", "415", "512", "617", "702", "808", "850", "907", "401", "206", "713", "615")
    yield ["phone", "email", "consent", "opted_out", "failed_at"]
    for number in range(count):
        digits = f"+1{chance.choice(areas)}555{chance.randrange(10_000):04}"
        failed_at = start + timedelta(minutes=chance.randrange(14 * 24 * 60))
        yield [
            digits if chance.random() < 0.9 else "",
            f"p{number}@example.org" if chance.random() < 0.8 or number % 10 == 0 else "",
            "PEC" if chance.random() < 0.9 else "",
            "yes" if chance.random() < 0.02 else "",
            failed_at.isoformat(timespec="minutes"),
        ]


def rows_of(lines: Iterable[str]) -> Iterator[list[str]]:
    """The cells of a CSV text; the separator is a comma, a semicolon or a tab, as its first line has it."""
    source = iter(lines)
    head = next(source, "")
    delimiter = max(",;\t", key=head.count)
    yield from csv.reader(_chain(head, source), delimiter=delimiter)


def _chain(head: str, rest: Iterator[str]) -> Iterator[str]:
    yield head
    yield from rest
