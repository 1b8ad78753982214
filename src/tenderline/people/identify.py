"""Finding out whether a caller is who she says: an account's number, and a proof that only she has.

Nobody learns here which accounts there are: one that there is not, one that is locked and a wrong proof cost the same
work and get the same answer. A PIN is looked at in memory and goes nowhere.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final, Literal

from tenderline.store import accounts, credentials
from tenderline.store.accounts import Candidate
from tenderline.store.db import Connection

Proof = Literal["pin", "postal_code", "caller"]
HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Limits:
    """How many tries may fail within a window that begins with the first."""

    of_account: int
    of_caller: int
    of_withheld: int
    window_s: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says that an account is hers. `candidate` is None when there is none, or no try is left."""

    number: str
    caller: str | None
    candidate: Candidate | None


async def claimed(connection: Connection, number: str, caller: str | None, limits: Limits) -> Claim:
    """Counts the try, and reads what it is judged by."""
    of_caller = limits.of_caller if caller else limits.of_withheld
    by_account = await accounts.count_try(connection, accounts.of_account(number), window_s=limits.window_s)
    by_caller = await accounts.count_try(connection, accounts.of_number(caller), window_s=limits.window_s)
    found = await accounts.candidate(connection, number, caller)
    is_open = by_account <= limits.of_account and by_caller <= of_caller
    return Claim(number, caller, found if is_open else None)


async def is_proven(claim: Claim, by: Proof, proof: str) -> bool:
    """Judges it; without a connection, for it takes its time. The same time, whatever the answer."""
    found = claim.candidate
    if by == "pin":
        return await credentials.matches(found.pin_hash if found else None, proof)
    await credentials.matches(None, proof)
    if found is None:
        return False
    if by == "postal_code":
        return found.postal_code is not None and hmac.compare_digest(found.postal_code.encode(), proof.encode())
    return found.is_callers


async def proven(connection: Connection, claim: Claim) -> None:
    """The account's tries are forgotten. The caller keeps those of before: they may have been at other accounts."""
    await accounts.forget_tries(connection, accounts.of_account(claim.number))
    await accounts.take_try_back(connection, accounts.of_number(claim.caller))
