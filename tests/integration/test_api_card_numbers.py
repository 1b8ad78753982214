"""Whatever is written to the API, no card number of it is kept; telephone numbers, addresses and ids pass."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from support import edge, services
from tenderline.api import card_numbers, routes
from tenderline.api.auth import SCOPE
from tenderline.store.oauth import SCOPES

CARD = "4242" * 4
# Thirteen digits that a Visa could have as well.
MOBILE = "+4915100000001"
AGENTS = "/api/v2/routing/agents"


def taking_words():
    """(method, path) of every route of the API that takes a body as JSON."""
    for route in routes._api.routes:
        for handler in route.route_handlers:
            if SCOPE in handler.opt and "data" in handler.parsed_fn_signature.parameters:
                yield from ((method, route.path, handler) for method in handler.http_methods)


ROUTES = sorted(taking_words(), key=lambda one: one[:2])
READING = [one[:2] for one in ROUTES if not one[2].opt.get(card_numbers.MASKS_CARDS)]


@pytest.fixture
async def http(pool):
    async with edge.client(services.make(pool, api__requests_per_minute_max=1_000_000)) as made:
        yield made


@pytest.fixture
async def header(http, pool):
    return await edge.token(http, pool, *SCOPES)


async def test_no_route_takes_a_card_number_wherever_it_is_written(http, header, pool):
    assert len(READING) > 15
    before = await pool.fetchval("SELECT count(*) FROM audit")
    for method, path in READING:
        path = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: "x" if found[2] != ":uuid" else str(uuid4()), path)
        for body in ({"note": CARD}, {"a": [{"b": f"card {CARD}1225"}]}, {"reason": "4242\u00a0\u00a04242 4242 4242"}):
            answer = await http.request(method, path, json=body, headers=header)
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input"), (method, path, answer.text)
            assert "card number" in answer.json()["detail"]
            assert CARD not in answer.text
    assert await pool.fetchval("SELECT count(*) FROM audit") == before


def test_only_what_is_said_of_distress_is_masked_instead():
    masked = {path.rsplit("/", 1)[-1] for _, path, handler in ROUTES if handler.opt.get(card_numbers.MASKS_CARDS)}
    assert masked == {"transcript", "distress"}


async def test_a_note_of_a_callback_with_a_card_number_makes_no_callback(http, header, pool):
    body = {"phoneNumber": "+12025550171", "zone": "America/New_York", "windowMinutes": 600}
    answer = await http.post("/api/v2/callbacks", json={**body, "note": f"her card is {CARD} 123"}, headers=header)
    assert answer.json()["detail"].startswith("note holds a card number")
    assert await pool.fetchval("SELECT count(*) FROM callback") == 0
    kept = await http.post("/api/v2/callbacks", json={**body, "note": f"on {MOBILE}, about $4,242.42"}, headers=header)
    assert kept.status_code == 201, kept.text


async def test_a_body_that_is_no_json_is_refused_by_its_route(http, header):
    for body in (b"{", b"[" * 60_000, b'{"note": "\xff"}', b""):
        answer = await http.post("/api/v2/callbacks", content=body, headers=header)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request"), body[:20]
