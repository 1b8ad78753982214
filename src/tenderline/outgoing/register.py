"""A new receiver of webhooks: its address is looked over before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from tenderline.app import Services
from tenderline.core.pan import holds_card_number
from tenderline.outgoing import addresses
from tenderline.outgoing.addresses import AddressRefusedError
from tenderline.outgoing.sender import policy_of
from tenderline.store import webhook_endpoints
from tenderline.store.webhook_endpoints import KEY_PURPOSE


async def add(
    services: Services, url: str, names: Sequence[str], *, by: str, asked_as: str | None = None
) -> tuple[UUID, str]:
    """(id, secret) of a new endpoint; the secret is shown once. `asked_as`: the name by which flows ask it.

    Raises `AddressRefusedError` or `InvalidInputError`."""
    if holds_card_number(url.encode("utf-8", "replace")):
        raise AddressRefusedError("The webhook's address holds what looks like a card number.")
    await addresses.require_usable(url, policy_of(services.settings.webhooks))
    async with services.pool.acquire() as connection, connection.transaction():
        return await webhook_endpoints.add(
            connection, url, names, services.key_for(KEY_PURPOSE), by=by, asked_as=asked_as
        )


async def rotate_secret(services: Services, endpoint_id: UUID, *, by: str) -> str:
    """A new secret, shown once; for a day the old one signs beside it."""
    async with services.pool.acquire() as connection, connection.transaction():
        return await webhook_endpoints.rotate_secret(connection, endpoint_id, services.key_for(KEY_PURPOSE), by=by)
