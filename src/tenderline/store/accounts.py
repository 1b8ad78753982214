"""Accounts that callers are identified by: their rows, and how often somebody tried.

A try is counted before it is judged, and outside of any transaction: of tries at the same time none is free, and a
process that dies has counted its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from tenderline.core.money import Money
from tenderline.store import limits
from tenderline.store.db import Connection, query

SWEEP_EVERY: Final = 100
"""On average, one try in so many also sweeps old ones away."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account as it may be shown."""

    number: str
    person_id: UUID
    has_pin: bool
    postal_code: str | None
    balance_minor: int | None
    currency: str | None
    read_in_at: datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """An account that somebody says is hers, with what proves it. It shows nothing of that in a log."""

    number: str
    person_id: UUID
    name: str | None
    pin_hash: str | None
    postal_code: str | None
    balance_minor: int | None
    currency: str | None
    is_callers: bool
    """The caller's number is one of the person's."""

    def __repr__(self) -> str:
        return "Candidate(…)"

    @property
    def balance(self) -> Money | None:
        """What is owed; None when nothing is, or nobody knows."""
        if not self.balance_minor or self.currency is None:
            return None
        return Money(self.balance_minor, self.currency)


async def get(connection: Connection, number: str) -> Account | None:
    """One account."""
    row = await connection.fetchrow(query("accounts", "get"), number)
    return Account(**row) if row else None


async def put(
    connection: Connection,
    *,
    number: str,
    person_id: UUID,
    pin_hash: str | None,
    postal_code: str | None,
    balance_minor: int | None,
    currency: str | None,
) -> bool:
    """An account as it is from now on; whose it is stays. True when it is new."""
    return bool(
        await connection.fetchval(
            query("accounts", "put"), number, person_id, pin_hash, postal_code, balance_minor, currency
        )
    )


async def remove(connection: Connection, number: str) -> bool:
    """Nobody is identified by it any more; False when there was none."""
    return await connection.fetchval(query("accounts", "remove"), number) is not None


async def candidate(connection: Connection, number: str, caller: str | None) -> Candidate | None:
    """The account of this number; None when there is none."""
    row = await connection.fetchrow(query("accounts", "candidate"), number, caller)
    return Candidate(**row) if row else None


async def of_caller(connection: Connection, caller: str) -> tuple[str, str | None] | None:
    """(number, name) of the only account of whoever has this number; None when there is none, or more than one."""
    rows = await connection.fetch(query("accounts", "of_caller"), caller)
    return (rows[0]["number"], rows[0]["name"]) if len(rows) == 1 else None


def of_account(number: str) -> str:
    """Who tries are counted of."""
    return limits.subject("account", number)


def of_number(caller: str | None) -> str:
    """The same, by the caller's number; those who withhold it are counted together."""
    return limits.subject("caller", caller or "")


async def count_try(connection: Connection, subject: str, *, window_s: int) -> int:
    """Counts one try, and says how many there were since the first one of the window."""
    assert not connection.is_in_transaction(), "a rolled back try must still count"
    tries = await connection.fetchval(query("accounts", "count_try"), subject, float(window_s))
    if random.randrange(SWEEP_EVERY) == 0:  # noqa: S311  # spreading work is not a secret
        await connection.execute(query("accounts", "sweep_tries"), float(window_s))
    return int(tries)


async def tries(connection: Connection, subject: str, *, window_s: int) -> int:
    """How many there were."""
    return await connection.fetchval(query("accounts", "tries"), subject, float(window_s)) or 0


async def forget_tries(connection: Connection, subject: str) -> None:
    """Whoever it was has proven who she is, or somebody here says so."""
    await connection.execute(query("accounts", "forget_tries"), subject)


async def take_try_back(connection: Connection, subject: str) -> None:
    """That one was right; those before it stay counted."""
    await connection.execute(query("accounts", "take_try_back"), subject)


async def book(connection: Connection, session_id: UUID, number: str) -> None:
    """The payment is for this account, if it is the payer's."""
    await connection.execute(query("accounts", "book"), session_id, number)


async def paid(connection: Connection, session_id: UUID) -> None:
    """Its money has arrived, once: the balance is less by it."""
    await connection.execute(query("accounts", "paid"), session_id)
