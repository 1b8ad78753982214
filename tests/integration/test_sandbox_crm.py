"""The sandbox's CRM as people and programs use it: its page, its mood, its control, its look-up."""

from __future__ import annotations

import base64

import aiohttp
import pytest

from tenderline_sandbox.app import Sandbox, SandboxSettings


@pytest.fixture
async def sandbox():
    async with Sandbox(SandboxSettings()) as running:
        yield running


async def token(http, url, secret="sandbox-crm-secret"):
    login = base64.b64encode(f"tenderline:{secret}".encode()).decode()
    form = {"grant_type": "client_credentials"}
    async with http.post(f"{url}/crm/oauth/token", data=form, headers={"Authorization": f"Basic {login}"}) as answer:
        return answer.status, (await answer.json()).get("access_token")


async def test_a_donor_is_told_in_the_documents_words_to_whoever_has_a_token(sandbox):
    async with aiohttp.ClientSession() as http:
        assert (await token(http, sandbox.url, "wrong"))[0] == 401
        _, bearer = await token(http, sandbox.url)
        asked = {"identifier_type": "ANI", "identifier_value": "+12025550161"}
        for headers, status in (({}, 401), ({"Authorization": f"Bearer {bearer}"}, 200)):
            async with http.post(f"{sandbox.url}/crm/api/v1/donor/lookup", json=asked, headers=headers) as answer:
                assert answer.status == status
                told = await answer.json()
        assert told["donor_tier"] == "Platinum"
        assert told["last_donation_date"]


async def test_the_page_shows_donors_and_sets_the_mood(sandbox):
    async with aiohttp.ClientSession(headers={"Accept": "text/html"}) as http:
        async with http.get(f"{sandbox.url}/crm") as answer:
            shown = await answer.text()
        assert "Eleanor Whitfield" in shown
        async with http.post(f"{sandbox.url}/crm/mood", data={"mood": "down"}) as answer:
            assert "misbehaves" in await answer.text()
        assert sandbox.crm.mood == "down"
        async with http.post(f"{sandbox.url}/crm/mood", data={"mood": "sad"}) as answer:
            assert answer.status == 422
        async with http.delete(f"{sandbox.url}/control/crm") as answer:
            assert answer.status == 200
        assert sandbox.crm.mood == "good"
