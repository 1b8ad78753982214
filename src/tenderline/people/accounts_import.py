"""Reading accounts in from a CSV file: whose they are, what proves it, what is owed.

Each line is a transaction of its own, and reading the same file again changes nothing: a process that dies is followed
by another reading. A line that is wrong is told by its number and reason, never by its text, which may hold a PIN.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, TextIO
from uuid import UUID

from babel.numbers import get_currency_precision

from tenderline.core import mailbox, phone
from tenderline.core.errors import InvalidInputError
from tenderline.core.money import AMOUNT_MINOR_MAX, Money
from tenderline.people.person import NAME_LENGTH_MAX
from tenderline.store import accounts, credentials, people
from tenderline.store.db import Connection, Pool

COLUMNS: Final = ("account", "pin", "postal_code", "name", "phone", "email", "balance", "currency")
LINES_MAX: Final = 200_000
FIELD_LENGTH_MAX: Final = 320
SOURCE: Final = "account"
_ACCOUNT, _PIN, _POSTAL_CODE = re.compile(r"[0-9]{3,12}"), re.compile(r"[0-9]{4,12}"), re.compile(r"[0-9]{3,10}")


class UnreadableAccountsError(InvalidInputError):
    """The file is no table of accounts: its first line names the columns, `account` among them."""

    code = "accounts.unreadable"


class _LineError(ValueError):
    """A line that cannot be read; the message says why, and nothing of what it holds."""


@dataclass(frozen=True, slots=True)
class Line:
    """One account as the file has it."""

    number: str
    pin: str | None
    postal_code: str | None
    name: str | None
    phone: str | None
    email: str | None
    balance_minor: int | None
    currency: str | None

    def __repr__(self) -> str:
        return "Line(…)"


@dataclass(slots=True)
class Report:
    """What became of a file."""

    lines: int = 0
    new: int = 0
    changed: int = 0
    rejected: int = 0


OnReject = Callable[[int, str], None]
"""Told a line's number, and why it was not taken."""


async def read_in(pool: Pool, file: TextIO, *, region: str, currency: str, on_reject: OnReject) -> Report:
    """Reads every line in that can be read. Raises `UnreadableAccountsError` before anything is changed."""
    report, seen = Report(), Counter[str]()
    for number, raw in _rows(file):
        report.lines += 1
        try:
            line = line_of(raw, region=region, currency=currency)
            seen[line.number] += 1
            if seen[line.number] > 1:
                raise _LineError("account: it stands in the file already")
            pin_hash = await credentials.hash_secret(line.pin) if line.pin else None
            async with pool.acquire() as connection, connection.transaction():
                is_new = await _put(connection, line, pin_hash)
        except _LineError as error:
            report.rejected += 1
            on_reject(number, str(error))
            continue
        report.new += is_new
        report.changed += not is_new
    return report


def _rows(file: TextIO) -> Iterator[tuple[int, Mapping[str, str]]]:
    reader = csv.DictReader(file, strict=True)
    try:
        names = [name.strip().casefold() for name in reader.fieldnames or ()]
        if "account" not in names or (unknown := sorted({*names} - {*COLUMNS})) or len({*names}) < len(names):
            told = f" {', '.join(unknown)} is none of them." if "account" in names and unknown else ""
            raise UnreadableAccountsError(f"The first line names the columns: {', '.join(COLUMNS)}.{told}")
        reader.fieldnames = names
        for count, row in enumerate(reader, start=1):
            if count > LINES_MAX:
                raise UnreadableAccountsError(f"The file has more than {LINES_MAX} lines; read it in in parts.")
            whole = None not in row and None not in row.values()
            yield reader.line_num, {key: value.strip() for key, value in row.items()} if whole else {}
    except (csv.Error, UnicodeDecodeError) as error:
        raise UnreadableAccountsError(
            f"Line {reader.line_num + 1} is no CSV in UTF-8: {type(error).__name__}."
        ) from None


def line_of(raw: Mapping[str, str], *, region: str, currency: str) -> Line:
    """A line looked over. Raises a `ValueError` that says what is wrong and not what was written."""
    if not raw:
        raise _LineError("it has more or fewer fields than the first line")
    if any(len(value) > FIELD_LENGTH_MAX or not value.isprintable() for value in raw.values()):
        raise _LineError(f"a field is longer than {FIELD_LENGTH_MAX} characters, or cannot be printed")
    number = raw["account"]
    if not _ACCOUNT.fullmatch(number):
        raise _LineError("account: 3 to 12 digits, since it is keyed in")
    pin, postal_code = raw.get("pin") or None, raw.get("postal_code") or None
    if pin is not None and not _PIN.fullmatch(pin):
        raise _LineError("pin: 4 to 12 digits")
    if postal_code is not None and not _POSTAL_CODE.fullmatch(postal_code):
        raise _LineError("postal_code: 3 to 10 digits, since it is keyed in; of 60601-1234 the first five")
    try:
        e164 = phone.normalise(raw["phone"], region) if raw.get("phone") else None
        email = mailbox.normalise(raw["email"]) if raw.get("email") else None
        unit = Money.parse(1, raw.get("currency") or currency).currency
    except InvalidInputError as error:
        raise _LineError(error.detail) from None
    balance = _minor(raw["balance"], unit) if raw.get("balance") else None
    name = (raw.get("name") or "")[:NAME_LENGTH_MAX] or None
    return Line(number, pin, postal_code, name, e164, email, balance, None if balance is None else unit)


def _minor(written: str, currency: str) -> int:
    """`125.50` in minor units."""
    try:
        minor = Decimal(written).scaleb(get_currency_precision(currency))
    except InvalidOperation:
        minor = Decimal("NaN")
    if not minor.is_finite() or minor != minor.to_integral_value() or not 0 <= minor <= AMOUNT_MINOR_MAX:
        raise _LineError(f"balance: an amount such as 125.50, 0 or more, in {currency}")
    return int(minor)


async def _put(connection: Connection, line: Line, pin_hash: str | None) -> bool:
    return await accounts.put(
        connection,
        number=line.number,
        person_id=await _whose(connection, line),
        pin_hash=pin_hash,
        postal_code=line.postal_code,
        balance_minor=line.balance_minor,
        currency=line.currency,
    )


async def _whose(connection: Connection, line: Line) -> UUID:
    """Whose account it is: hers who has it, or the telephone number, or the address. A list is no agreement to be
    contacted: none is noted."""
    owners = await people.find_owners(
        connection, phone=line.phone, email=line.email, source=SOURCE, reference=line.number
    )
    known = await accounts.get(connection, line.number)
    everybody = owners.all | ({known.person_id} if known else set())
    if len(everybody) > 1:
        raise _LineError("the account, the telephone number and the e-mail address are different people's here")
    if everybody:
        (person_id,) = everybody
        await people.lock(connection, person_id)
        await people.learn(connection, person_id, name=line.name, locale=None)
    else:
        person_id = await people.create(connection, name=line.name, locale=None)
        await people.lock(connection, person_id)
    if line.phone and owners.by_phone is None:
        await people.add_contact_point(connection, person_id, people.PHONE, line.phone)
    if line.email and owners.by_email is None:
        await people.add_contact_point(connection, person_id, people.EMAIL, line.email)
    await people.add_reference(connection, person_id, SOURCE, line.number)
    return person_id
