"""What the product asks of a CRM. Adding one is a file beside this one that answers it.

A look-up has two answers, a donor or nobody, and one failure with a reason that may be shown. Writing is repeated after
a failure, so each entry has a key of ours: whatever is written twice under one key is there once.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, Protocol
from uuid import UUID

import msgspec

from tenderline.core.donor import Donor
from tenderline.core.errors import ProviderError
from tenderline.core.money import Money

ANSWER_BYTES_MAX: Final = 256 * 1024
"""A donor is a few hundred bytes. More is a mistake, or somebody else's page."""

LookUpBy = Literal["ANI", "DNIS"]
"""By the number that calls, or by the number that was called (a CRM may be indexed by campaign number)."""


class Failure(StrEnum):
    """Why a look-up brought nothing; the words of `donor_lookup_failure`."""

    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    ACCESS_REFUSED = "access_refused"
    BUSY = "busy"
    SERVER_ERROR = "server_error"
    REDIRECTED = "redirected"
    TOO_LARGE = "too_large"
    CUT_OFF = "cut_off"
    NO_JSON = "no_json"
    WRONG_SHAPE = "wrong_shape"
    ANOTHER_PERSON = "another_person"
    SKIPPED = "skipped"
    """Not asked at all: the CRM is too slow or away just now."""


class CrmUnavailableError(ProviderError):
    """The CRM did not answer; it is asked again with growing pauses."""

    code = "crm_unavailable"


class CrmRefusedError(ProviderError):
    """The CRM refused the request; the log names what and why."""

    code = "crm_refused"


class LookupFailed(ProviderError):
    """The CRM could not tell who calls; the call goes on as that of an unknown donor."""

    code = "donor_lookup_failure"

    def __init__(self, reason: Failure, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Whom(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an entry is about. The CRM is asked for her by the first of the numbers, or by the e-mail address where
    there is none; for silence by all of them."""

    person_id: UUID
    phones: tuple[str, ...] = ()
    name: str | None = None
    email: str | None = None

    @property
    def phone(self) -> str | None:
        """The number by which she is looked for."""
        return self.phones[0] if self.phones else None

    @property
    def label(self) -> str:
        """What stands for a name where one must be."""
        return self.name or self.phone or self.email or str(self.person_id)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The root of what is written back. `key` is ours, and never changes over retries.

    `is_there`: the CRM has it already. It is changed there, and stays with whom it is: another search might find
    another one of the household. `at` has the organisation's zone: some CRMs keep a day or an hour without one.
    """

    key: UUID
    whom: Whom
    at: datetime
    is_there: bool = False


Standing = Literal["completed", "refunded", "disputed"]


class Gift(Entry, frozen=True, kw_only=True):
    """Money that arrived, and how it stands now: under the same key, whatever became of it since."""

    amount: Money
    """As it arrived."""
    reference: str
    fund: str | None = None
    campaign: str | None = None
    standing: Standing = "completed"
    given_back: Money | None = None
    """The part of a completed one that has gone back so far; nothing, when what had gone back came back."""

    @property
    def left(self) -> Money:
        """What of it is still a gift."""
        back = 0 if self.given_back is None else self.given_back.minor
        return Money(self.amount.minor - back, self.amount.currency)


class OptOut(Entry, frozen=True, kw_only=True):
    """Somebody wants no contact on any channel any more. `address`: by which she said so."""

    channel: str
    address: str = ""


class Disposition(Entry, frozen=True, kw_only=True):
    """How a call ended, in the words of the desk: promise_to_pay, call_back, …"""

    code: str
    note: str = ""
    conversation_id: UUID | None = None


Written = Gift | OptOut | Disposition


class Crm(Protocol):
    """One CRM."""

    name: str
    looks_up_by: frozenset[LookUpBy]
    writes: bool
    """Whether anything can be written: a database is only read."""

    async def find(self, number: str, *, by: LookUpBy = "ANI") -> Donor | None:
        """Who has this number (E.164); None when the CRM knows nobody. Raises `LookupFailed`, and nothing else,
        whatever the other side does."""
        ...

    async def write(self, entry: Written) -> bool:
        """Writes it, once for each key; False when the CRM knows nobody by these addresses, and nothing was written.

        Whom it does not know becomes known by a gift, and by nothing else. Silence is for everybody there who has one
        of the addresses. Raises `CrmUnavailableError` or `CrmRefusedError`."""
        ...

    async def check(self) -> str:
        """For the doctor: one line saying what answered; raises with what to do about it."""
        ...

    async def close(self) -> None:
        """Closes connections."""
        ...
