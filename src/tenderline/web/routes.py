"""What the screens consist of, for whoever composes the application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar import Request, Response, Router
from litestar.types import ControllerRouterHandler

from tenderline.web import (
    admin,
    admin_agents,
    admin_audit,
    admin_clients,
    admin_endings,
    admin_queues,
    admin_users,
    board,
    calls,
    case,
    desk,
    dnc,
    gate,
    lines,
    lists,
    password,
    payments,
    phone,
    review,
    rules,
    scans,
    secure,
    segments,
    sign_in,
    silence,
    told,
)
from tenderline.web.pages import SecurityHeaders, error_page, static_file, template_config, wants_page
from tenderline.web.stream import close_streams

__all__ = ["close_streams", "pages_or", "route_handlers", "security_headers", "template_config"]

security_headers = SecurityHeaders()
"""The strict headers, for pages that others add."""

_screens = Router(
    path="/",
    route_handlers=[
        sign_in.show_sign_in,
        sign_in.sign_in,
        sign_in.sign_out,
        sign_in.still_here,
        board.show_board,
        board.poll_board,
        board.stream_board,
        lists.show_cases,
        lists.show_attempts,
        lists.show_inbox,
        lists.show_dead_letters,
        lists.replay,
        lists.confirm_discard,
        lists.discard,
        case.show_case,
        case.poll_case,
        case.stream_case,
        case.hold,
        case.release,
        silence.opt_out,
        gate.show_why,
        gate.show_ask,
        rules.show_rules,
        rules.show_rule,
        rules.show_new,
        rules.add,
        rules.show_change,
        rules.change,
        rules.confirm_off,
        rules.turn_off,
        rules.confirm_as_shipped,
        rules.as_shipped,
        review.show_review,
        review.go_on,
        review.opt_out,
        dnc.show_lists,
        dnc.read_in,
        calls.show_calls,
        calls.poll_calls,
        calls.show_call,
        calls.poll_call,
        calls.stream_call,
        secure.start,
        secure.restart,
        secure.cancel,
        calls.play,
        desk.show_desk,
        desk.poll_desk,
        desk.stream_desk,
        desk.say,
        desk.order,
        desk.end,
        payments.show_payments,
        payments.poll_payments,
        payments.show_unmatched,
        payments.poll_unmatched,
        payments.settle,
        payments.show_payment,
        payments.poll_payment,
        payments.refund,
        phone.show_phone,
        phone.offer,
        phone.show_session,
        phone.stream_session,
        phone.beat,
        phone.leave,
        phone.ask,
        lines.show_lines,
        lines.put,
        lines.remove,
        lines.put_calling,
        lines.show_flow,
        segments.show,
        segments.try_rules,
        segments.put,
        scans.show_scans,
        scans.show_scan,
        scans.download,
        told.show_told,
        told.replay,
        told.replay_missed,
        told.disable,
        told.enable,
        *admin.HANDLERS,
        *admin_queues.HANDLERS,
        *admin_agents.HANDLERS,
        *admin_users.HANDLERS,
        *admin_clients.HANDLERS,
        *admin_endings.HANDLERS,
        *admin_audit.HANDLERS,
        *password.HANDLERS,
        static_file,
    ],
    guards=[sign_in.guard],
    middleware=[security_headers],
    exception_handlers=sign_in.ERROR_PAGES,
    request_max_body_size=64 * 1024,
)

route_handlers: list[ControllerRouterHandler] = [_screens]

Handler = Callable[[Request[Any, Any, Any], Exception], Response[Any]]


def pages_or(problems: Handler) -> Handler:
    """For the whole application, where no route was found: a page for people with a browser, a problem for programs."""

    def handle(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        return error_page(request, error) if wants_page(request) else problems(request, error)

    return handle
