"""Sending missed webhooks again: what failed, what waits for a long pause, and what an endpoint was never told.

Every message goes under the webhook-id it had, so who got it after all takes it once. What was delivered stays
delivered unless it is asked for again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError
from tenderline.core.outgoing import TEST, kinds_of
from tenderline.store import audit, outgoing, webhook_endpoints
from tenderline.store.db import Connection, query
from tenderline.store.webhook_endpoints import Endpoint, EndpointStateError

REPLAYED_MAX: Final = 10_000
SINCE_DAYS_MAX: Final = 90
"""Less than `outgoing.KEPT_DAYS`: what was delivered must still be known."""


async def replay(
    connection: Connection, since: datetime, *, endpoint_id: UUID | None = None, again: bool = False, by: str
) -> int:
    """Sends what was missed since then, to one endpoint or to all that are told; returns how many messages.

    Up to `REPLAYED_MAX` at a time. `again`: also what was delivered. Raises `NoEndpointError`, `EndpointStateError`
    or `InvalidInputError`.
    """
    if utc_now() - since > timedelta(days=SINCE_DAYS_MAX):
        raise InvalidInputError(
            f"What has arrived is known for {SINCE_DAYS_MAX} days; replay what is younger than that."
        )
    if endpoint_id is not None:
        endpoints = [await webhook_endpoints.get(connection, endpoint_id)]
        if endpoints[0].disabled_at is not None:
            raise EndpointStateError("The endpoint is disabled; enable it first.")
    else:
        endpoints = [one for one in await webhook_endpoints.list_all(connection) if one.disabled_at is None]
    if since > utc_now():
        return 0
    await connection.execute(query("outgoing", "lock_endpoints"), [one.id for one in endpoints])
    count = 0
    for endpoint in endpoints:
        count += await _replay_to(connection, endpoint, since, again, REPLAYED_MAX - count)
    if count:
        await connection.execute(query("outgoing", "end_pauses"), [one.id for one in endpoints])
        data = {"since": since.isoformat(), "endpoint": str(endpoint_id or "all"), "again": again, "count": count}
        await _audit(connection, data, by=by)
    return count


async def _replay_to(connection: Connection, endpoint: Endpoint, since: datetime, again: bool, limit: int) -> int:
    if limit <= 0:
        return 0
    rows = await connection.fetch(query("outgoing", "replay"), since, endpoint.id, again, TEST, limit)
    if (room := limit - len(rows)) <= 0:
        return len(rows)
    untold = await connection.fetch(
        query("outgoing", "untold_since"), endpoint.id, since, kinds_of(endpoint.events), room
    )
    return len(rows) + await outgoing.plan(connection, untold)


async def replay_chosen(connection: Connection, ids: Sequence[UUID], *, again: bool = False, by: str) -> list[UUID]:
    """Those of these that were missed are sent again; returns which. `again`: also those that were delivered."""
    await connection.execute(query("outgoing", "lock_endpoints_of"), list(ids))
    rows = await connection.fetch(query("outgoing", "replay_chosen"), list(ids), again, TEST)
    done = [row["id"] for row in rows]
    if done:
        await connection.execute(query("outgoing", "end_pauses"), list({row["endpoint_id"] for row in rows}))
        await _audit(connection, {"deliveries": [str(one) for one in done], "again": again}, by=by)
    return done


async def why_not(connection: Connection, delivery_id: UUID) -> str:
    """Why a message is not sent again."""
    found = await connection.fetchrow(query("outgoing", "states_of"), [delivery_id])
    if found is None:
        return "There is no such delivery; `tenderline webhooks deliveries` lists them."
    if found["is_disabled"]:
        return "Its endpoint is disabled; enable it first."
    if found["state"] == "delivered":
        return "It was delivered; ask for it to be sent again all the same (--again) if that is meant."
    return "It is on its way already, or was only a test."


async def _audit(connection: Connection, data: dict[str, Any], *, by: str) -> None:
    await audit.append(connection, actor=by, action="webhooks.replay", subject="webhooks", data=data)
