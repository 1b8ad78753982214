"""The rows behind every number of the board, and what can be done about those that failed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from tenderline.core.clock import utc_now
from tenderline.core.errors import InvalidInputError, NotFoundError
from tenderline.desk import words
from tenderline.desk.board import ATTEMPT_STATES, CASE_STATES, list_attempts, list_cases
from tenderline.store import audit, board, counters, events, inbox, jobs
from tenderline.store.users import Permission
from tenderline.web.pages import page, services_of
from tenderline.web.sign_in import PERMISSION, field, session_of, shell

REPLAYED_MAX: Final = 200
WHY_LENGTH_MAX: Final = 200
ROW_ID_MAX: Final = 2**63 - 1
UNREAD_SHOWN: Final = 100


def _state(request: Request[Any, Any, Any], known: tuple[str, ...]) -> str | None:
    wanted = request.query_params.get("state")
    if wanted is not None and wanted not in known:
        raise NotFoundError(f"There is no such state; known are {', '.join(known)}.")
    return wanted


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFoundError("This page's address is not complete; begin with the first page of the list.") from None


def _case_cursor(text: str | None) -> tuple[datetime, UUID] | None:
    if text is None:
        return None
    at, _, case_id = text.partition("_")
    try:
        opened_at = datetime.fromtimestamp(int(at) / 1_000_000, tz=utc_now().tzinfo)
    except (ValueError, OverflowError, OSError):
        raise NotFoundError("This page's address is not complete; begin with the first page of the list.") from None
    return opened_at, _uuid(case_id)


def _next(path: str, state: str | None, before: str | None) -> str | None:
    if before is None:
        return None
    return f"{path}?{urlencode({**({'state': state} if state else {}), 'before': before})}"


@get("/cases", include_in_schema=False)
async def show_cases(request: Request[Any, Any, Any]) -> Response[str]:
    """Cases, newest first, of one state or of all."""
    state, before = _state(request, CASE_STATES), _case_cursor(request.query_params.get("before"))
    async with services_of(request).pool.acquire() as connection, connection.transaction(readonly=True):
        found = await list_cases(connection, state=state, before=before)
    more = found.next_before and f"{round(found.next_before[0].timestamp() * 1_000_000)}_{found.next_before[1]}"
    values: dict[str, Any] = {"cases": found.cases, "state": state, "states": CASE_STATES, "is_first": before is None}
    return page("cases.html", **values, more=_next("/cases", state, more), **shell(request))


@get("/attempts", include_in_schema=False)
async def show_attempts(request: Request[Any, Any, Any]) -> Response[str]:
    """Contacts, newest first, of one state or of all, each with what the gate said."""
    services = services_of(request)
    state, cursor = _state(request, ATTEMPT_STATES), request.query_params.get("before")
    before = _uuid(cursor) if cursor is not None else None
    async with services.pool.acquire() as connection, connection.transaction(readonly=True):
        found = await list_attempts(connection, await services.book.refresh(connection), state=state, before=before)
    more = str(found.next_before) if found.next_before else None
    values: dict[str, Any] = {
        "attempts": found.attempts,
        "state": state,
        "states": ATTEMPT_STATES,
        "is_first": before is None,
    }
    return page("attempts.html", **values, more=_next("/attempts", state, more), **shell(request))


@get("/inbox", include_in_schema=False)
async def show_inbox(request: Request[Any, Any, Any]) -> Response[str]:
    """What was received and is not read yet, in the order in which it will be."""
    async with services_of(request).pool.acquire() as connection:
        unread = await board.unread(connection, UNREAD_SHOWN)
        counted = await counters.read(connection)
    shown = [(one, words.plain(one.error) if one.error else None) for one in unread]
    return page("inbox.html", unread=shown, shown_max=UNREAD_SHOWN, counted=counted, **shell(request))


@get("/dead-letters", include_in_schema=False)
async def show_dead_letters(request: Request[Any, Any, Any]) -> Response[str]:
    """What failed for good, each with its reason."""
    services = services_of(request)
    async with services.pool.acquire() as connection:
        webhooks = await inbox.dead(connection)
    parked = await jobs.dead(services.pool)
    return page(
        "dead_letters.html",
        jobs=[(one, words.plain(one.why)) for one in parked],
        webhooks=[(one, words.plain(one.why)) for one in webhooks],
        may_replay=session_of(request).user.may(Permission.REPLAY),
        may_discard=session_of(request).user.may(Permission.DISCARD),
        **shell(request),
    )


def _row_ids(form: Any, name: str) -> list[int]:
    values = form.getall(name, [])
    if len(values) > REPLAYED_MAX or not all(str(value).isdecimal() and len(str(value)) <= 18 for value in values):
        raise InvalidInputError(f"Choose up to {REPLAYED_MAX} rows of the list.")
    return sorted({int(value) for value in values})


@post("/dead-letters/replay", include_in_schema=False, opt={PERMISSION: Permission.REPLAY})
async def replay(request: Request[Any, Any, Any]) -> Redirect:
    """Puts the chosen rows back, with all their tries before them."""
    services = services_of(request)
    form = await request.form()
    wanted_jobs, wanted_webhooks = _row_ids(form, "job"), _row_ids(form, "webhook")
    async with services.pool.acquire() as connection, connection.transaction():
        replayed_jobs = await board.replay_jobs(connection, wanted_jobs)
        replayed_webhooks = await board.replay_webhooks(connection, wanted_webhooks)
        if replayed_jobs or replayed_webhooks:
            await audit.append(
                connection,
                actor=session_of(request).user.email,
                action="dead_letters.replay",
                subject="dead_letters",
                data={"jobs": replayed_jobs, "webhooks": replayed_webhooks},
            )
    await events.hint(services.pool)
    return Redirect(path="/dead-letters", status_code=303)


def _not_dead() -> NotFoundError:
    return NotFoundError("This webhook is not dead (any more); the list of dead letters shows those that are.")


DISCARD_PATH: Final = "/dead-letters/webhooks/{inbox_id:int}/discard"


@get(DISCARD_PATH, include_in_schema=False, opt={PERMISSION: Permission.DISCARD})
async def confirm_discard(request: Request[Any, Any, Any], inbox_id: FromPath[int]) -> Response[str]:
    """What would be given up, before it is."""
    if not 0 < inbox_id <= ROW_ID_MAX:
        raise _not_dead()
    async with services_of(request).pool.acquire() as connection:
        found = await inbox.dead_one(connection, inbox_id)
    if found is None:
        raise _not_dead()
    return page(
        "discard.html",
        webhook=found,
        why=words.plain(found.why),
        about=words.plain(found.subject) if found.subject else None,
        why_max=WHY_LENGTH_MAX,
        **shell(request),
    )


@post(DISCARD_PATH, include_in_schema=False, opt={PERMISSION: Permission.DISCARD})
async def discard(request: Request[Any, Any, Any], inbox_id: FromPath[int]) -> Redirect:
    """Gives one webhook up: it holds no contact any more. It stays stored, and in the audit log stands who and why."""
    services = services_of(request)
    why = field(await request.form(), "why", length_max=WHY_LENGTH_MAX)
    if not 0 < inbox_id <= ROW_ID_MAX:
        raise _not_dead()
    async with services.pool.acquire() as connection, connection.transaction():
        await inbox.discard(connection, [inbox_id], by=session_of(request).user.email, why=why)
    await events.hint(services.pool)
    return Redirect(path="/dead-letters", status_code=303)
