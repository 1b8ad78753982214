"""Which money nobody here can explain, so that somebody looks at it: every charge ends COMPLETED, FAILED, or here."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from tenderline.core.errors import NotFoundError, TenderlineError
from tenderline.core.pan import require_no_card
from tenderline.store import audit, payments, unmatched
from tenderline.store.db import Connection
from tenderline.store.payments import PaymentRow
from tenderline.store.unmatched import Source

NOTE_LENGTH_MAX: Final = 500
LATE_S: Final = 900.0
"""Money of which nobody told the end for so long is looked at by a person; the gateway goes on being asked."""
FOUND_MAX: Final = 200


class AlreadySettledError(TenderlineError):
    """Somebody has settled this already; the page shows who, and with what note."""

    code = "unmatched.already_settled"
    status = 409


async def look_at_arrival(connection: Connection, payment_id: UUID, *, shared_account: bool) -> None:
    """Money has arrived: does what is known here explain it? `shared_account`: others charge there too."""
    payment = await payments.get(connection, payment_id)
    source = await unmatched.source_of(connection, payment.gateway, payment.transaction_id)
    if source is not None:
        await _compare(connection, payment, source)
    elif not shared_account and not await _is_explained(connection, payment):
        await _add(connection, "not_begun_here", payment, None)


async def _is_explained(connection: Connection, payment: PaymentRow) -> bool:
    """The gateway's own billing, a payment that had failed before, or a debt that a case asked for."""
    if payment.invoice_reference or payment.subscription_reference or payment.reason:
        return True
    return await unmatched.is_asked_for(connection, payment.id)


async def _compare(connection: Connection, payment: PaymentRow, source: Source) -> None:
    if source.charge_state in ("declined", "refused"):
        await _add(connection, "refused_but_paid", payment, source)
    if (payment.amount_minor, (payment.currency or "").upper()) != (source.amount_minor, source.currency):
        await _add(connection, "other_amount", payment, source)
    if source.paid_before:
        await _add(connection, "paid_twice", payment, source)


async def _add(connection: Connection, kind: unmatched.Kind, payment: PaymentRow, source: Source | None) -> None:
    currency = payment.currency.upper() if payment.currency else None
    await unmatched.add(
        connection,
        kind,
        payment.gateway,
        payment.transaction_id,
        transaction_id=payment.transaction_id,
        payment_id=payment.id,
        session_id=source.session_id if source else None,
        money=(payment.amount_minor, currency),
        expected=(source.amount_minor, source.currency) if source else (None, None),
    )


async def look_at_late(connection: Connection, *, older_than_s: float = LATE_S) -> None:
    """Charges and refunds of which nobody told the end come onto the page; those that have ended since leave it."""
    await unmatched.take_off_what_ended(connection)
    for charge in await unmatched.late_charges(connection, older_than_s=older_than_s, limit=FOUND_MAX):
        await unmatched.add(
            connection,
            "not_told" if charge.state == "taken" else "charge_unknown",
            charge.gateway,
            str(charge.id),
            transaction_id=charge.transaction_id,
            payment_id=charge.payment_id,
            session_id=charge.session_id,
            money=(charge.amount_minor, charge.currency),
        )
    for refund in await unmatched.late_refunds(connection, older_than_s=older_than_s, limit=FOUND_MAX):
        await unmatched.add(
            connection,
            "refund_unknown",
            refund.gateway,
            str(refund.id),
            transaction_id=refund.transaction_id,
            payment_id=refund.payment_id,
            money=(refund.amount_minor, refund.currency),
        )


async def settle_by_hand(connection: Connection, row_id: UUID, *, by: str, note: str) -> None:
    """Somebody has explained it. Raises `NotFoundError` or `AlreadySettledError`; audited."""
    require_no_card(note)
    what = await unmatched.settle(connection, row_id, by=by, note=note)
    if what is None:
        if await unmatched.exists(connection, row_id):
            raise AlreadySettledError()
        raise NotFoundError("There is no unmatched money of this id; the page of payments shows what there is.")
    await audit.append(
        connection, actor=by, action="unmatched.settled", subject=f"unmatched:{row_id}", data={**what, "note": note}
    )
