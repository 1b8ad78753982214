"""The buttons of a payment on a live call: start it, ask for a field again, stop it."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError
from tenderline.desk.secure import FIELDS, MODES
from tenderline.payments import agent_started
from tenderline.payments.agent_started import Wish
from tenderline.store import live_commands
from tenderline.store.secure_sessions import Mode
from tenderline.store.users import Permission
from tenderline.web.pages import services_of
from tenderline.web.sign_in import PERMISSION, field, session_of

PATH: Final = "/calls/{call_id:uuid}/secure"
AMOUNT_LENGTH_MAX: Final = 20
FUND_LENGTH_MAX: Final = 60
_MODES: Final[dict[str, Mode]] = {"leave": "leave", "attended": "attended"}

AnyRequest = Request[Any, Any, Any]


def _back(call_id: UUID, form: Any) -> Redirect:
    """To the page that the button stood on: the agent's desk, or that of the call."""
    path = "/desk" if form.get("back") == "desk" else f"/calls/{call_id}"
    return Redirect(path=path, status_code=303)


@post(PATH, include_in_schema=False, opt={PERMISSION: Permission.TAKE_PAYMENT})
async def start(request: AnyRequest, call_id: FromPath[UUID]) -> Redirect:
    """The caller keys a card in; the agent gets her back with the result."""
    services = services_of(request)
    form = await request.form()
    mode = _MODES.get(str(form.get("mode")))
    if mode is None:
        raise InvalidInputError(f"Choose one: {', '.join(MODES.values())}.")
    amount = str(form.get("amount") or "").strip()[:AMOUNT_LENGTH_MAX] or None
    fund = str(form.get("fund") or "").strip()[:FUND_LENGTH_MAX]
    wish = Wish(mode=mode, amount=amount, values={"fund": fund} if fund else {})
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        begun = await agent_started.begin(connection, call_id, wish, by=by)
    await agent_started.accepted(services, begun)
    return _back(call_id, form)


async def _order(request: AnyRequest, call_id: UUID, session_id: UUID, kind: str, detail: dict[str, Any]) -> Redirect:
    services, form = services_of(request), await request.form()
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        session = await agent_started.get(connection, call_id, session_id)
        command_id = await agent_started.order(connection, session, kind, detail, by=by)
    await live_commands.answer_of(services.pool, command_id)
    return _back(call_id, form)


@post(f"{PATH}/{{session_id:uuid}}/cancel", include_in_schema=False, opt={PERMISSION: Permission.TAKE_PAYMENT})
async def cancel(request: AnyRequest, call_id: FromPath[UUID], session_id: FromPath[UUID]) -> Redirect:
    """Nothing is charged; refused once the bank is being asked."""
    return await _order(request, call_id, session_id, "secure_cancel", {})


@post(f"{PATH}/{{session_id:uuid}}/restart", include_in_schema=False, opt={PERMISSION: Permission.TAKE_PAYMENT})
async def restart(request: AnyRequest, call_id: FromPath[UUID], session_id: FromPath[UUID]) -> Redirect:
    """A field is asked for again."""
    wanted = field(await request.form(), "field", length_max=20)
    if wanted not in FIELDS:
        raise InvalidInputError("Choose the field that is asked for again.")
    return await _order(request, call_id, session_id, "secure_restart", {"field": wanted})
