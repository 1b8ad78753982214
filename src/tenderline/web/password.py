"""Choosing one's own password: for everybody at any time, and for whoever was given one before anything else."""

from __future__ import annotations

from typing import Final

from litestar import Response, get, post
from litestar.response import Redirect

from tenderline.core.errors import InvalidInputError
from tenderline.store import access, credentials, limits, users
from tenderline.store.users import PASSWORD_LENGTH_MIN
from tenderline.web.admin_form import AnyRequest, Form, services_of, show
from tenderline.web.sign_in import TRIES_PER_ACCOUNT_AND_ADDRESS, TRIES_WINDOW_S, WITH_GIVEN_PASSWORD, session_of

PATH: Final = "/password"
MAY: Final = {WITH_GIVEN_PASSWORD: True}


def _page(request: AnyRequest, form: Form | None = None) -> Response[str]:
    is_given = session_of(request).user.must_choose_password
    return show(request, "password.html", form, is_given=is_given, length_min=PASSWORD_LENGTH_MIN)


@get(PATH, include_in_schema=False, opt=MAY)
async def show_password(request: AnyRequest) -> Response[str]:
    """The form; it never shows a password."""
    return _page(request)


@post(PATH, include_in_schema=False, opt=MAY)
async def choose(request: AnyRequest) -> Response[str] | Redirect:
    """Another password; all sign-ins end, this one, too."""
    form = await Form.posted(request)
    current, chosen = form.value("current"), form.value("chosen")
    if chosen != form.value("again"):
        form.wrong("again", "New password, again: it is not the same; type it twice alike.")
    if chosen == current:
        form.wrong("chosen", "New password: it is the one you have; choose another one.")
    email, services = session_of(request).user.email, services_of(request)
    async with services.pool.acquire() as connection:
        subject = limits.subject("own-password", email)
        taken = await limits.take(connection, subject, limit=TRIES_PER_ACCOUNT_AND_ADDRESS, window_s=TRIES_WINDOW_S)
        taken.require_room()
        found = await users.find_login(connection, email)
    # No connection is held while a password is checked: that takes a while, on purpose.
    if not await credentials.matches(found[1] if found else None, current):
        form.wrong("current", "Password you have: it is not right; type it again.")
    if form.is_right:
        try:
            async with services.pool.acquire() as connection, connection.transaction():
                await access.set_password(connection, email, chosen, by=email)
            return Redirect(path="/sign-in?changed", status_code=303)
        except InvalidInputError as error:
            form.wrong("chosen", f"New password: {error.detail}")
    return _page(request, form)


HANDLERS: Final = [show_password, choose]
