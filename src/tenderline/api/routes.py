"""What the API consists of, for whoever composes the application."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

from litestar import Request, Response, Router, get
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, OAuthFlow, OAuthFlows, SecurityScheme
from litestar.types import ControllerRouterHandler, ExceptionHandlersMap

from tenderline.api import (
    callbacks,
    calling,
    cases,
    contacts,
    distress,
    dnc,
    donors,
    endings,
    errors,
    floor,
    health,
    live_calls,
    oauth,
    outgoing,
    payments,
    queues,
    secure_sessions,
    telephony,
    users,
)
from tenderline.api.auth import TokenGate
from tenderline.api.card_numbers import require_no_card
from tenderline.store.oauth import SCOPES

BODY_BYTES_MAX: Final = 64 * 1024


@get("/openapi.json", include_in_schema=False, media_type="application/json")
async def openapi(request: Request[Any, Any, Any]) -> Response[Any]:
    """The description that clients are generated from."""
    return Response(request.app.openapi_schema.to_schema())


recovery = Router(
    path=cases.PATH,
    route_handlers=[cases.list_cases, cases.get_case, cases.dead_letters, cases.replay],
    middleware=[TokenGate()],
    tags=["Recovery"],
    request_max_body_size=BODY_BYTES_MAX,
)

compliance = Router(
    path="/",
    route_handlers=[contacts.status, contacts.check, dnc.list_lists, dnc.get_entry, dnc.add_entries],
    middleware=[TokenGate()],
    tags=["Compliance"],
    request_max_body_size=BODY_BYTES_MAX,
)

webhooks = Router(
    path=outgoing.PATH,
    route_handlers=[
        outgoing.list_endpoints,
        outgoing.add_endpoint,
        outgoing.get_endpoint,
        outgoing.remove_endpoint,
        outgoing.disable_endpoint,
        outgoing.enable_endpoint,
        outgoing.rotate_secret,
        outgoing.list_deliveries,
        outgoing.replay,
    ],
    middleware=[TokenGate()],
    tags=["Webhooks to others"],
    request_max_body_size=BODY_BYTES_MAX,
)

telephony_routes = Router(
    path="/",
    route_handlers=[
        telephony.list_lines,
        telephony.put_line,
        telephony.delete_line,
        telephony.list_conversations,
        telephony.get_conversation,
        donors.get_segments,
        donors.put_segments,
        donors.try_segments,
        donors.get_donor,
        floor.get_floor,
        calling.list_campaigns,
        calling.put_campaign,
        calling.plan_call,
        secure_sessions.start,
        secure_sessions.list_sessions,
        secure_sessions.get_session,
        secure_sessions.cancel,
        secure_sessions.restart,
        live_calls.replace,
        live_calls.consult,
        live_calls.change,
        distress.post_transcript,
        distress.report,
        distress.list_holds,
        distress.lift,
        callbacks.list_callbacks,
        callbacks.add_callback,
        callbacks.cancel_callback,
    ],
    middleware=[TokenGate()],
    tags=["Telephony"],
    request_max_body_size=BODY_BYTES_MAX,
)

payment_routes = Router(
    path="/",
    route_handlers=[payments.give_back, payments.list_refunds, payments.list_unmatched],
    middleware=[TokenGate()],
    tags=["Payments"],
    request_max_body_size=BODY_BYTES_MAX,
)

administration_routes = Router(
    path="/",
    route_handlers=[*users.HANDLERS, *endings.HANDLERS],
    middleware=[TokenGate()],
    tags=["Administration"],
    request_max_body_size=BODY_BYTES_MAX,
)

routing_routes = Router(
    path="/",
    route_handlers=queues.HANDLERS,
    middleware=[TokenGate()],
    tags=["Queues and agents"],
    request_max_body_size=BODY_BYTES_MAX,
)

exception_handlers: ExceptionHandlersMap = {Exception: errors.problem_of}
"""For the whole application: whatever no other handler takes becomes a problem."""

_api = Router(
    path="/",
    route_handlers=[
        oauth.token,
        recovery,
        compliance,
        telephony_routes,
        payment_routes,
        administration_routes,
        routing_routes,
        webhooks,
        health.live,
        health.ready,
        openapi,
    ],
    guards=[require_no_card],
    exception_handlers=exception_handlers,
)

route_handlers: list[ControllerRouterHandler] = [_api]

openapi_config = OpenAPIConfig(
    title="Tenderline",
    version=version("tenderline"),
    summary="Cases, calls, refunds, who may be contacted, webhooks to others, what failed, users, tokens, and health.",
    description=(
        "Errors are RFC 9457 problems; switch on `code`. Every answer under /api tells the caller's place in the "
        "one-minute limit by X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset (seconds from now); "
        "a 429 says by Retry-After when to come back."
    ),
    path="/api/schema",
    render_plugins=[JsonRenderPlugin()],
    use_handler_docstrings=True,
    components=Components(
        security_schemes={
            "oauth2": SecurityScheme(
                type="oauth2",
                flows=OAuthFlows(client_credentials=OAuthFlow(token_url="/oauth/token", scopes=SCOPES)),  # noqa: S106
            ),
            "basic": SecurityScheme(type="http", scheme="basic", description="Client id and secret."),
        }
    ),
)
