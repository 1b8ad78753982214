"""Money of which nobody told the end: the gateway is asked, and whoever waits for a link gets it meanwhile.

Rows are looked at in turn, the one first that was looked at longest ago: one that never ends, or always fails, keeps
nobody from being asked for.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

import asyncpg
import structlog

from tenderline.app import Services
from tenderline.core.errors import TenderlineError
from tenderline.core.loops import goes_on
from tenderline.payments import refunds, telephone, unmatched
from tenderline.store import captures
from tenderline.store import refunds as store_refunds

log: structlog.stdlib.BoundLogger = structlog.get_logger()

DOUBT_AFTER_S: Final = 90.0
"""Longer than a charge may take: whoever makes it has ended, or is dead."""
UNSETTLED_AFTER_S: Final = 180.0
RECONCILED_MAX: Final = 50

# What passes by itself: the database or a provider went away, or a turn met a conflict.
PASSING: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    TenderlineError,
    ExceptionGroup,
)


async def ask_gateways(
    services: Services, *, doubt_after_s: float = DOUBT_AFTER_S, unsettled_after_s: float = UNSETTLED_AFTER_S
) -> int:
    """Charges and refunds whose end nobody knows, or of whose money no webhook told: one after the other, so that a
    gateway that is slow is not asked by many at once."""
    async with services.pool.acquire() as connection:
        tries = await captures.in_doubt(connection, older_than_s=doubt_after_s, limit=RECONCILED_MAX)
        tries += await captures.unsettled(connection, older_than_s=unsettled_after_s, limit=RECONCILED_MAX)
        backs = await store_refunds.still_open(connection, older_than_s=doubt_after_s, limit=RECONCILED_MAX)
    for one in tries:
        if goes_on():
            await _alone(f"charge:{one.id}", telephone.reconcile(services, one))
    for back in backs:
        if goes_on():
            await _alone(f"refund:{back.id}", refunds.reconcile(services, back))
    return 0


async def _alone(what: str, asking: Awaitable[object]) -> None:
    """What fails for one row is no reason to leave out those behind it."""
    try:
        await asking
    except PASSING as error:
        log.warning("not_reconciled", what=what, error=type(error).__name__, detail=str(error)[:300])


async def look_after(services: Services) -> int:
    """Payments that nobody is at any more end, with a link; what is late comes before somebody's eyes. No gateway is
    asked, so none can delay it."""
    await telephone.give_up_forsaken(services)
    async with services.pool.acquire() as connection, connection.transaction():
        await unmatched.look_at_late(connection)
    return 0
