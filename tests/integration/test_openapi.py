"""The description of the API is true: every route, driven with made-up requests, answers what it says it answers.

The application runs behind the real server, in a thread with a loop of its own; schemathesis calls it over HTTP.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support import edge, postgres, services, told, world
from tenderline.store import db

START_TIMEOUT_S = 60.0
EXAMPLES_MAX = 25
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
PART = "/api/v2/conversations/{conversation_id}/participants/{participant_id}"
SECURE = f"{PART}/secureivrsessions"
ROUTES = [
    ("/oauth/token", "POST"),
    ("/health/live", "GET"),
    ("/health/ready", "GET"),
    ("/api/v2/recovery/cases", "GET"),
    ("/api/v2/recovery/cases/{case_id}", "GET"),
    ("/api/v2/recovery/dead-letters", "GET"),
    ("/api/v2/recovery/dead-letters/replay", "POST"),
    ("/api/v1/contact/status", "GET"),
    ("/api/v2/compliance/check", "POST"),
    ("/api/v2/compliance/dnclists", "GET"),
    ("/api/v2/compliance/dnclists/{list_name}/entries", "POST"),
    ("/api/v2/compliance/dnclists/{list_name}/entries/{value}", "GET"),
    ("/api/v2/webhooks/endpoints", "GET"),
    ("/api/v2/webhooks/endpoints", "POST"),
    ("/api/v2/webhooks/endpoints/{endpoint_id}", "GET"),
    ("/api/v2/webhooks/endpoints/{endpoint_id}", "DELETE"),
    ("/api/v2/webhooks/endpoints/{endpoint_id}/disable", "POST"),
    ("/api/v2/webhooks/endpoints/{endpoint_id}/enable", "POST"),
    ("/api/v2/webhooks/endpoints/{endpoint_id}/rotate-secret", "POST"),
    ("/api/v2/webhooks/deliveries", "GET"),
    ("/api/v2/webhooks/replay", "POST"),
    ("/api/v2/telephony/lines", "GET"),
    ("/api/v2/telephony/lines/{number}", "PUT"),
    ("/api/v2/telephony/lines/{number}", "DELETE"),
    ("/api/v2/telephony/calling-campaigns", "GET"),
    ("/api/v2/telephony/calling-campaigns/{name}", "PUT"),
    ("/api/v2/conversations/calls", "POST"),
    ("/api/v2/conversations/{conversation_id}/transcript", "POST"),
    ("/api/v2/conversations/{conversation_id}/distress", "POST"),
    ("/api/v2/distress/holds", "GET"),
    ("/api/v2/distress/holds/{person_id}/lift", "POST"),
    ("/api/v2/callbacks", "GET"),
    ("/api/v2/callbacks", "POST"),
    ("/api/v2/callbacks/{callback_id}", "DELETE"),
    ("/api/v2/conversations", "GET"),
    ("/api/v2/conversations/{conversation_id}", "GET"),
    (SECURE, "GET"),
    (SECURE, "POST"),
    (f"{SECURE}/{{session_id}}", "GET"),
    (f"{SECURE}/{{session_id}}/cancel", "POST"),
    (f"{SECURE}/{{session_id}}/restart", "POST"),
    (PART, "PATCH"),
    (f"{PART}/replace", "POST"),
    (f"{PART}/consult", "POST"),
    ("/api/v2/conversations/{conversation_id}/donor", "GET"),
    ("/api/v2/routing/floor", "GET"),
    ("/api/v2/routing/queues", "GET"),
    ("/api/v2/routing/queues/{name}", "PUT"),
    ("/api/v2/routing/queues/{name}", "DELETE"),
    ("/api/v2/routing/skills", "GET"),
    ("/api/v2/routing/skills/{name}", "PUT"),
    ("/api/v2/routing/skills/{name}", "DELETE"),
    ("/api/v2/routing/agents", "GET"),
    ("/api/v2/routing/agents", "POST"),
    ("/api/v2/routing/agents/{agent_id}", "PUT"),
    ("/api/v2/routing/agents/{agent_id}", "DELETE"),
    ("/api/v2/routing/agents/{agent_id}/presence", "POST"),
    ("/api/v2/routing/donor-segments", "GET"),
    ("/api/v2/routing/donor-segments", "PUT"),
    ("/api/v2/routing/donor-segments/try", "POST"),
    ("/api/v2/payments/{payment_id}/refunds", "POST"),
    ("/api/v2/payments/{payment_id}/refunds", "GET"),
    ("/api/v2/payments/unmatched", "GET"),
    ("/api/v2/dispositions", "GET"),
    ("/api/v2/dispositions/{code}", "PUT"),
    ("/api/v2/scripts", "GET"),
    ("/api/v2/scripts/{name}", "PUT"),
    ("/api/v2/users", "GET"),
    ("/api/v2/users", "POST"),
    ("/api/v2/users/{user_id}", "PATCH"),
    ("/api/v2/users/roles", "GET"),
    ("/api/v2/settings", "GET"),
    ("/api/v2/audit", "GET"),
]
SCOPES = ("outbound:read", "outbound:write", "contactcenter:read", "integration:all", "oauth:api:callcenter")
SCOPES += ("payments:read", "payments:write")
NOTHING_TO_GET_WRONG = {"/health/live", "/health/ready", "/api/v2/recovery/dead-letters", "/api/v2/compliance/dnclists"}
NOTHING_TO_GET_WRONG |= {"/api/v2/compliance/dnclists/{list_name}/entries/{value}"}  # any text may be asked about
NOTHING_TO_GET_WRONG |= {"/api/v2/telephony/lines", "/api/v2/telephony/calling-campaigns"}
NOTHING_TO_GET_WRONG |= {"/api/v2/routing/donor-segments", "/api/v2/payments/unmatched", "/api/v2/routing/floor"}
NOTHING_TO_GET_WRONG |= {"/api/v2/distress/holds"}
NOTHING_TO_GET_WRONG |= {f"/api/v2/routing/{one}" for one in ("queues", "skills", "agents")}
NOTHING_TO_GET_WRONG |= {"/api/v2/users/roles", "/api/v2/settings", "/api/v2/dispositions", "/api/v2/scripts"}
ANYTHING_GOES = {
    ("/api/v2/users", "GET"),
    ("/api/v2/callbacks", "GET"),
    (SECURE, "GET"),
    ("/api/v2/webhooks/endpoints", "GET"),
    ("/api/v2/telephony/lines/{number}", "DELETE"),
    ("/api/v2/routing/queues/{name}", "DELETE"),
    ("/api/v2/routing/skills/{name}", "DELETE"),
}


class Running:
    """The application on a port, with some rows to find."""

    def __init__(self, server_url: str) -> None:
        self.base = ""
        self.headers: dict[str, str] = {}
        self.basic = ("", "")
        self._server_url = server_url
        self._ready = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._ready.wait(START_TIMEOUT_S)
        if self._failed:
            raise self._failed
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_TIMEOUT_S)

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with AsyncExitStack() as stack:
            try:
                url = await stack.enter_async_context(postgres.fresh_database(self._server_url, db.migrate))
                pool = await stack.enter_async_context(db.open_pool(url, size_max=10))
                made = services.make(pool, api__requests_per_minute_max=1_000_000)
                debtor = await world.make_debtor(pool)
                self.case_id, self.number, self.payment_id = debtor.case_id, debtor.address, debtor.payment_id
                await world.make_debtor(pool, zone=world.zone_by_night())
                await world.claim(pool)
                self.endpoint_id, _ = await told.endpoint(made, "https://crm.example.org/hooks")
                await told.stop(pool)
                await edge.make_user(pool, role="agent")
                self.user_id = await pool.fetchval("SELECT id FROM app_user")
                self.basic = await edge.make_client(pool, *SCOPES)
                async with edge.client(made) as http:
                    self.headers = await edge.token(http, pool, *SCOPES)
                self.base, _ = await stack.enter_async_context(edge.server(made, port=edge.free_port()))
            except BaseException as error:
                self._failed = error
                raise
            finally:
                self._ready.set()
            await self._stop.wait()


@pytest.fixture(scope="module")
def running(server_url: str) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patched, Running(server_url) as made:
        patched.setattr("tenderline.api.oauth.TOKENS_PER_CLIENT_MAX", 1_000_000)
        patched.setattr("tenderline.api.oauth.TOKENS_PER_ADDRESS_MAX", 1_000_000)
        yield made


@pytest.fixture(scope="module")
def described(running: Running) -> Any:
    return schemathesis.openapi.from_url(f"{running.base}/openapi.json")


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_a_route_answers_as_it_is_described_and_never_with_a_5xx(
    running: Running, described: Any, path, method
) -> None:
    @settings(
        max_examples=EXAMPLES_MAX,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=described[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def holds(case: Any) -> None:
        _call(_made_real(case, running), running)

    @settings(holds._hypothesis_internal_use_settings)
    @given(case=described[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def holds_for_what_is_not_described(case: Any) -> None:
        _call(case, running)

    holds()
    if path not in NOTHING_TO_GET_WRONG and (path, method) not in ANYTHING_GOES:
        holds_for_what_is_not_described()


def _made_real(case: Any, running: Running) -> Any:
    """What no description can tell: the one grant type there is, and the id of a case that exists."""
    if case.path == "/oauth/token":
        case.body = {**case.body, "grant_type": "client_credentials", "client_id": "", "client_secret": ""}
    if "list_name" in case.path_parameters:
        case.path_parameters["list_name"] = "internal"
    if "user_id" in case.path_parameters:
        case.path_parameters["user_id"] = str(running.user_id)
    if "endpoint_id" in case.path_parameters:
        case.path_parameters["endpoint_id"] = str(running.endpoint_id)
    if "payment_id" in case.path_parameters:
        case.path_parameters["payment_id"] = str(running.payment_id)
    if "case_id" in case.path_parameters:
        case.path_parameters["case_id"] = str(running.case_id)
    if case.path == "/api/v1/contact/status" and "phoneNumber" in case.query:
        case.query = {**case.query, "phoneNumber": running.number}
    return case


def _call(case: Any, running: Running) -> None:
    is_token = case.path == "/oauth/token"
    answer = case.call(headers={} if is_token else running.headers, auth=running.basic if is_token else None)
    case.validate_response(answer, checks=CHECKS)


def test_every_route_of_the_api_is_described_with_its_scope(described: Any) -> None:
    paths = described.raw_schema["paths"]
    assert {(path, method.upper()) for path, methods in paths.items() for method in methods} == set(ROUTES)
    for path, methods in paths.items():
        for operation in methods.values():
            if path.startswith("/api/"):
                assert operation["security"][0]["oauth2"], path
                assert {"401", "403", "429"} <= set(operation["responses"]), path
    assert described.raw_schema["openapi"].startswith("3.1")
