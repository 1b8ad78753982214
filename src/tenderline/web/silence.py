"""The button of whoever hears it said: this person wants no more contact, on any channel, from this instant."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from litestar import Request, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError, NotFoundError, TenderlineError
from tenderline.people import consent
from tenderline.store import cases, events, people
from tenderline.store.users import Permission
from tenderline.web.pages import services_of
from tenderline.web.sign_in import PERMISSION, field, session_of

CHANNELS: Final = {"voice": "on the telephone", "sms": "by text", "email": "by e-mail"}
_KINDS: Final = {"voice": people.PHONE, "sms": people.PHONE, "email": people.EMAIL}
SAID_LENGTH_MAX: Final = 200


class NoAddressSaidByError(TenderlineError):
    """She has no address of that kind here; choose the way by which she said it, or hold the case."""

    code = "opt_out.no_address"
    status = 409


@post("/cases/{case_id:uuid}/opt-out", include_in_schema=False, opt={PERMISSION: Permission.SILENCE})
async def opt_out(request: Request[Any, Any, Any], case_id: FromPath[UUID]) -> Redirect:
    """Her word for every address of the kind by which she said it; silence follows on all of them and all others."""
    services = services_of(request)
    form = await request.form()
    said = field(form, "said", length_max=SAID_LENGTH_MAX)
    channel = form.get("channel")
    if channel not in CHANNELS:
        raise InvalidInputError("Choose how she said it.")
    by = session_of(request).user.email
    async with services.pool.acquire() as connection, connection.transaction():
        case = await cases.get(connection, case_id)
        if case is None:
            raise NotFoundError("There is no case of this id; the list of cases leads to those there are.")
        points = await people.contact_points(connection, case.person_id)
        addresses = [point.value for point in points if point.kind == _KINDS[channel]]
        if not addresses:
            raise NoAddressSaidByError()
        for address in addresses:
            await consent.opt_out(
                connection, case.person_id, channel=channel, address=address, how=f"told to {by}", evidence=said
            )
    await events.hint(services.pool)
    return Redirect(path=f"/cases/{case_id}", status_code=303)
