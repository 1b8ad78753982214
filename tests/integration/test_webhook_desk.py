"""Outgoing webhooks as operators and programs handle them: the command, the API and the screen."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from support import command, edge, services
from support import receiver as other
from support.receiver import Receiver
from support.told import come_due, endpoint, newest, stop
from tenderline.outgoing.delivery import Deliveries
from tenderline.store import audit

API = "/api/v2/webhooks"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with other.receiving() as made:
        yield made


@pytest.fixture
async def made(pool: Any) -> Any:
    return services.make(pool, webhooks__http_on_loopback=True, webhooks__timeout_s=5)


@pytest.fixture
async def deliveries(made: Any) -> AsyncIterator[Deliveries]:
    opened = Deliveries(made)
    yield opened
    await opened.close()


async def send(deliveries: Deliveries) -> int:
    did = await deliveries.send_due()
    await deliveries.finish()
    return did


@pytest.fixture
def run(database_url: str, tmp_path: Any) -> Any:
    tmp_path.chmod(0o755)

    async def do(*words: str, lab: bool = True) -> tuple[int, str, str]:
        environment = command.environment_of(database_url, tmp_path)
        return await command.run(
            "webhooks", *words, environment=environment | {"TENDERLINE_WEBHOOKS__HTTP_ON_LOOPBACK": str(lab).lower()}
        )

    return do


async def test_the_command_adds_tests_lists_and_replays(run, pool, receiver):
    code, _, err = await run("add", receiver.url, lab=False)
    assert (code, "begins with https://" in err) == (1, True)
    code, _, err = await run("add", receiver.url, "--events", "contact.vanished")
    assert (code, "there are contact.opted_out" in err) == (1, True)
    code, out, err = await run("add", f"{receiver.url}?key=sesame", "--events", "contact.opted_out", "--json")
    assert code == 0, err
    added = json.loads(out)
    code, out, _ = await run("test", added["endpoint"], "--json")
    tested = json.loads(out)
    assert (code, tested["ok"], receiver.ids(added["secret"])) == (0, True, [tested["webhookId"]])
    receiver.answers.append(500)
    code, out, _ = await run("test", added["endpoint"])
    assert (code, "it answered 500" in out) == (1, True)
    await stop(pool)
    code, out, _ = await run("deliveries", "--json")
    assert [(one["event"], one["state"]) for one in json.loads(out)] == [
        ("contact.opted_out", "waiting"), ("webhook.test", "failed"), ("webhook.test", "delivered"),
    ]  # fmt: skip
    delivery = json.loads(out)[0]["delivery"]
    code, out, _ = await run("list")
    assert "sesame" not in out
    assert "?…" in out
    assert (await run("disable", added["endpoint"], "--why", "a new CRM"))[0] == 0
    assert "disabled since" in (await run("list"))[1]
    code, _, err = await run("replay", "--delivery", delivery)
    assert (code, "enable it first" in err) == (1, True)
    assert (await run("enable", added["endpoint"]))[0] == 0
    code, out, _ = await run("replay", "--since", "6h", "--endpoint", added["endpoint"], "--json")
    assert (code, json.loads(out)) == (0, {"replayed": 1}), "a test is not replayed"
    await pool.execute("UPDATE outgoing_webhook SET state = 'delivered' WHERE id = $1", UUID(delivery))
    code, _, err = await run("replay", "--delivery", delivery)
    assert (code, "--again" in err) == (1, True)
    assert (await run("replay", "--delivery", delivery, "--again"))[0] == 0
    code, _, err = await run("replay", "--since", "soon")
    assert (code, "6h" in err) == (2, True)
    assert (await run("replay"))[0] == 2
    code, out, _ = await run("rotate-secret", added["endpoint"], "--json")
    assert json.loads(out)["secret"] != added["secret"]
    assert (await run("remove", added["endpoint"]))[0] == 0
    code, _, err = await run("remove", added["endpoint"])
    assert (code, "no such endpoint" in err) == (1, True)
    actions = [
        row["action"] for row in await pool.fetch("SELECT action FROM audit WHERE actor LIKE 'cli:%' ORDER BY number")
    ]
    done = ("add", "disable", "enable", "replay", "replay", "rotate_secret", "remove")
    assert actions == [f"webhooks.{one}" for one in done]
    assert (await audit.verify(pool, [], None)).bad_number is None


async def test_a_program_adds_looks_rotates_replays_and_removes(made, pool, receiver, deliveries):
    async with edge.client(made) as http:
        http.headers.update(await edge.token(http, pool, "integration:all"))
        answer = await http.post(f"{API}/endpoints", json={"url": f"{receiver.url}?key=sesame"})
        assert answer.status_code == 201, answer.text
        added = answer.json()
        shown = (await http.get(added["selfUri"])).json()
        assert (shown["state"], shown["url"]) == ("told", f"{receiver.url}?…")
        assert "secret" not in json.dumps([shown, (await http.get(f"{API}/endpoints")).json()])
        await stop(pool)
        receiver.answers.append(500)
        await send(deliveries)
        (listed,) = (await http.get(f"{API}/deliveries", params={"state": "waiting"})).json()["entities"]
        assert (listed["lastStatus"], listed["tries"], listed["endpointId"]) == (500, 1, added["id"])
        assert (await http.get(added["selfUri"])).json()["state"] == "failing"
        answer = await http.post(f"{API}/replay", json={"deliveries": [listed["id"]]})
        assert answer.json() == {"replayed": 1}
        rotated = (await http.post(f"{added['selfUri']}/rotate-secret")).json()
        await send(deliveries)
        assert receiver.ids(added["secret"])
        assert other.verify(rotated["secret"], receiver.got[-1].headers, receiver.got[-1].body) == listed["webhookId"]
        assert (await http.post(f"{API}/replay", json={"since": "2020-01-01T00:00:00Z"})).status_code == 422
        assert (await http.post(f"{API}/replay", json={})).status_code == 400
        answer = await http.post(f"{added['selfUri']}/disable", json={"why": "moving house"})
        assert (answer.json()["state"], answer.json()["disabledWhy"]) == ("disabled", "moving house")
        assert (await http.post(f"{added['selfUri']}/disable", json={"why": "again"})).status_code == 409
        assert (await http.post(f"{added['selfUri']}/enable")).json()["state"] == "told"
        assert (await http.delete(added["selfUri"])).status_code == 204
        assert (await http.get(added["selfUri"])).status_code == 404


async def test_pages_of_deliveries_follow_one_another(made, pool, receiver):
    await endpoint(made, receiver.url)
    await pool.execute("""
        INSERT INTO outgoing_webhook (id, endpoint_id, message_id, kind, body)
        SELECT gen_random_uuid(), e.id, gen_random_uuid(), 'contact.opted_out', '{}'
        FROM webhook_endpoint e, generate_series(1, 7)""")
    async with edge.client(made) as http:
        http.headers.update(await edge.token(http, pool, "integration:all"))
        seen, cursor = [], None
        for _ in range(4):
            params = {"pageSize": "2", **({"cursor": cursor} if cursor else {})}
            found = (await http.get(f"{API}/deliveries", params=params)).json()
            seen += [one["id"] for one in found["entities"]]
            cursor = found["nextCursor"]
        assert len(set(seen)) == 7
        assert cursor is None
        assert (await http.get(f"{API}/deliveries", params={"cursor": "nonsense"})).status_code == 400


async def test_a_program_without_the_scope_gets_nowhere(made, pool, receiver):
    async with edge.client(made) as http:
        http.headers.update(await edge.token(http, pool, "outbound:write", "outbound:read"))
        assert (await http.get(f"{API}/endpoints")).status_code == 403
        assert (await http.post(f"{API}/endpoints", json={"url": receiver.url})).status_code == 403
    assert await pool.fetchval("SELECT count(*) FROM webhook_endpoint") == 0


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "https://169.254.169.254/latest", "http://example.org/", "x"])
async def test_a_program_cannot_point_us_at_ourselves(pool, url):
    async with edge.client(services.make(pool)) as http:
        http.headers.update(await edge.token(http, pool, "integration:all"))
        answer = await http.post(f"{API}/endpoints", json={"url": url})
        assert (answer.status_code, answer.json()["code"]) == (422, "webhook_address_refused")


async def test_the_screen_shows_every_message_and_sends_missed_ones_again(made, pool, receiver, deliveries):
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool, "engineer"))
        assert "Nobody is told yet" in (await http.get("/outgoing")).text
        endpoint_id, _ = await endpoint(made, f"{receiver.url}?key=sesame")
        _, address = await stop(pool)
        receiver.answers.append(410)
        await send(deliveries)
        shown = (await http.get("/outgoing?state=failed")).text
        assert "it answered 410" in shown
        assert "sesame" not in shown
        assert address not in shown
        (row_id,) = re.findall(r'name="message" value="([^"]+)"', shown)
        form = {"csrf_token": edge.csrf_of(shown), "message": row_id}
        await http.post("/outgoing/replay", data=form)
        assert (await newest(pool))["state"] == "failed", "nobody is there to be told"
        answer = await http.post(f"/outgoing/{endpoint_id}/enable", data={"csrf_token": form["csrf_token"]})
        assert answer.status_code == 303
        assert (await http.post("/outgoing/replay", data={"message": row_id})).status_code == 403, "no token, no act"
        answer = await http.post("/outgoing/replay", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/outgoing?state=waiting")
        receiver.answers.append(500)
        await send(deliveries)
        assert "fails since" in (await http.get("/outgoing")).text
        answer = await http.post(f"/outgoing/{endpoint_id}/replay", data={"csrf_token": form["csrf_token"]})
        assert answer.status_code == 303
        await send(deliveries)
        assert (await newest(pool))["state"] == "delivered"
        why = {"csrf_token": form["csrf_token"], "why": "closing down"}
        assert (await http.post(f"/outgoing/{endpoint_id}/disable", data=why)).status_code == 303
        assert "closing down" in (await http.get("/outgoing")).text
        assert (await http.get("/outgoing?state=lost")).status_code == 404
        assert (await http.get("/outgoing?before=nonsense")).status_code == 404


async def test_a_hostile_answer_is_only_text_on_the_screen(made, pool, receiver, deliveries):
    from aiohttp import web

    async def shout(request: web.Request) -> web.Response:
        del request
        return web.Response(status=500, text="<script>alert(1)</script>")

    await endpoint(made, receiver.url)
    receiver.answers.append(shout)
    await stop(pool)
    await send(deliveries)
    await come_due(pool)
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool, "viewer"))
        shown = (await http.get("/outgoing")).text
    assert "&lt;script&gt;alert" in shown
    assert "<script>alert" not in shown


@pytest.mark.parametrize(("role", "may_replay", "may_change"), [("viewer", False, False), ("supervisor", True, False)])
async def test_a_button_is_there_for_who_may_press_it(made, pool, receiver, role, may_replay, may_change):
    endpoint_id, _ = await endpoint(made, receiver.url)
    await stop(pool)
    await pool.execute("UPDATE outgoing_webhook SET state = 'failed'")
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool, role))
        shown = (await http.get("/outgoing")).text
        assert ('name="message"' in shown) is may_replay
        assert (f"/outgoing/{endpoint_id}/disable" in shown) is may_change
        token = {"csrf_token": edge.csrf_of(shown), "why": "x"}
        answer = await http.post("/outgoing/replay", data={**token, "message": str(UUID(int=1))})
        assert (answer.status_code == 403) is not may_replay
        assert (await http.post(f"/outgoing/{endpoint_id}/disable", data=token)).status_code == 403


async def test_older_messages_are_a_page_away(made, pool, receiver):
    await endpoint(made, receiver.url)
    await pool.execute("""
        INSERT INTO outgoing_webhook (id, endpoint_id, message_id, kind, body)
        SELECT gen_random_uuid(), e.id, gen_random_uuid(), 'contact.opted_out', '{}'
        FROM webhook_endpoint e, generate_series(1, 75)""")
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, await edge.make_user(pool, "viewer"))
        first = (await http.get("/outgoing")).text
        (more,) = re.findall(r'href="(/outgoing\?before=[^"]+)"', first)
        second = (await http.get(more)).text
    ids = [set(re.findall(r"msg_[0-9a-f]{32}", text)) for text in (first, second)]
    assert [len(one) for one in ids] == [50, 25]
    assert not ids[0] & ids[1]
    assert isinstance(http, httpx.AsyncClient)
