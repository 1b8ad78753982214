"""Whom in a CRM an entry is about: one of those who share her number, or, for silence, all who share an address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from tenderline.core.donor import Donor
from tenderline.crm.base import Failure, LookupFailed, OptOut, Written
from tenderline.crm.record import choose

ADDRESSES_MAX: Final = 10

Search = Callable[[str], Awaitable[list[Donor]]]


async def meant(entry: Written, by_number: Search, by_email: Search) -> tuple[str, ...]:
    """The CRM's ids; none when it knows nobody. Raises `LookupFailed`.

    Of a household one is taken as look-ups take her; but the word of one silences all: nobody can tell who said it.
    """
    whom = entry.whom
    if isinstance(entry, OptOut):
        found = [one for number in whom.phones[:ADDRESSES_MAX] for one in await _known(by_number, number)]
        found += await _known(by_email, whom.email) if whom.email else []
        return tuple(dict.fromkeys(one.crm_id for one in found))
    if whom.phone is not None:
        one_of = choose(await _known(by_number, whom.phone))
    else:
        one_of = choose(await _known(by_email, whom.email)) if whom.email else None
    return () if one_of is None else (one_of.crm_id,)


async def _known(search: Search, address: str) -> list[Donor]:
    """A record of somebody who has another number is not hers: she is not known there."""
    try:
        return await search(address)
    except LookupFailed as failed:
        if failed.reason is Failure.ANOTHER_PERSON:
            return []
        raise
