"""The administration over HTTP: who may, what is refused and why, what is written down, and names that mean harm."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from support import edge, lines_up, services
from tenderline.core.queue_rings import Ring
from tenderline.flows import shipped
from tenderline.store import agents, dispositions, lines, oauth, queues, scripts, users
from tenderline.store.queues import Queue

HOSTILE = '<script>alert("x")</script>'
PAGES = ["/admin", "/admin/queues", "/admin/queues/new", "/admin/skills", "/admin/agents", "/admin/agents/new",
         "/admin/dispositions", "/admin/scripts",
         "/admin/users", "/admin/roles", "/admin/clients", "/admin/settings", "/admin/audit"]  # fmt: skip
QUEUE = {
    "title": "General", "ring_s": "20", "wrap_up_s": "0", "service_level_s": "20", "service_level_percent": "80",
    "last_agent_wait_s": "0", "do": "set", "rings": "3",
}  # fmt: skip


@pytest.fixture
async def http(pool: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as made:
        yield made


@pytest.fixture
async def admin(http: httpx.AsyncClient, pool: Any) -> str:
    email = await edge.make_user(pool, role="admin")
    await edge.sign_in(http, email)
    return email


@pytest.fixture
async def connection(pool: Any) -> AsyncIterator[Any]:
    async with pool.acquire() as one:
        yield one


async def post(http: httpx.AsyncClient, path: str, **fields: Any) -> httpx.Response:
    token = edge.csrf_of((await http.get("/password")).text)
    return await http.post(path, data={"csrf_token": token, **fields})


async def audited(pool: Any, action: str) -> list[Any]:
    return await pool.fetch("SELECT actor, subject, data::text AS data FROM audit WHERE action = $1", action)


@pytest.mark.parametrize("role", ["viewer", "agent", "compliance", "supervisor", "engineer"])
async def test_the_administration_is_for_administrators(http, pool, role):
    await edge.sign_in(http, await edge.make_user(pool, role=role))
    assert 'href="/admin"' not in (await http.get("/")).text
    for path in PAGES:
        assert (await http.get(path)).status_code == 403, path
    assert (await post(http, "/admin/skills", name="spanish", title="Spanish")).status_code == 403
    assert await pool.fetchval("SELECT count(*) FROM skill") == 0


async def test_the_first_page_leads_to_everything_and_tells_its_state(http, admin, connection):
    shown = (await http.get("/")).text
    assert 'href="/admin"' in shown
    shown = (await http.get("/admin")).text
    assert "1 user, 1 administrator" in shown
    assert re.search(r"[0-9]+ queues?, 0 callers waiting", shown)
    for path in re.findall(r'<li><a href="(/[^"]+)"', shown):
        assert (await http.get(path)).status_code == 200, path


async def test_a_queue_is_made_with_rings_drawn_and_audited(http, pool, admin, connection):
    await queues.ensure(connection, ["general"], by="test")
    await queues.put_skill(connection, "spanish", "Spanish", by="test")
    rings = {
        "ring-0-level": "3", "ring-1-after": "30", "ring-1-level": "1", "ring-1-queues": "general",
        "ring-2-after": "90", "ring-2-skills": "spanish",
    }  # fmt: skip
    typed = {
        **QUEUE,
        "name": "donors",
        "title": "Donors",
        "tiers": "Platinum = 5\nGold=2",
        "wait_max_s": "900",
        **rings,
    }
    drawn = await post(http, "/admin/queues/new", **{**typed, "do": "preview"})
    assert drawn.status_code == 200
    assert "After 30 s: skills count at any level; also the agents of general." in drawn.text
    assert '<rect class="skill"' in drawn.text
    assert await queues.get(connection, "donors") is None, "a picture keeps nothing"
    more = await post(http, "/admin/queues/new", **{**typed, "do": "ring"})
    assert "Ring 4" in more.text
    assert (await post(http, "/admin/queues/new", **typed)).status_code == 303
    made = await queues.get(connection, "donors")
    assert made is not None
    assert made.rings == (
        Ring(proficiency_min=3),
        Ring(after_s=30, queues_joined=("general",)),
        Ring(after_s=90, skills_dropped=("spanish",)),
    )
    assert (made.tiers, made.wait_max_s, made.callback_after_s) == ({"Platinum": 5, "Gold": 2}, 900, None)
    assert [(row["actor"], row["subject"]) for row in await audited(pool, "queue_set")][-1] == (admin, "donors")
    form = (await http.get("/admin/queues/donors")).text
    assert re.search(r'name="ring-1-queues" value="general" checked', form)
    assert "Platinum = 5" in form


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"ring_s": "4"}, "Rings at an agent, seconds: write a whole number from 5 to 60, not “4”."),
        ({"ring_s": "²0"}, "write a whole number from 5 to 60"),
        ({"ring_s": ""}, "write a whole number from 5 to 60"),
        ({"name": "1st"}, "Name: begin with a letter"),
        ({"name": "general"}, "there is a queue “general” already"),
        ({"title": "x" * 81}, "Title: write 1 to 80"),
        ({"tiers": "Gold: 5"}, "Head start: write “Gold: 5” as name = minutes"),
        ({"tiers": "Gold = 11"}, "with 0 to 10 minutes"),
        ({"ring-1-queues": "general"}, "write after how many seconds it begins"),
        ({"ring-1-after": "30", "ring-1-queues": "nowhere"}, "there is no “nowhere” any more"),
        ({"ring-1-after": "60", "ring-2-after": "30"}, "must begin later than the one before it"),
        ({"ring-1-after": "60", "ring-1-level": "3"}, "may only widen"),
    ],
)
async def test_a_queue_that_cannot_be_is_refused_by_field_and_nothing_typed_is_lost(
    http, admin, connection, wrong, told
):
    await queues.ensure(connection, ["general"], by="test")
    refused = await post(http, "/admin/queues/new", **{**QUEUE, "name": "donors", "wrap_up_s": "37", **wrong})
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert told in refused.text
    assert 'value="37"' in refused.text, "what was right stays typed"
    assert not {one.name for one in await queues.every(connection)} & {"donors", "1st"}


async def test_a_queue_that_somebody_else_changed_is_not_overwritten(http, admin, connection):
    await queues.put(connection, Queue(name="general", title="General"), by="first")
    seen = re.search(r'name="seen" value="([^"]*)"', (await http.get("/admin/queues/general")).text)
    assert seen
    await queues.put(connection, Queue(name="general", title="Theirs"), by="other@example.org")
    refused = await post(http, "/admin/queues/general", **{**QUEUE, "title": "Mine", "seen": seen[1]})
    assert refused.status_code == 422
    assert "other@example.org changed this queue" in refused.text
    assert 'value="Mine"' in refused.text
    found = await queues.get(connection, "general")
    assert found is not None
    assert found.title == "Theirs"


async def test_a_queue_in_use_is_not_deleted_and_the_reason_is_told(http, pool, admin, connection):
    node = await lines_up.make_node(connection)
    await lines_up.make_agent(connection, "anna", ["front_desk"], node=node)
    await lines_up.enter(connection, "front_desk", node)
    refused = await post(http, "/admin/queues/front_desk/delete")
    assert refused.status_code == 422
    assert "1 callers wait in it" in refused.text
    assert "agents serve it" in refused.text
    await connection.execute("DELETE FROM waiting")
    await connection.execute("DELETE FROM agent_queue")
    assert 'queue = "front_desk"' in shipped.text("welcome")
    await lines.put_line(
        connection, number="400", campaign="x", flow="welcome", language="en", currency="USD", fund=None, record=False,
        by="test", look_up_by="ANI",
    )  # fmt: skip
    assert "flows lead callers into it (welcome)" in (await post(http, "/admin/queues/front_desk/delete")).text
    await lines.remove_line(connection, "400", by="test")
    assert (await post(http, "/admin/queues/front_desk/delete")).status_code == 303
    assert await queues.get(connection, "front_desk") is None
    assert [row["subject"] for row in await audited(pool, "queue_removed")] == ["front_desk"]
    assert (await post(http, "/admin/queues/front_desk/delete")).status_code == 404
    assert (await http.get("/admin/queues/front_desk")).status_code == 404


async def test_skills_are_set_and_those_in_use_stay(http, pool, admin, connection):
    assert (await post(http, "/admin/skills", name="spanish", title=HOSTILE)).status_code == 303
    shown = (await http.get("/admin/skills")).text
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown
    refused = await post(http, "/admin/skills", name="no spaces", title="Kept")
    assert refused.status_code == 422
    assert 'value="Kept"' in refused.text
    ring = Ring(skills_dropped=("spanish",))
    await queues.put(connection, Queue(name="general", title="General", rings=(ring,)), by="test")
    assert "The rings of general name" in (await post(http, "/admin/skills/delete", name="spanish")).text
    await queues.put(connection, Queue(name="general", title="General"), by="test")
    assert (await post(http, "/admin/skills/delete", name="spanish")).status_code == 303
    assert await queues.skills(connection) == []
    assert len(await audited(pool, "skill_removed")) == 1


async def test_an_agent_is_a_user_with_queues_and_skills(http, pool, admin, connection):
    await queues.ensure(connection, ["general", "major"], by="test")
    await queues.put_skill(connection, "spanish", "Spanish", by="test")
    await edge.make_user(pool, role="agent", email="ann@example.org")
    user = next(one for one in await users.list_users(connection) if one.email == "ann@example.org")
    typed = {"name": HOSTILE, "user": str(user.id), "telephone": "", "skill-spanish": "4", "queues": ["general"]}
    assert (await post(http, "/admin/agents/new", **typed)).status_code == 303
    (agent,) = await agents.every(connection)
    assert (agent.user_id, agent.queues, agent.skills) == (user.id, ["general"], {"spanish": 4})
    for path in ("/admin/agents", f"/admin/agents/{agent.id}"):
        assert HOSTILE not in (await http.get(path)).text
    twice = await post(http, "/admin/agents/new", **{**typed, "name": "Ann again"})
    assert twice.status_code == 422
    assert "An agent has this name, this user or this telephone already" in twice.text
    assert 'value="Ann again"' in twice.text
    changed = {**typed, "name": "Ann", "queues": ["major"], "skill-spanish": ""}
    assert (await post(http, f"/admin/agents/{agent.id}", **changed)).status_code == 303
    (agent,) = await agents.every(connection)
    assert (agent.name, agent.enabled, agent.queues, agent.skills) == ("Ann", False, ["major"], {})
    assert {row["actor"] for row in await audited(pool, "agent_assigned")} == {admin}
    refused = await post(http, f"/admin/agents/{agent.id}", **{**changed, "skill-spanish": "6", "user": "x"})
    assert refused.status_code == 422
    assert (await post(http, f"/admin/agents/{agent.id}/delete")).status_code == 303
    assert await agents.every(connection) == []


ENDING = {"title": "Gave already", "key": "7", "next_action": "callback", "after_days": "2", "local_time": "09:30",
          "enabled": "yes"}  # fmt: skip


async def test_a_disposition_is_made_and_changed_and_what_cannot_be_is_refused_by_field(http, pool, admin, connection):
    await queues.ensure(connection, ["general"], by="test")
    made = await post(http, "/admin/dispositions/new", code="gave_already", queues=["general"], **ENDING)
    assert made.status_code == 303
    kept = {one.code: one for one in await dispositions.every(connection)}["gave_already"]
    assert (kept.key, kept.next_action, kept.after_days, kept.queues) == (7, "callback", 2, ["general"])
    changed = {**ENDING, "title": HOSTILE, "next_action": "none", "after_days": "", "local_time": ""}
    assert (await post(http, "/admin/dispositions/gave_already", **changed)).status_code == 303
    shown = (await http.get("/admin/dispositions")).text
    assert HOSTILE not in shown
    assert "called back, after 1 days at 10:00" in shown
    wrong = [
        ({"code": "Gave"}, "Code: begin with a small letter"),
        ({"code": "settled"}, "there is a disposition “settled” already"),
        ({"key": "1"}, "Another disposition has this key already"),
        ({"key": "10"}, "Key: write a whole number from 1 to 9"),
        ({"after_days": ""}, "a callback or a promise needs a day"),
        ({"local_time": "soon"}, "write a time of day as 09:30, not “soon”"),
        ({"next_action": "shout"}, "What follows: choose one of"),
        ({"queues": ["nowhere"]}, "there is no “nowhere” any more"),
    ]
    for typed, told in wrong:
        refused = await post(http, "/admin/dispositions/new", **{"code": "other", **ENDING, "key": "8", **typed})
        assert refused.status_code == 422
        assert told in refused.text
        assert 'value="Gave already"' in refused.text
    assert [row["actor"] for row in await audited(pool, "disposition_set")] == [admin, admin]
    assert (await http.get("/admin/dispositions/nothing")).status_code == 404


async def test_a_script_is_put_in_force_version_by_version(http, pool, admin, connection):
    typed = {"title": "Appeal", "enabled": "yes", "steps": "3", "step-0-title": "Greet", "step-0-text": HOSTILE}
    more = await post(http, "/admin/scripts/new", name="appeal", **{**typed, "do": "step"})
    assert "Step 4" in more.text
    assert HOSTILE not in more.text
    assert (await post(http, "/admin/scripts/new", name="appeal", **typed)).status_code == 303
    second = {**typed, "step-2-title": "Thank", "seen": "1"}
    assert (await post(http, "/admin/scripts/appeal", **second)).status_code == 303
    (kept,) = [one for one in await scripts.every(connection) if one.name == "appeal"]
    assert (kept.version, [step.title for step in kept.steps]) == (2, ["Greet", "Thank"])
    late = await post(http, "/admin/scripts/appeal", **second)
    assert late.status_code == 422
    assert f"{admin} put version 2 in force since you looked" in late.text
    wrong = [
        ({"name": "appeal"}, "there is a script “appeal” already"),
        ({"step-0-title": "", "step-0-text": ""}, "a script has one step at least"),
        ({"step-1-text": "only text"}, "Step 2, title: write 1 to 80"),
        ({"step-0-text": "x" * 1001}, "1000 printable characters at most"),
    ]
    for fields, told in wrong:
        refused = await post(http, "/admin/scripts/new", **{"name": "other", **typed, **fields})
        assert refused.status_code == 422
        assert told in refused.text
    assert len(await audited(pool, "script_set")) == 2


async def test_a_new_user_gets_a_password_that_is_good_for_one_sign_in(http, pool, admin):
    made = await post(http, "/admin/users", email="Ann@Example.org", name=HOSTILE, role="agent")
    assert made.status_code == 200
    assert made.headers["cache-control"] == "no-store"
    assert HOSTILE not in made.text
    password = re.search(r'id="password">([^<]+)<', made.text)
    assert password
    assert password[1] not in (await http.get("/admin/users")).text
    rows = await pool.fetch("SELECT data::text AS data FROM audit")
    assert not [row for row in rows if password[1] in row["data"]]
    (row,) = await audited(pool, "user.create")
    assert row["actor"] == admin
    async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as hers:
        assert (await edge.sign_in(hers, "ann@example.org", password[1])).status_code == 303
        for path in ("/", "/cases", "/phone"):
            led = await hers.get(path)
            assert (led.status_code, led.headers["location"]) == (303, "/password")
        own = "a horse of my own"
        wrong = [
            ({"current": "wrong", "chosen": own, "again": own}, "Password you have: it is not right"),
            ({"current": password[1], "chosen": own, "again": "other"}, "it is not the same"),
            ({"current": password[1], "chosen": password[1], "again": password[1]}, "it is the one you have"),
            ({"current": password[1], "chosen": "short", "again": "short"}, "12 characters or more"),
        ]
        for typed, told in wrong:
            refused = await post(hers, "/password", **typed)
            assert refused.status_code == 422
            assert told in refused.text
            assert own not in refused.text
        chosen = await post(hers, "/password", current=password[1], chosen=own, again=own)
        assert (chosen.status_code, chosen.headers["location"]) == (303, "/sign-in?changed")
        assert (await edge.sign_in(hers, "ann@example.org", password[1])).status_code == 401
        assert (await edge.sign_in(hers, "ann@example.org", own)).status_code == 303
        assert (await hers.get("/")).status_code == 200


async def test_tries_at_ones_own_password_are_counted(http, pool, admin):
    for _ in range(10):
        assert (
            await post(http, "/password", current="wrong", chosen="x" * 5 + "yzabcdefg", again="")
        ).status_code == 422
    assert (await post(http, "/password", current="wrong", chosen="x", again="x")).status_code == 429


async def test_a_user_who_is_changed_or_shut_out_is_signed_out_at_once(http, pool, admin, connection):
    email = await edge.make_user(pool, role="agent")
    user_id = await pool.fetchval("SELECT id FROM app_user WHERE email = $1", email)
    for step, fields in (("role", {"role": "viewer"}), ("password", {}), ("disable", {})):
        async with edge.client(services.make(pool), headers={"Accept": "text/html"}) as hers:
            await connection.execute(
                "UPDATE app_user SET must_choose_password = false, password_hash = (SELECT password_hash FROM app_user "
                "WHERE role = 'admin') WHERE id = $1",
                user_id,
            )
            assert (await edge.sign_in(hers, email)).status_code == 303
            assert (await hers.get("/")).status_code == 200
            assert (await post(http, f"/admin/users/{user_id}/{step}", **fields)).status_code in (200, 303)
            assert (await hers.get("/")).headers["location"].startswith("/sign-in")
    assert (await post(http, f"/admin/users/{user_id}/disable")).status_code == 422, "she is already"
    assert (await post(http, f"/admin/users/{user_id}/enable")).status_code == 303
    found = await users.get(connection, user_id)
    assert (found.role, found.disabled_at) == (users.Role.VIEWER, None)
    for action in ("user.set_role", "user.set_password", "user.disable", "user.enable"):
        assert [(row["actor"], row["subject"]) for row in await audited(pool, action)] == [(admin, f"user:{user_id}")]


async def test_the_last_administrator_stays_and_nobody_shuts_herself_out(http, pool, admin):
    own = await pool.fetchval("SELECT id FROM app_user")
    refused = await post(http, f"/admin/users/{own}/role", role="viewer")
    assert refused.status_code == 422
    assert "last administrator" in refused.text
    await edge.make_user(pool, role="admin", email="other@example.org")
    refused = await post(http, f"/admin/users/{own}/disable")
    assert "This is your own account" in refused.text
    assert (await http.get("/admin")).status_code == 200, "still signed in"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({"email": "nobody"}, "needs one @ and a domain"),
        ({"email": "admin@example.org"}, "There is a user with this e-mail address already"),
        ({"name": ""}, "Name: write 1 to 100"),
        ({"name": "x\x07"}, "printable"),
        ({"role": "root"}, "Role: choose one of viewer, agent"),
    ],
)
async def test_a_user_who_cannot_be_made_is_refused_by_field(http, pool, admin, typed, told):
    fields = {"email": "ann@example.org", "name": "Ann", "role": "agent", **typed}
    refused = await post(http, "/admin/users", **fields)
    assert refused.status_code == 422
    assert told in refused.text
    assert await pool.fetchval("SELECT count(*) FROM app_user") == 1


async def test_api_clients_are_made_changed_and_shut_out(http, pool, admin, connection):
    made = await post(http, "/admin/clients", name=HOSTILE, scopes=["outbound:read"])
    client_id = re.search(r'id="client-id">([^<]+)<', made.text)
    secret = re.search(r'id="secret">([^<]+)<', made.text)
    assert client_id
    assert secret
    shown = (await http.get("/admin/clients")).text
    assert HOSTILE not in shown
    assert secret[1] not in shown
    path = f"/admin/clients/{client_id[1]}"
    refused = await post(http, "/admin/clients", name="Kept", scopes=[])
    assert refused.status_code == 422
    assert "tick at least one" in refused.text
    assert 'value="Kept"' in refused.text
    assert (await post(http, f"{path}/scopes", scopes=["all:of:it"])).status_code == 422
    basic = {"grant_type": "client_credentials", "client_id": client_id[1], "client_secret": secret[1]}
    token = (await http.post("/oauth/token", data=basic)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await http.get("/api/v2/recovery/cases", headers=headers)).status_code == 200
    assert (await post(http, f"{path}/scopes", scopes=["integration:all", "outbound:read"])).status_code == 303
    assert (await http.get("/api/v2/recovery/cases", headers=headers)).status_code == 401, "its tokens ended"
    (listed,) = await oauth.list_clients(connection)
    assert listed.scopes == ("integration:all", "outbound:read")
    rotated = await post(http, f"{path}/secret")
    assert secret[1] not in rotated.text
    assert (await http.post("/oauth/token", data=basic)).status_code == 401
    assert (await post(http, f"{path}/disable")).status_code == 303
    assert (await post(http, f"{path}/secret")).status_code == 422
    assert (await post(http, f"{path}/enable")).status_code == 303
    for action in ("create", "set_scopes", "rotate_secret", "disable", "enable"):
        (row,) = await audited(pool, f"client.{action}")
        assert (row["actor"], row["subject"]) == (admin, f"client:{client_id[1]}")


async def test_settings_tell_where_they_come_from_and_secrets_are_never_shown(pool):
    email = await edge.make_user(pool, role="admin")
    made = services.make(pool, smtp__host="mail.example.org", smtp__password="a-secret-nobody-sees")
    async with edge.client(made, headers={"Accept": "text/html"}) as http:
        await edge.sign_in(http, email)
        shown = (await http.get("/admin/settings")).text
        assert "mail.example.org" in shown
        assert "command line" in shown
        assert "TENDERLINE_SMTP__PASSWORD" in shown
        assert "a-secret-nobody-sees" not in shown
        assert "A test key" not in shown
        narrowed = (await http.get("/admin/settings?show=set")).text
        assert "smtp.host" in narrowed
        assert "stripe.api_key" not in narrowed


async def test_the_audit_log_is_found_by_person_action_subject_and_day(http, pool, admin, connection):
    for number in range(60):
        await queues.put_skill(connection, f"skill_{number}", HOSTILE, by="cli:root")
    shown = (await http.get("/admin/audit?actor=cli:")).text
    assert HOSTILE not in shown
    assert "skill_59" in shown
    assert "skill_5<" not in shown
    older = re.search(r'href="(/admin/audit\?[^"]*before=[^"]*)">Older', shown)
    assert older
    assert "skill_5<" in (await http.get(older[1].replace("&amp;", "&"))).text
    found = (await http.get("/admin/audit?action=skill_set&subject=skill_7")).text
    assert found.count('id="row-') == 1
    assert "No row is like this" in (await http.get("/admin/audit?actor=nobody")).text
    assert "No row is like this" in (await http.get("/admin/audit?since=2999-01-01")).text
    assert "skill_59" in (await http.get("/admin/audit?until=9999-12-31")).text
    refused = await http.get("/admin/audit?since=yesterday&actor=kept")
    assert refused.status_code == 422
    assert "write a day as" in refused.text
    assert 'value="kept"' in refused.text
    assert (await http.get("/admin/audit?before=" + "9" * 400)).status_code == 200
    assert "the chain is whole" in (await post(http, "/admin/audit/verify")).text


async def test_a_broken_chain_is_told_by_its_first_bad_row(http, pool, admin):
    await pool.execute("ALTER TABLE audit DISABLE TRIGGER USER")
    await pool.execute("UPDATE audit SET actor = 'somebody else' WHERE number = 1")
    told = (await post(http, "/admin/audit/verify")).text
    assert "row 1 was changed" in told
    assert 'role="alert"' in told


async def test_roles_are_told_in_words(http, admin):
    shown = (await http.get("/admin/roles")).text
    assert "Give money back" in shown
    assert "Change users, queues, skills and agents" in shown


async def test_what_is_not_there_is_not_found(http, admin):
    nobody = UUID(int=7)
    for path in (f"/admin/users/{nobody}", f"/admin/agents/{nobody}", "/admin/queues/no-such", "/admin/queues/%00"):
        assert (await http.get(path)).status_code == 404, path
