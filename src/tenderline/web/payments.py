"""Payments by telephone, each payment with what went back of it, and the money that nobody here can explain."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.core.ids import uuid7
from tenderline.core.money import Money
from tenderline.desk import money_back
from tenderline.desk import payments as desk
from tenderline.desk.money_back import PaymentView
from tenderline.payments import refunds, unmatched
from tenderline.store import events
from tenderline.store import unmatched as rows
from tenderline.store.users import Permission
from tenderline.web.pages import HTML, page, render, services_of
from tenderline.web.sign_in import BACKGROUND, PERMISSION, field, session_of, shell

PATH: Final = "/payments"
UNMATCHED: Final = f"{PATH}/unmatched"
AMOUNT_LENGTH_MAX: Final = 20

AnyRequest = Request[Any, Any, Any]


async def _list(request: AnyRequest) -> str:
    async with services_of(request).pool.acquire() as connection:
        found = await desk.read(connection)
        waits = await rows.count(connection)
    return render("payments_live.html", payments=found, unmatched=waits)


@get(PATH, include_in_schema=False)
async def show_payments(request: AnyRequest) -> Response[str]:
    """The whole page."""
    return page("payments.html", live=await _list(request), **shell(request))


@get(f"{PATH}/live", include_in_schema=False, opt={BACKGROUND: True})
async def poll_payments(request: AnyRequest) -> Response[str]:
    """The live part alone."""
    return Response(await _list(request), media_type=HTML)


async def _view(request: AnyRequest, payment_id: UUID) -> tuple[PaymentView, Money | None]:
    """A payment, and what can still be given back of it."""
    async with services_of(request).pool.acquire() as connection:
        view = await money_back.read_payment(connection, payment_id)
        left = await refunds.left(connection, view.payment) if view is not None else None
    if view is None:
        raise NotFoundError("There is no payment of this id; the page of payments leads to those there are.")
    return view, left


@get(f"{PATH}/{{payment_id:uuid}}", include_in_schema=False)
async def show_payment(request: AnyRequest, payment_id: FromPath[UUID]) -> Response[str]:
    """One payment. Its form carries the id of the refund to be: sent twice, it is one."""
    view, left = await _view(request, payment_id)
    return page(
        "payment.html",
        view=view,
        live=render("payment_live.html", view=view, left=left),
        left=left,
        left_written=left.plain() if left is not None else "",
        may_refund=session_of(request).user.may(Permission.MONEY),
        refund_id=uuid7(),
        reason_max=refunds.REASON_LENGTH_MAX,
        **shell(request),
    )


@get(f"{PATH}/{{payment_id:uuid}}/live", include_in_schema=False, opt={BACKGROUND: True})
async def poll_payment(request: AnyRequest, payment_id: FromPath[UUID]) -> Response[str]:
    """The live part alone."""
    view, left = await _view(request, payment_id)
    return Response(render("payment_live.html", view=view, left=left), media_type=HTML)


@post(f"{PATH}/{{payment_id:uuid}}/refund", include_in_schema=False, opt={PERMISSION: Permission.MONEY})
async def refund(request: AnyRequest, payment_id: FromPath[UUID]) -> Redirect:
    """Gives money back: written down and audited first, then the gateway is asked."""
    services = services_of(request)
    form = await request.form()
    reason = field(form, "reason", length_max=refunds.REASON_LENGTH_MAX)
    written = field(form, "amount", length_max=AMOUNT_LENGTH_MAX)
    try:
        refund_id = UUID(str(form.get("refund", "")))
    except ValueError:
        raise InvalidInputError("The form was too old; load the page again.") from None
    async with services.pool.acquire() as connection, connection.transaction():
        payment = await refunds.payment_of(connection, payment_id)
        wanted = Money.read(written, payment.currency or "")
        await refunds.intend(
            connection,
            refund_id=refund_id,
            payment_id=payment_id,
            amount_minor=wanted.minor,
            reason=reason,
            by=session_of(request).user.email,
        )
    await refunds.carry_out(services, refund_id)
    await events.hint(services.pool)
    return Redirect(path=f"{PATH}/{payment_id}", status_code=303)


async def _unmatched(request: AnyRequest) -> str:
    async with services_of(request).pool.acquire() as connection:
        waits, done = await money_back.read_unmatched(connection)
        count = await rows.count(connection)
    session = session_of(request)
    return render(
        "unmatched_live.html",
        waits=waits,
        done=done,
        count=count,
        may_settle=session.user.may(Permission.MONEY),
        csrf_token=session.csrf_token,
        note_max=unmatched.NOTE_LENGTH_MAX,
    )


@get(UNMATCHED, include_in_schema=False)
async def show_unmatched(request: AnyRequest) -> Response[str]:
    """What waits for somebody, and what was settled last."""
    return page("unmatched.html", live=await _unmatched(request), **shell(request))


@get(f"{UNMATCHED}/live", include_in_schema=False, opt={BACKGROUND: True})
async def poll_unmatched(request: AnyRequest) -> Response[str]:
    """The live part alone."""
    return Response(await _unmatched(request), media_type=HTML)


@post(f"{UNMATCHED}/{{row_id:uuid}}/settle", include_in_schema=False, opt={PERMISSION: Permission.MONEY})
async def settle(request: AnyRequest, row_id: FromPath[UUID]) -> Redirect:
    """Somebody has explained it, with a note."""
    services = services_of(request)
    note = field(await request.form(), "note", length_max=unmatched.NOTE_LENGTH_MAX)
    async with services.pool.acquire() as connection, connection.transaction():
        await unmatched.settle_by_hand(connection, row_id, by=session_of(request).user.email, note=note)
    await events.hint(services.pool)
    return Redirect(path=UNMATCHED, status_code=303)
