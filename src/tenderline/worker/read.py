"""Reading the inbox: each stored webhook once, the most urgent first, with all that follows in one transaction."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID

import msgspec
import structlog

from tenderline.app import Services
from tenderline.core.errors import ConfigurationError
from tenderline.core.events import PaymentLookupWanted
from tenderline.core.facts import Payer
from tenderline.gateways.base import Gateway
from tenderline.messengers.base import InboundSource, IncomingMessage, Receipt
from tenderline.notify import delivery
from tenderline.payments import refunds, settle
from tenderline.people import person, replies
from tenderline.store import events, inbox, payments
from tenderline.store.db import Connection
from tenderline.store.inbox import Unread
from tenderline.store.people import Resolved

log = structlog.get_logger(__name__)

READ_BATCH = 200
READERS = 4


class UnknownSourceError(ConfigurationError):
    """A stored webhook comes from a source that is not configured any more; configure it, then replay the webhook."""

    code = "unknown_source"


async def read_some(services: Services) -> int:
    """Reads what is unread now, with a few readers side by side; returns how many webhooks were read."""
    waiting = await inbox.unread_ids(services.pool, limit=READ_BATCH)
    handle = partial(handle_webhook, services)
    queue = iter(waiting)

    async def reader() -> int:
        count = 0
        for inbox_id in queue:
            count += await inbox.read_one(services.pool, inbox_id, handle)
        return count

    return sum(await asyncio.gather(*(reader() for _ in range(min(READERS, len(waiting))))))


async def handle_webhook(services: Services, connection: Connection, unread: Unread) -> bool:
    """What one stored webhook leads to, in the caller's transaction. False: its gateway must be asked first."""
    if (gateway := services.gateways.get(unread.source)) is not None:
        return await _from_gateway(services, connection, gateway, unread)
    if (source := services.inbound.get(unread.source)) is not None:
        await _from_provider(services, connection, source, unread)
        return True
    raise UnknownSourceError(f"The source {unread.source!r} is not configured; configure it, then replay.")


async def _from_gateway(services: Services, connection: Connection, gateway: Gateway, unread: Unread) -> bool:
    understood = True
    for told_fact in gateway.normalise(unread.body):
        fact = told_fact
        if fact.transaction_id is None and fact.lookup is not None:
            known = await payments.transaction_of_invoice(connection, gateway.name, fact.lookup)
            if known is not None:  # what the gate may be asked about is settled here and now, without the gateway
                fact = msgspec.structs.replace(fact, transaction_id=known, lookup=None)
        if fact.transaction_id is None and fact.lookup is not None:
            told = PaymentLookupWanted(gateway=gateway.name, reference=fact.lookup, inbox_id=unread.id)
            await events.append(connection, [told])
            understood = False  # it may say that somebody paid: it holds her contacts until the gateway has answered
        else:
            await settle.apply(connection, gateway.name, fact, find_payer(services, connection, gateway.name))
    for refund in gateway.refunds_in(unread.body):
        await refunds.hear(connection, gateway.name, refund)
    return understood


def find_payer(services: Services, connection: Connection, source: str) -> settle.FindPayer:
    """Who a payer of that gateway is: handed into `settle`, since features do not know each other."""

    async def find(payer: Payer, beside: UUID | None) -> Resolved:
        region = services.settings.compliance.default_region
        return await person.resolve(connection, source, payer, default_region=region, beside=beside)

    return find


async def _from_provider(services: Services, connection: Connection, source: InboundSource, unread: Unread) -> None:
    match source.read(unread.body):
        case Receipt() as receipt:
            await delivery.on_receipt(services, connection, source.name, receipt)
        case IncomingMessage() as message:
            await replies.on_message(connection, message, unread.received_at)
        case None:
            pass
